//! Start of messages: their order, their limits, and their threads.
//!
//! `stdio` submits messages in the order in which it reads them; the [`Scheduler`] returns them as [`Task`]s, each on a
//! thread. `initialize` and notifications are barriers, requests run concurrently, and detached messages (cancellations,
//! responses) wait for none of them. The input is read even while calls wait for the network. If no thread can be started, a
//! message is refused, not lost.

pub(crate) mod admission;
pub(crate) mod detached;
pub(crate) mod handoff;
pub(crate) mod in_flight;
pub(crate) mod open_streams;
pub(crate) mod queue;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the room its name has its own file"
)]
pub(crate) mod scheduler;
pub(crate) mod threads;
pub(crate) mod timer;

pub(crate) use detached::Purpose;
pub(crate) use in_flight::{CANCEL_GRACE, CallKind, InFlight};
pub(crate) use queue::{After, timed_out_in_queue};
pub(crate) use scheduler::{Cancelled, Scheduler, Task};
