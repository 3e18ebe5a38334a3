pub(crate) mod checks;
pub(crate) mod pictures;
mod sign_in;
