pub(crate) mod cases;
pub(crate) mod chain;
#[cfg(target_os = "linux")]
mod command;
pub(crate) mod likely_mistakes;
pub(crate) mod program;
pub(crate) mod token_files;
