//! `Losses`: what the other era cannot say is left out, and the log says so once.

use crate::log::Log;
use crate::sync::lock;
use std::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Losses {
    told: Mutex<Vec<&'static str>>,
    log: Log,
}

impl Losses {
    pub(crate) fn new(log: Log) -> Losses {
        Losses { told: Mutex::default(), log }
    }

    /// Logs what is lost, the first time.
    pub(crate) fn tell(&self, what: &'static str) {
        let mut told = lock(&self.told);
        if !told.contains(&what) {
            told.push(what);
            drop(told);
            self.log.info(what);
        }
    }
}
