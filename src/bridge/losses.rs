//! `Losses`: what the other era cannot express is left out, and the log names it once.

use crate::log::Log;
use crate::sync::lock;
use std::collections::HashSet;
use std::sync::Mutex;

/// Maximum number of texts that are remembered, since some of them quote the server. Further ones are not logged.
const MAX_TEXTS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Losses {
    logged: Mutex<HashSet<String>>,
    log: Log,
}

impl Losses {
    pub(crate) fn new(log: Log) -> Losses {
        Losses { logged: Mutex::default(), log }
    }

    /// Logs a loss, unless it was logged before.
    pub(crate) fn log_once(&self, what: &str) {
        let mut logged = lock(&self.logged);
        if logged.len() < MAX_TEXTS && logged.insert(what.to_owned()) {
            drop(logged);
            self.log.info(what);
        }
    }
}
