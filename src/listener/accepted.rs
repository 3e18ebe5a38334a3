//! `Accepted`: messages of a client that have their response, but that the server does not take yet. What the client sends after
//! them waits, so that nothing overtakes them.

use crate::error::{Error, Kind};
use crate::sync::cancel::Cancel;
use crate::sync::monitor::{Monitor, WaitError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Maximum number of such messages of all clients: each holds a connection.
const MAX_ACCEPTED: usize = 64;

/// The number of such messages of all clients.
#[derive(Debug, Default)]
pub(crate) struct AcceptedCount(AtomicUsize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a AcceptedCount);

#[derive(Debug)]
pub(crate) struct Accepted {
    /// Numbers of the messages, in the order in which the client sent them.
    undelivered: Arc<Monitor<Vec<u64>>>,
}

/// A message until it is delivered, or cannot be.
#[derive(Debug)]
pub(crate) struct Undelivered {
    all: Arc<Monitor<Vec<u64>>>,
    number: u64,
}

impl AcceptedCount {
    /// # Errors
    /// `TooMany`: there are too many.
    pub(crate) fn add(&self) -> Result<Counted<'_>, Error> {
        let counted = Counted(self);
        if self.0.fetch_add(1, Ordering::Relaxed) < MAX_ACCEPTED {
            return Ok(counted);
        }
        let what = "the server is busy, and too many notifications wait for it";
        Err(Error::new(Kind::TooMany, what).hint("send it again later"))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Accepted {
    pub(crate) fn new() -> Accepted {
        Accepted { undelivered: Monitor::new(Vec::new()) }
    }

    pub(crate) fn add(&self, number: u64) -> Undelivered {
        self.undelivered.update(|all| all.push(number));
        Undelivered { all: Arc::clone(&self.undelivered), number }
    }

    /// Whether a message before this one is not delivered.
    pub(crate) fn any_before(&self, number: u64) -> bool {
        self.undelivered.lock().iter().any(|other| *other < number)
    }

    /// Waits until all messages before this one are delivered.
    pub(crate) fn wait_for_others(
        &self,
        number: u64,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), WaitError> {
        let are_delivered =
            |all: &mut Vec<u64>| all.iter().all(|other| *other >= number).then_some(());
        self.undelivered.wait(deadline, cancel, are_delivered)
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        self.all.update(|all| all.retain(|number| *number != self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_number_is_bounded() {
        let count = AcceptedCount::default();
        let mut all: Vec<_> = (0..MAX_ACCEPTED).map(|_| count.add().expect("room")).collect();
        assert_eq!(count.add().expect_err("no room").kind(), Kind::TooMany);
        all.pop();
        assert!(count.add().is_ok());
    }

    #[test]
    fn messages_wait_for_those_before_them_only() {
        let (accepted, cancel) = (Accepted::new(), Cancel::default());
        let now = || Some(Instant::now());
        let (second, fourth) = (accepted.add(2), accepted.add(4));
        for (number, waits) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
            assert_eq!(accepted.any_before(number), waits, "{number}");
            assert_eq!(accepted.wait_for_others(number, now(), &cancel).is_err(), waits);
        }
        drop(second);
        assert!(!accepted.any_before(4) && accepted.any_before(5));
        drop(fourth);
        assert_eq!(accepted.wait_for_others(5, None, &cancel), Ok(()));
    }
}
