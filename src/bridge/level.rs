//! `Level`: how severe a log message of a server is, and how severe it must be for a client.

use serde_json::value::RawValue;

/// From the least to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(usize);

impl Level {
    pub(crate) const NAMES: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

    /// Returns `None` for JSON that names no level.
    pub(crate) fn from_json(json: &RawValue) -> Option<Level> {
        let name: String = serde_json::from_str(json.get()).ok()?;
        Level::NAMES.iter().position(|known| *known == name).map(Level)
    }

    pub(crate) fn name(self) -> &'static str {
        Level::NAMES[self.0]
    }
}
