//! `InFlight`: a request, or a batch of them, from its start to the end of its exchange.

use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time that a cancelled call gets to end in order: the server may have to finish a request that it nested in the call.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// The kinds of calls that are treated in a way of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Initialize,
    /// `server/discover`.
    Discover,
    /// It has no time limit and does not count towards `--max-in-flight`.
    Subscription,
    Other,
}

#[derive(Debug)]
pub(crate) struct InFlight {
    /// Unique among all calls of the process, in the order in which they started.
    pub(crate) serial: u64,
    /// One id, or those of a batch.
    pub(crate) ids: Vec<Id>,
    pub(crate) kind: CallKind,
    /// Its responses belong in an array.
    pub(crate) is_batch: bool,
    /// Needs no session; closing its connection cancels it (2026-07-28).
    pub(crate) is_sessionless: bool,
    pub(crate) started: Instant,
    /// Time by which it must have its response, including the time in the queue.
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: Cancel,
    /// Whether it waits for the user, and nothing of it has reached the server.
    pub(crate) is_held: AtomicBool,
    /// Indexes of the ids that the client cancelled: their responses are not written.
    cancelled: Mutex<Vec<usize>>,
    /// Whether it no longer counts as unanswered. Like `is_finishing`, changed only under the queue's lock.
    is_completed: AtomicBool,
    /// Whether its thread is about to take the next message.
    is_finishing: AtomicBool,
    /// Whether it waits for the client rather than for the server.
    awaits_client: AtomicBool,
}

impl CallKind {
    fn of(message: &Message) -> CallKind {
        match message {
            _ if message.is_initialize() => CallKind::Initialize,
            _ if message.is_discover() => CallKind::Discover,
            _ if message.is_subscription() => CallKind::Subscription,
            _ => CallKind::Other,
        }
    }
}

impl InFlight {
    pub(crate) fn new(serial: u64, message: &Message, deadline: Option<Instant>) -> InFlight {
        InFlight {
            serial,
            ids: message.ids().to_vec(),
            kind: CallKind::of(message),
            is_batch: message.is_batch(),
            is_sessionless: message.request_meta().is_some(),
            started: Instant::now(),
            deadline,
            cancel: Cancel::default(),
            is_held: AtomicBool::new(false),
            cancelled: Mutex::default(),
            is_completed: AtomicBool::new(false),
            is_finishing: AtomicBool::new(false),
            awaits_client: AtomicBool::new(false),
        }
    }

    /// Cancels one id. Returns whether all ids are cancelled now; then nothing more is sent.
    pub(crate) fn cancel_id(&self, id: &Id) -> bool {
        let mut cancelled = lock(&self.cancelled);
        for (index, own) in self.ids.iter().enumerate() {
            if own == id && !cancelled.contains(&index) {
                cancelled.push(index);
            }
        }
        let is_whole = cancelled.len() == self.ids.len();
        if is_whole {
            self.cancel.withdraw();
        }
        is_whole
    }

    /// Whether lines other than responses may still be written.
    pub(crate) fn is_wanted(&self) -> bool {
        lock(&self.cancelled).len() < self.ids.len() && !self.cancel.is_cancelled()
    }

    /// Whether the client cancelled all of these ids, given by their indexes.
    pub(crate) fn are_cancelled(&self, indexes: &[usize]) -> bool {
        let cancelled = lock(&self.cancelled);
        indexes.iter().all(|index| cancelled.contains(index))
    }

    /// Marks it as completed. False: it was completed already.
    pub(crate) fn complete(&self) -> bool {
        !self.is_completed.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_completed(&self) -> bool {
        self.is_completed.load(Ordering::Relaxed)
    }

    /// Sets whether it waits for the client and returns the previous value.
    pub(crate) fn set_awaits_client(&self, awaits: bool) -> bool {
        self.awaits_client.swap(awaits, Ordering::Relaxed)
    }

    /// Sets `is_finishing` and returns the previous value.
    pub(crate) fn set_finishing(&self, is_finishing: bool) -> bool {
        self.is_finishing.swap(is_finishing, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cancelled_id_by_id() {
        let batch = r#"[{"id":1,"method":"a"},{"id":"1","method":"b"}]"#;
        let batch = Message::parse(batch.as_bytes().to_vec()).expect("a batch");
        let call = InFlight::new(0, &batch, None);
        assert!(!call.cancel_id(&call.ids[1]) && call.are_cancelled(&[1]));
        assert!(call.is_wanted() && !call.are_cancelled(&[0, 1]));
        assert!(call.cancel_id(&call.ids[0]) && !call.is_wanted());
    }
}
