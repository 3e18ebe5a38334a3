//! `Diagnostics`: reports of a look-up in addition to its result.

use crate::credentials::watch::Watch;
use crate::error::Error;

/// Collected while the chain is resolved.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    /// The files that the result depends on.
    pub(crate) watch: Watch,
    /// Problems that the user should know of although the look-up succeeds.
    pub(crate) warnings: Vec<String>,
    /// The sources that were skipped, in their order, and why.
    pub(crate) passed_over: Vec<String>,
    /// Why a file that may hold profiles cannot be read.
    pub(crate) unreadable: Option<Error>,
    /// Files of profiles that count as empty although a variable names them, and why; also in `warnings`.
    pub(crate) absent: Vec<String>,
    /// How to make the first of these readable, if that is known.
    pub(crate) fix: Option<String>,
    /// The profiles that the user may have meant in place of the selected one.
    pub(crate) other_profiles: Option<String>,
}
