pub(crate) mod completions;
pub(crate) mod drop_in;
#[cfg(unix)]
pub(crate) mod environment;
#[cfg(unix)]
pub(crate) mod headers;
pub(crate) mod mistakes;
mod version;
