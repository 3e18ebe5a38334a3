//! `OpenStreams`: calls whose stream is still open after the response.
//!
//! Each holds a thread and a connection, so their number is limited; beyond the limit the oldest are closed.

use crate::scheduler::in_flight::InFlight;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of open streams.
const MAX_OPEN_STREAMS: usize = 16;

/// Minimum age of a stream to be closed. Most servers end a stream right after the response.
pub(crate) const STREAM_END_DELAY: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(crate) struct OpenStreams {
    /// Calls with the time of their response, the oldest first.
    calls: VecDeque<(Instant, Arc<InFlight>)>,
    /// Whether a `sweep` is scheduled.
    is_sweep_due: bool,
}

/// Streams to close, the oldest first.
#[derive(Debug)]
pub(crate) struct Excess {
    pub(crate) to_close: Vec<Arc<InFlight>>,
    /// More streams have to be closed once they are old enough: the caller schedules `sweep`.
    pub(crate) needs_sweep: bool,
}

impl OpenStreams {
    pub(crate) fn add(&mut self, call: &Arc<InFlight>) {
        self.calls.push_back((Instant::now(), Arc::clone(call)));
    }

    pub(crate) fn remove(&mut self, call: &Arc<InFlight>) {
        let index = self.calls.iter().rposition(|(_, other)| Arc::ptr_eq(other, call));
        if let Some(index) = index {
            self.calls.remove(index);
        }
    }

    /// Number of streams beyond the limit.
    pub(crate) fn excess_count(&self) -> usize {
        self.calls.len().saturating_sub(MAX_OPEN_STREAMS)
    }

    /// The streams beyond the limit, except those younger than `STREAM_END_DELAY`, which may end by themselves.
    pub(crate) fn excess(&mut self, now: Instant) -> Excess {
        let count = self.excess_count();
        let oldest = self.calls.iter().take(count);
        let to_close: Vec<Arc<InFlight>> = oldest
            .take_while(|(since, _)| now.saturating_duration_since(*since) >= STREAM_END_DELAY)
            .map(|(_, call)| Arc::clone(call))
            .collect();
        let are_left = to_close.len() < count;
        let needs_sweep = are_left && !std::mem::replace(&mut self.is_sweep_due, true);
        Excess { to_close, needs_sweep }
    }

    /// `excess` for a sweep that was scheduled.
    pub(crate) fn sweep(&mut self, now: Instant) -> Excess {
        self.is_sweep_due = false;
        self.excess(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::message::Message;

    #[test]
    fn beyond_the_limit_the_oldest_are_closed_once_they_are_old_enough() {
        let ping = Message::parse(br#"{"id":1,"method":"ping"}"#.to_vec()).expect("a request");
        let mut streams = OpenStreams::default();
        let calls: Vec<_> =
            (0..18).map(|serial| Arc::new(InFlight::new(serial, &ping, None))).collect();
        calls.iter().take(16).for_each(|call| streams.add(call));
        assert_eq!(streams.excess_count(), 0);
        calls.iter().skip(16).for_each(|call| streams.add(call));
        assert_eq!(streams.excess_count(), 2);
        let young = streams.excess(calls[0].started);
        assert!(young.to_close.is_empty() && young.needs_sweep, "they may be about to end");
        assert!(!streams.excess(calls[0].started).needs_sweep, "one sweep is enough");
        let Excess { to_close, needs_sweep } = streams.sweep(Instant::now() + STREAM_END_DELAY);
        assert!(to_close.len() == 2 && !needs_sweep);
        assert!(Arc::ptr_eq(&to_close[0], &calls[0]) && Arc::ptr_eq(&to_close[1], &calls[1]));
        for call in &to_close {
            streams.remove(call);
        }
        assert_eq!(streams.excess_count(), 0);
    }
}
