//! `Pool`: the connections that are kept for the next request, and which of them to trust.

use super::connection::Connection;
use std::ptr;
use std::time::{Duration, Instant};

/// Among so many kept connections a thread looks for the one that it had last.
const RECENT: usize = 16;

/// A server that has hung up on a kept connection without having said so may do it again for so long.
const DISTRUST: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Pool {
    /// Not in use, each with the thread that used it last.
    idle: Vec<(usize, Connection)>,
    /// When a kept connection last turned out to be dead only after something was sent on it.
    hung_up: Option<Instant>,
}

impl Pool {
    /// A kept connection, unless it may have been closed and that would do harm.
    pub(super) fn take(&mut self, is_idempotent: bool) -> Option<Connection> {
        if !is_idempotent && self.hung_up.is_some_and(|at| at.elapsed() < DISTRUST) {
            // This one, too: each that fails is one less to try.
            self.idle.pop();
            return None;
        }
        // Rather its own, which is in the caches of this thread's processor; else the last that was used.
        let me = this_thread();
        let start = self.idle.len().saturating_sub(RECENT);
        let own = self.idle[start..].iter().rposition(|(by, _)| *by == me);
        let last = self.idle.len().checked_sub(1)?;
        Some(self.idle.remove(own.map_or(last, |own| start + own)).1)
    }

    pub(super) fn put_back(&mut self, connection: Connection) {
        self.idle.push((this_thread(), connection));
    }

    /// A kept connection was dead, and that was seen too late.
    pub(super) fn one_hung_up(&mut self) {
        self.hung_up = Some(Instant::now());
    }
}

/// A number that no other thread has at the same time. `thread::current` costs two atomic operations.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| ptr::from_ref(here).addr())
}
