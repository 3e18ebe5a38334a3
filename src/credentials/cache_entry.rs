//! `CacheEntry`: the state of the current credentials, and whether to use or refresh them. Pure, except that it checks the
//! files they depend on.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::expiry;
use crate::credentials::source::Source;
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::error::Error;

/// Credentials that expire sooner are not used without waiting for newer ones.
const REQUIRED_VALIDITY: Duration = Duration::from_secs(60);

/// The first and the longest pause after refreshes that failed while the old credentials are valid.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(120);

/// Time in which the error of a look-up is returned without another one, if there are no valid credentials.
const ERROR_LIFETIME: Duration = Duration::from_secs(5);

/// The shortest time between two invalidations, so that a server that keeps refusing does not cause more requests to the
/// sources.
const INVALIDATION_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct CacheEntry {
    /// The last credentials found, unless they were invalidated.
    current: Option<Arc<Credentials>>,
    refresh_at: Option<OffsetDateTime>,
    /// The last look-up's error if it left no credentials, and when it ended.
    failure: Option<(Error, OffsetDateTime)>,
    /// How many refreshes in a row failed while the old credentials were valid.
    failures: u32,
    watch: Watch,
    /// How many look-ups have ended.
    generation: u64,
    /// The server refused the last credentials.
    is_invalidated: bool,
    invalidated_at: Option<OffsetDateTime>,
    /// Warnings that have not been taken.
    warnings: Vec<String>,
    /// The last look-up's warnings, which are not repeated while they last.
    reported: Vec<String>,
    passed_over: Vec<String>,
}

/// The next step of a caller.
pub(crate) enum Next {
    Use(Arc<Credentials>),
    /// Use these, and refresh them in the background.
    UseAndRefresh(Arc<Credentials>),
    /// Wait for a look-up. `force`: nothing that is remembered may be used.
    LookUp {
        force: bool,
    },
    Fail(Error),
}

impl CacheEntry {
    /// `now` is the local time; whether credentials are valid is judged by `time_of_aws`.
    pub(crate) fn next(&mut self, now: OffsetDateTime, time_of_aws: OffsetDateTime) -> Next {
        if self.is_invalidated || self.has_changed_files(now) {
            return Next::LookUp { force: true };
        }
        let Some(current) = self.current.as_ref().filter(|found| is_valid(found, time_of_aws))
        else {
            return match &self.failure {
                Some((error, at)) if expiry::is_recent(*at, now, ERROR_LIFETIME) => {
                    Next::Fail(error.clone())
                }
                _ => Next::LookUp { force: false },
            };
        };
        if self.refresh_at.is_none_or(|refresh_at| now < refresh_at) {
            return Next::Use(Arc::clone(current));
        }
        let left = current.expires.map(|expires| expiry::left(expires, time_of_aws));
        if left.is_some_and(|left| left <= REQUIRED_VALIDITY) {
            return Next::LookUp { force: false };
        }
        Next::UseAndRefresh(Arc::clone(current))
    }

    /// Keys in the environment cannot change; looking at files for them would only cost time.
    fn has_changed_files(&mut self, now: OffsetDateTime) -> bool {
        let is_fixed =
            self.current.as_ref().is_some_and(|found| found.source == Source::Environment);
        !is_fixed && !self.watch.is_unchanged(now)
    }

    /// The result of a look-up that ended after `generation`; `None` if there is none or it was invalidated since.
    pub(crate) fn result_after(
        &self,
        generation: u64,
        time_of_aws: OffsetDateTime,
    ) -> Option<Result<Arc<Credentials>, Error>> {
        if self.generation == generation {
            return None;
        }
        match (&self.current, &self.failure) {
            (Some(current), _) if is_valid(current, time_of_aws) => Some(Ok(Arc::clone(current))),
            (_, Some((error, _))) => Some(Err(error.clone())),
            _ => None,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_invalidated(&self) -> bool {
        self.is_invalidated
    }

    /// Forgets these credentials, if they are still the current ones and nothing was invalidated recently.
    pub(crate) fn invalidate(&mut self, refused: &Arc<Credentials>, now: OffsetDateTime) {
        let is_recent =
            self.invalidated_at.is_some_and(|at| expiry::is_recent(at, now, INVALIDATION_INTERVAL));
        if !is_recent && self.current.as_ref().is_some_and(|found| Arc::ptr_eq(found, refused)) {
            self.current = None;
            self.is_invalidated = true;
            self.invalidated_at = Some(now);
        }
    }

    /// Lets the next call look for credentials again.
    pub(crate) fn forget_failure(&mut self) {
        self.failure = None;
    }

    /// Stores the result of a look-up. Credentials equal to the current ones keep their `Arc`.
    pub(crate) fn store(
        &mut self,
        found: Result<Credentials, Error>,
        diagnostics: Diagnostics,
        now: OffsetDateTime,
        time_of_aws: OffsetDateTime,
    ) {
        let Diagnostics { watch, mut warnings, passed_over, .. } = diagnostics;
        let old = self.current.take().filter(|found| is_valid(found, time_of_aws));
        let result = match (old, found) {
            (old, Ok(new)) => {
                let left = new.expires.map(|expires| expiry::left(expires, time_of_aws));
                self.refresh_at = expiry::refresh_at(now, left);
                self.failures = 0;
                Ok(old.filter(|old| **old == new).unwrap_or_else(|| Arc::new(new)))
            }
            (Some(old), Err(error)) => {
                let source = &old.source;
                warnings.push(format!(
                    "credentials could not be refreshed; those from {source} remain in use until they expire: {error}"
                ));
                let pause = (FIRST_PAUSE * 2_u32.pow(self.failures.min(2))).min(MAX_PAUSE);
                self.refresh_at = old.expires.map(|_| expiry::after(now, pause));
                self.failures = self.failures.saturating_add(1);
                Ok(old)
            }
            (None, Err(error)) => Err(error),
        };
        self.current = result.as_ref().ok().cloned();
        self.failure = result.err().map(|error| (error, now));
        self.watch = watch;
        self.passed_over = passed_over;
        self.is_invalidated = false;
        self.generation += 1;
        self.warnings.extend(warnings.iter().filter(|text| !self.reported.contains(text)).cloned());
        self.reported = warnings;
    }

    /// Stores the error of a look-up that did not get as far as reading the files.
    pub(crate) fn store_abandoned(
        &mut self,
        error: Error,
        now: OffsetDateTime,
        time_of_aws: OffsetDateTime,
    ) {
        // A change of the files is still to be read.
        let watch = std::mem::take(&mut self.watch);
        let diagnostics = Diagnostics { watch, ..Diagnostics::default() };
        self.store(Err(error), diagnostics, now, time_of_aws);
    }

    pub(crate) fn has_warnings(&self) -> bool {
        !self.warnings.is_empty()
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The last look-up's warnings.
    pub(crate) fn reported(&self) -> &[String] {
        &self.reported
    }

    pub(crate) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    pub(crate) fn current(&self) -> Option<&Credentials> {
        self.current.as_deref()
    }
}

fn is_valid(credentials: &Credentials, time_of_aws: OffsetDateTime) -> bool {
    credentials.expires.is_none_or(|expires| expires > time_of_aws)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    #[test]
    fn a_failure_is_returned_for_a_moment_even_if_the_clock_is_set_back() {
        let mut entry = CacheEntry::default();
        let error = Error::new(Kind::Credentials, "none");
        entry.store(Err(error), Diagnostics::default(), NOW, NOW);
        for (seconds, fails) in [(0, true), (4, true), (5, false), (-1, false), (-3600, false)] {
            let now = NOW + time::Duration::seconds(seconds);
            assert_eq!(matches!(entry.next(now, now), Next::Fail(_)), fails, "{seconds} s");
        }
    }

    #[test]
    fn warnings_are_reported_once_while_they_last() {
        let mut entry = CacheEntry::default();
        let mut store = |warnings: &[&str]| {
            let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            let error = Error::new(Kind::Credentials, "none");
            let diagnostics = Diagnostics { warnings, ..Diagnostics::default() };
            entry.store(Err(error), diagnostics, NOW, NOW);
            entry.take_warnings()
        };
        assert_eq!(store(&["a"]), ["a"]);
        assert_eq!(store(&["a", "b"]), ["b"]);
        assert_eq!(store(&["b"]), [""; 0]);
        assert_eq!(store(&["a"]), ["a"]);
    }
}
