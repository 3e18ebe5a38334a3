//! The latency check: duration of each step on the way to the first list of tools.

use crate::doctor::report::{Check, Finding, Verdict};
use std::time::Duration;

/// Time that clients typically wait for the response to `initialize`.
const SLOW_START: Duration = Duration::from_secs(10);

/// Durations of the steps that were completed.
#[derive(Default)]
pub(crate) struct Latency {
    pub(crate) lookup: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) handshake: Option<Duration>,
    pub(crate) initialize: Option<Duration>,
    pub(crate) list: Option<Duration>,
}

impl Latency {
    pub(crate) fn finding(&self) -> Finding {
        let steps = [
            ("DNS", self.lookup),
            ("TCP", self.connect),
            ("TLS", self.handshake),
            ("initialize (new connection)", self.initialize),
            ("tools/list (kept connection)", self.list),
        ];
        let steps: Vec<String> = steps
            .iter()
            .filter_map(|(name, time)| Some(format!("{name} {}", milliseconds((*time)?))))
            .collect();
        let is_slow = self.initialize.is_some_and(|time| time > SLOW_START);
        let found = steps.join(", ");
        if is_slow {
            Finding::new(Check::Latency, Verdict::Warn, found).fix(
                "raise the client's time limit for starting servers (Claude Code: MCP_TIMEOUT)",
            )
        } else {
            Finding::new(Check::Latency, Verdict::Pass, found)
        }
    }
}

/// A duration as text.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
