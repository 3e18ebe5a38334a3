//! The process's variables and home folder, read once, and the files named by users and variables.

pub(crate) mod file;
mod variables;

pub use variables::Environment;
