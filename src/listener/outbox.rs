//! `Outbox`: queue of events until a stream of the client can carry them. Bounded; one thread writes at a time.

use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::Mutex;

/// Maximum number and total size of queued events. An empty queue accepts any event.
const MAX_WAITING: usize = 100;
const MAX_WAITING_BYTES: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

/// An event that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) event: Vec<u8>,
    /// Its sender waits for a response.
    pub(crate) is_request: bool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    is_writing: bool,
    /// Since the thread that writes looked for streams, there may be others.
    is_flushed_again: bool,
}

impl Outbox {
    /// Queues an event. False: the queue is full.
    pub(crate) fn push(&self, waiting: Waiting) -> bool {
        let mut state = lock(&self.0);
        let bytes = state.bytes + waiting.event.len();
        let is_full = state.waiting.len() == MAX_WAITING || bytes > MAX_WAITING_BYTES;
        if is_full && !state.waiting.is_empty() {
            return false;
        }
        state.bytes = bytes;
        state.waiting.push_back(waiting);
        true
    }

    /// Whether no events wait or are being written.
    pub(crate) fn is_idle(&self) -> bool {
        let state = lock(&self.0);
        state.waiting.is_empty() && !state.is_writing
    }

    /// Whether a request waits.
    pub(crate) fn holds_request(&self) -> bool {
        lock(&self.0).waiting.iter().any(|waiting| waiting.is_request)
    }

    /// Makes the caller the one that writes. False: none wait, or another thread writes, which then looks for streams again.
    pub(crate) fn begin_writing(&self) -> bool {
        let mut state = lock(&self.0);
        if state.is_writing {
            state.is_flushed_again = true;
            return false;
        }
        state.is_writing = !state.waiting.is_empty();
        state.is_writing
    }

    pub(crate) fn end_writing(&self) {
        lock(&self.0).is_writing = false;
    }

    /// The next event for the thread that writes. `None`: none wait, and it no longer writes.
    pub(crate) fn next(&self) -> Option<Waiting> {
        let mut state = lock(&self.0);
        let next = state.waiting.pop_front();
        state.bytes -= next.as_ref().map_or(0, |next| next.event.len());
        state.is_writing = next.is_some();
        state.is_flushed_again = false;
        next
    }

    /// Keeps an event that no stream could carry. False: the thread no longer writes; true: there may be other streams now.
    pub(crate) fn put_back(&self, waiting: Waiting) -> bool {
        let mut state = lock(&self.0);
        state.bytes += waiting.event.len();
        state.waiting.push_front(waiting);
        state.is_writing = state.is_flushed_again;
        state.is_writing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &[u8]) -> Waiting {
        Waiting { event: text.to_vec(), is_request: false }
    }

    #[test]
    fn events_keep_their_order_and_are_bounded() {
        let outbox = Outbox::default();
        assert!(outbox.push(event(b"1")) && outbox.push(event(b"2")));
        assert!(outbox.begin_writing() && !outbox.begin_writing(), "one thread writes");
        let first = outbox.next().expect("it waits");
        assert!(!outbox.put_back(first), "no other stream");
        assert!(outbox.begin_writing());
        assert_eq!(outbox.next().expect("it waits").event, b"1");
        assert_eq!(outbox.next().expect("it waits").event, b"2");
        assert!(outbox.next().is_none() && !outbox.begin_writing());
        assert!(outbox.push(event(&vec![0; MAX_WAITING_BYTES + 1])), "one is always taken");
        assert!(!outbox.push(event(b"3")));
    }

    #[test]
    fn a_stream_that_begins_while_others_are_tried_is_tried_too() {
        let outbox = Outbox::default();
        assert!(outbox.is_idle());
        assert!(outbox.push(event(b"1")) && outbox.begin_writing());
        let first = outbox.next().expect("it waits");
        assert!(!outbox.is_idle(), "one is being written");
        assert!(!outbox.begin_writing(), "the thread that writes sees to it");
        assert!(outbox.put_back(first));
        let first = outbox.next().expect("it waits");
        assert!(!outbox.put_back(first), "once");
    }
}
