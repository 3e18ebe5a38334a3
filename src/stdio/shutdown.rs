//! Why the process ends, and how long that may take.

use std::time::Duration;

/// Maximum time for the last responses of cancelled calls to reach the client.
pub(crate) const SHUTDOWN_FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

/// Maximum time from the decision to end until all sessions are ended, the flush included.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(600);

/// Why the proxy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// stdin ended.
    InputClosed,
    /// stdout cannot be written: the client is gone.
    OutputClosed,
    /// SIGTERM, SIGINT, SIGQUIT or SIGHUP.
    Signal,
    /// stdin ended, and nothing is in flight any more.
    Idle,
}

impl ShutdownReason {
    /// The reason in the words of the log.
    pub(crate) fn words(self) -> &'static str {
        match self {
            ShutdownReason::InputClosed => "stdin has ended",
            ShutdownReason::OutputClosed => "stdout is closed",
            ShutdownReason::Signal => "a signal",
            ShutdownReason::Idle => "stdin has ended, and nothing is in flight",
        }
    }
}
