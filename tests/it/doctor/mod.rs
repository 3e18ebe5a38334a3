pub(crate) mod checks;
mod listener;
pub(crate) mod pictures;
mod sign_in;
#[cfg(target_os = "linux")]
mod terminal;
