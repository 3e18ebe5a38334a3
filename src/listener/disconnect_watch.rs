//! `DisconnectWatch`: one thread that notices clients that disconnect before their response.
//!
//! While requests come and go it checks every 100 ms, so short ones cost nothing; otherwise it sleeps until a client
//! disconnects or a request begins.

use crate::listener::connections::{Connections, Watched};
use crate::listener::stream::Stream;
use crate::sync::spawn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The end of a client's sending, even after input that is not read yet. On systems other than Linux, only the end of the whole
/// connection can be seen.
#[cfg(target_os = "linux")]
const END: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const END: PollFlags = PollFlags::empty();

/// Ticks without a change after which the watch sleeps.
const QUIET_TICKS: u32 = 10;

pub(crate) struct DisconnectWatch {
    connections: Arc<Connections>,
    /// Has something to read when the watch is to wake.
    wake: UnixStream,
}

impl DisconnectWatch {
    /// Starts watching connections, which it creates.
    ///
    /// # Errors
    /// The system has no file descriptors or no threads left.
    pub(crate) fn start() -> io::Result<Arc<Connections>> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let connections = Connections::new(move || {
            let _ = (&waker).write(&[0]);
        });
        let watch = DisconnectWatch { connections: Arc::clone(&connections), wake };
        spawn("disconnects", move || watch.run()).map_err(io::Error::other)?;
        Ok(connections)
    }

    fn run(mut self) {
        let (mut last_changes, mut quiet_ticks) = (0, 0);
        loop {
            let sleeps = quiet_ticks >= QUIET_TICKS;
            let (watched, changes) = self.connections.watched(sleeps);
            self.look(&watched, if sleeps { None } else { Some(&AT_ONCE) });
            let _ = self.wake.read(&mut [0; 16]);
            if !sleeps {
                let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&TICK));
            }
            quiet_ticks = if sleeps || changes != last_changes { 0 } else { quiet_ticks + 1 };
            last_changes = changes;
        }
    }

    /// Waits for activity of a client, at most for `limit`, and cancels the requests of clients that are gone.
    fn look(&self, watched: &[Watched], limit: Option<&Timespec>) {
        let streams = watched.iter().map(|watched| {
            let signs = if watched.has_input { END } else { PollFlags::IN };
            PollFd::new(&*watched.stream, signs)
        });
        let waker = std::iter::once(PollFd::new(&self.wake, PollFlags::IN));
        let mut polled: Vec<PollFd<'_>> = streams.chain(waker).collect();
        let _ = poll(&mut polled, limit);
        for (watched, polled) in watched.iter().zip(&polled) {
            if !polled.revents().is_empty() {
                self.examine(watched);
            }
        }
    }

    fn examine(&self, watched: &Watched) {
        if watched.has_input {
            return watched.cancel.cancel();
        }
        match has_input(&watched.stream) {
            Ok(true) => self.connections.note_input(watched),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(false) | Err(_) => watched.cancel.cancel(),
        }
    }
}

/// Whether the client has sent something; false: it has closed the connection.
fn has_input(stream: &Stream) -> io::Result<bool> {
    let (read, _) = recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(read > 0)
}
