#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod signals;
pub(crate) mod standard_streams;
