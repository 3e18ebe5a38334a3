//! `Settings`: what the user decides about translation.

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// False: every message passes as it is.
    pub is_on: bool,
    /// The client's first requests are answered before the server is asked.
    pub is_lazy: bool,
    /// `server/discover` before a legacy server is translated, too.
    pub answers_discover: bool,
    /// The client's side opens the GET stream of the first profile's session.
    pub opens_get_stream: bool,
}
