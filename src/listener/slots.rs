//! `Slots`: limits how many requests are sent to the server at the same time (`--max-in-flight`).

use crate::error::Error;
use crate::scheduler::timed_out_in_queue;
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::{Monitor, WaitError};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    taken: Arc<Monitor<usize>>,
}

/// A request's slot, freed on drop.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    taken: &'a Arc<Monitor<usize>>,
    is_held: bool,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Slots {
        Slots { max, taken: Monitor::new(0) }
    }

    /// Takes a slot as soon as one is free.
    ///
    /// # Errors
    /// `Cancelled`, or `TimedOut` at the deadline.
    pub(crate) fn take(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Slot<'_>, Error> {
        let find = |taken: &mut usize| (*taken < self.max).then(|| *taken += 1);
        self.taken.wait(deadline, cancel, find).map_err(error_in_queue)?;
        Ok(Slot { taken: &self.taken, is_held: true })
    }

    /// A slot for a request that does not count, such as a subscription.
    pub(crate) fn uncounted(&self) -> Slot<'_> {
        Slot { taken: &self.taken, is_held: false }
    }
}

/// The error of a request whose wait for others ended before it was sent.
pub(crate) fn error_in_queue(ended: WaitError) -> Error {
    match ended {
        WaitError::Cancelled => cancelled(),
        WaitError::TimedOut => timed_out_in_queue(),
    }
}

impl Slot<'_> {
    /// Holds or frees the slot: it is free while the request waits for the client. Taking it again never waits.
    pub(crate) fn hold(&mut self, holds: bool) {
        if std::mem::replace(&mut self.is_held, holds) != holds {
            self.taken.update(|taken| if holds { *taken += 1 } else { *taken -= 1 });
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.hold(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_slot_is_free_at_the_end_and_while_its_request_waits_for_the_client() {
        let (slots, cancel) = (Slots::new(1), Cancel::default());
        let soon = || Instant::now().checked_add(Duration::from_millis(5));
        let mut first = slots.take(None, &cancel).expect("a slot");
        assert!(slots.take(soon(), &cancel).is_err());
        first.hold(false);
        let second = slots.take(None, &cancel).expect("a slot");
        first.hold(true);
        drop(second);
        assert!(slots.take(soon(), &cancel).is_err());
        drop(first);
        assert!(slots.take(soon(), &cancel).is_ok());
        let mut subscription = slots.uncounted();
        subscription.hold(false);
        assert!(slots.take(soon(), &cancel).is_ok());
    }
}
