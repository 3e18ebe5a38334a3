//! `Settings`: what the user decides about translation.

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// False: every message passes as it is.
    pub is_on: bool,
    /// The client's first requests are answered before the server is asked.
    pub is_lazy: bool,
    /// `server/discover` before a legacy server is translated, too.
    pub answers_discover: bool,
    /// Streams of what the server sends on its own may be opened.
    pub opens_get_stream: bool,
}
