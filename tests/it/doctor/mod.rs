pub(crate) mod checks;
mod sign_in;
