//! Configuration errors of the command line and the environment.

use crate::error::{Error, Kind};

/// A configuration error: what is wrong, and the imperative that fixes it.
pub(crate) fn usage_error(what: &str, fix: &str) -> Error {
    Error::new(Kind::Usage, what).context("configuration error").hint(fix)
}
