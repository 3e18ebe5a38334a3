//! Calls that need a sign-in: one sign-in for all calls and processes, shown to the user in the client.
//!
//! [`SignInGate`] wraps every exchange. After a failure that a sign-in would fix, `sign_ins` starts or joins one, which
//! `worker` carries out with the processes of this machine; `calls` decides what the call does meanwhile: wait for the response
//! to a URL elicitation (to 2025-11-25), respond with `input_required` (2026-07-28, `round`), or fail with the link.

mod calls;
mod client_view;
pub mod gate;
mod holder;
mod link;
mod mode;
mod round;
mod shared_sign_in;
mod sign_ins;
mod tool;
mod worker;

pub use gate::SignInGate;
pub use mode::Mode;
