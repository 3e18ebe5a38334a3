mod browser;
mod elicitation;
mod links;
mod processes;
mod rounds;
pub(crate) mod scene;
mod start;
