mod elicitation;
mod links;
mod processes;
mod rounds;
mod scene;
mod start;
