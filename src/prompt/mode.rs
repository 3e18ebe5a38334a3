//! `Mode`: the user's setting for sign-ins that calls start.

/// Behaviour of a call that needs a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Shows a link and a code, which work from any device.
    Link,
    /// Shows a link that ends on this machine.
    Browser,
    /// Fails.
    Off,
}
