//! Threads that work by themselves: each is started here, and ends when its work does or with the process.

use crate::error::{Error, out_of_threads};
use std::thread;

/// A call with TLS needs less than 100 kB, also in debug builds.
const STACK_BYTES: usize = 512 * 1024;

/// Starts a thread. `name`: what debuggers and `top -H` show, at most 15 bytes of it.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    start(name, Box::new(work))
}

/// Not generic, so that the program has one copy of what the standard library does around the work.
fn start(name: &str, work: Box<dyn FnOnce() + Send>) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map(drop).map_err(|_| out_of_threads())
}
