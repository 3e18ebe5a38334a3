pub(crate) mod cases;
pub(crate) mod chain;
mod cli_cache;
#[cfg(target_os = "linux")]
mod command;
pub(crate) mod likely_mistakes;
mod needed_sign_in;
pub(crate) mod program;
pub(crate) mod token_files;
