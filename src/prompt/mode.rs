//! `Mode`: what the user decides about sign-ins that calls begin.

/// What a call does when a sign-in is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Shows a link and a code, which work from any device.
    Link,
    /// Shows a link that ends on this machine.
    Browser,
    /// Fails.
    Off,
}
