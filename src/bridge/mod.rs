//! Translation between MCP 2026-07-28 ("modern") and the revisions before it ("legacy"), for a client and a server that
//! have no revision in common.
//!
//! `bridge` takes every message of the client on its way to `streamable_http`. A message whose era the server speaks, or may
//! speak, passes untouched. Only its refusal is `evidence`; `detection` then asks the server for the other era, `facts`
//! remember the outcome for the endpoint, and from then on one of two rooms translates: `downward` for a legacy client
//! of a modern server, `upward` for a modern client of a legacy server.

#[expect(
    clippy::module_inception,
    reason = "the type that gives the room its name has its own file"
)]
pub(crate) mod bridge;
mod detection;
mod downward;
mod early_discover;
mod envelope;
pub(crate) mod evidence;
pub(crate) mod facts;
#[cfg(fuzzing)]
mod fuzzing;
mod level;
mod losses;
pub(crate) mod outgoing;
pub(crate) mod settings;
mod upward;
mod watch;

pub(crate) use bridge::Bridge;
#[cfg(fuzzing)]
pub use fuzzing::translations;
pub(crate) use outgoing::Outgoing;
pub(crate) use settings::Settings;
