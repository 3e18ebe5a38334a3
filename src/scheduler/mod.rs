//! When a message may start, and on which thread.
//!
//! The front submits messages in the order in which it reads them; the [`Scheduler`] gives them back
//! as [`Task`]s, each on a thread. `initialize` and notifications are barriers, requests run concurrently,
//! and detached messages (cancellations, responses) never wait for any of them. The reading thread never waits for the
//! network. Without a thread a message is refused, never lost.

pub(crate) mod detached;
pub(crate) mod handoff;
pub(crate) mod in_flight;
pub(crate) mod open_streams;
pub(crate) mod queue;
#[expect(
    clippy::module_inception,
    reason = "the type that the room is named after has a file of its own"
)]
pub(crate) mod scheduler;
pub(crate) mod threads;
pub(crate) mod timer;

pub(crate) use detached::Purpose;
pub(crate) use in_flight::InFlight;
pub(crate) use queue::After;
pub(crate) use scheduler::{Cancelled, Scheduler, Task};
pub(crate) use threads::out_of_threads;
