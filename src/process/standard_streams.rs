//! Stdin, stdout and stderr: unbuffered, and blocking even if the descriptor is non-blocking.
//!
//! `O_NONBLOCK` belongs to the open file description, which a pipe, socket or terminal shares with other processes. A client
//! may set it at any time, and clearing it here would affect the other processes. So every read and write that would block
//! waits with `poll` instead. The standard library's buffers would copy each message once more.

use std::io::{self, Read, Write};

pub fn stdin() -> impl Read + Send + 'static {
    stream(io::stdin())
}

pub fn stdout() -> impl Write + Send + 'static {
    stream(io::stdout())
}

pub fn stderr() -> impl Write + Send + 'static {
    stream(io::stderr())
}

#[cfg(unix)]
use waiting::stream;

/// Returns the stream unchanged: standard streams are never non-blocking.
#[cfg(not(unix))]
fn stream<S>(stream: S) -> S {
    stream
}

#[cfg(unix)]
mod waiting {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::{Errno, read, write};
    use std::io::{self, Read, Write};
    use std::os::fd::AsFd;
    use std::thread;
    use std::time::Duration;

    /// Wait before another attempt if `poll` reported a stream ready and the operation still would have blocked: a terminal
    /// with room for one byte does not accept a newline, which it writes as two.
    const RETRY_DELAY: Duration = Duration::from_millis(10);

    pub(crate) struct Waiting<D>(D);

    pub(crate) fn stream<D: AsFd>(descriptor: D) -> Waiting<D> {
        Waiting(descriptor)
    }

    impl<D: AsFd> Waiting<D> {
        fn when_ready(
            &self,
            event: PollFlags,
            mut operation: impl FnMut() -> rustix::io::Result<usize>,
        ) -> io::Result<usize> {
            let mut was_ready = false;
            loop {
                match operation() {
                    Err(Errno::AGAIN) if was_ready => thread::park_timeout(RETRY_DELAY),
                    Err(Errno::AGAIN) => {}
                    done => return Ok(done?),
                }
                match poll(&mut [PollFd::new(&self.0, event)], None) {
                    Ok(_) => was_ready = true,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    impl<D: AsFd> Read for Waiting<D> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.when_ready(PollFlags::IN, || read(&self.0, &mut *into))
        }
    }

    impl<D: AsFd> Write for Waiting<D> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.when_ready(PollFlags::OUT, || write(&self.0, bytes))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::thread;

    #[test]
    fn a_stream_that_becomes_non_blocking_loses_nothing() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let (mut to, mut from) =
            [&ours, &theirs].map(|end| stream(end.try_clone().expect("a copy"))).into();
        let sent = bytes.clone();
        let sender = thread::spawn(move || to.write_all(&sent));
        let mut received = vec![0; bytes.len()];
        let (first, rest) = received.split_at_mut(bytes.len() / 2);
        from.read_exact(first).expect("the writer goes on");
        ours.set_nonblocking(true).expect("an open socket");
        theirs.set_nonblocking(true).expect("an open socket");
        from.read_exact(rest).expect("the writer goes on");
        assert!(received == bytes);
        sender.join().expect("no panic").expect("everything is written");
    }
}
