pub(crate) mod errors;
mod listener;
pub(crate) mod pages;
pub(crate) mod reference;
pub(crate) mod troubleshooting;
