//! The process's variables and home folder, read once, and the files that users and variables name.

pub(crate) mod file;
mod variables;

pub use variables::Environment;
