//! `Progress`: the source that is in use, for the errors of callers whose time limit ends first.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// The name of the current source. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Option<String>>>);

impl Progress {
    /// `AWS credentials from …`, as part of a message.
    pub(crate) fn source(&self) -> String {
        lock(&self.0).clone().unwrap_or_else(|| "AWS credentials".to_owned())
    }

    pub(crate) fn set_source(&self, source: impl Display) {
        *lock(&self.0) = Some(format!("AWS credentials from {source}"));
    }
}
