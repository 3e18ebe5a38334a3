//! `CredentialCache`: the current credentials, when to ask for newer ones, and one asking for all callers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::chain::{Chain, Notes};
use super::files::Watch;
use super::{CallerIdentity, Credentials, Settings, Source};
use crate::environment::Environment;
use crate::error::Error;
use crate::http::Cancel;
use crate::random;

/// Newer credentials are asked for this long before the old ones end, in the background.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// So that many processes that began together do not ask together.
const SPREAD: Duration = Duration::from_secs(60);

/// In this last moment callers wait for the newer ones.
const LATE: Duration = Duration::from_secs(60);

/// After an attempt that failed while the old credentials last: the first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// After an attempt that failed and left nothing: until then its error is the answer.
const ERROR_LASTS: Duration = Duration::from_secs(5);

/// A server that goes on refusing does not make us ask more often.
const BETWEEN_REJECTIONS: Duration = Duration::from_secs(30);

/// How long the end of what is being asked is waited for.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// The current credentials. Any thread may ask; one at a time goes and looks. Clones share everything.
#[derive(Clone)]
pub struct CredentialCache {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held by the thread that asks the sources, so that the others wait for what it finds.
    chain: Mutex<Chain>,
    state: Mutex<State>,
    /// There are warnings that nobody took.
    any_warnings: AtomicBool,
    cancel: Arc<Cancel>,
}

#[derive(Default)]
struct State {
    /// The last good answer, unless it was rejected since.
    held: Option<Arc<Credentials>>,
    /// When to ask for newer ones.
    due: Option<OffsetDateTime>,
    /// The last attempt's error, if it failed and left nothing, and until when it is the answer.
    failure: Option<(Error, OffsetDateTime)>,
    /// How many attempts failed in a row while the old credentials lasted.
    failures: u32,
    watch: Watch,
    /// How often the sources were asked.
    turn: u64,
    /// A thread was sent to ask ahead of time.
    is_asking_ahead: bool,
    /// Nothing that was found before counts.
    is_rejected: bool,
    rejected_at: Option<OffsetDateTime>,
    /// Not taken yet.
    warnings: Vec<String>,
    /// Said before, and not to be said again while it lasts.
    said: Vec<String>,
    passed_over: Vec<String>,
}

/// What a caller is to do.
enum Next {
    Use(Arc<Credentials>),
    UseAndAskAhead(Arc<Credentials>),
    Ask { turn: u64, anew: bool },
    Fail(Error),
}

impl CredentialCache {
    /// Reads nothing yet. `started`: when the process did.
    pub fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
    ) -> CredentialCache {
        let cancel = Cancel::new();
        let chain = Chain::new(environment, settings, started, Arc::clone(&cancel));
        let shared = Shared {
            chain: Mutex::new(chain),
            state: Mutex::default(),
            any_warnings: AtomicBool::new(false),
            cancel,
        };
        CredentialCache { shared: Arc::new(shared) }
    }

    /// The credentials to sign with now. Those found before, until they are about to expire, are rejected, or a
    /// file they depend on changes. A change that cannot be used, such as a file half written, is a warning
    /// while the old credentials last.
    pub fn get(&self, now: OffsetDateTime) -> Result<Arc<Credentials>, Error> {
        let next = self.shared.state().next(now);
        match next {
            Next::Use(held) => Ok(held),
            Next::UseAndAskAhead(held) => {
                let shared = Arc::clone(&self.shared);
                thread::spawn(move || shared.ask_ahead(now));
                Ok(held)
            }
            Next::Ask { turn, anew } => self.shared.ask(turn, anew, now),
            Next::Fail(error) => Err(error),
        }
    }

    /// After a refusal that blames the key: forgets exactly this one, so that the next call looks again. At
    /// most once in 30 seconds.
    pub fn reject(&self, bad: &Arc<Credentials>, now: OffsetDateTime) {
        let mut state = self.shared.state();
        let is_soon = state.rejected_at.is_some_and(|at| now < at + BETWEEN_REJECTIONS);
        if !is_soon && state.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, bad)) {
            state.held = None;
            state.is_rejected = true;
            state.rejected_at = Some(now);
        }
    }

    /// What a person should know although it works, each once; for the log.
    pub fn take_warnings(&self) -> Vec<String> {
        // Nearly always there are none, and every call asks.
        if !self.shared.any_warnings.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut state = self.shared.state();
        self.shared.any_warnings.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.warnings)
    }

    /// The sources before the one that answered last, and why each was not asked.
    pub fn passed_over(&self) -> Vec<String> {
        self.shared.state().passed_over.clone()
    }

    /// Asks STS as whom it knows these.
    pub fn caller_identity(
        &self,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<CallerIdentity, Error> {
        locked(&self.shared.chain).caller_identity(credentials, now)
    }

    /// The region of the EC2 instance we are on, for programs that find none elsewhere.
    pub fn region_of_instance(&self, now: OffsetDateTime) -> Option<String> {
        locked(&self.shared.chain).region_of_instance(now)
    }

    /// Ends what is being asked, the processes it started too: ours is about to end.
    pub fn end(&self) {
        self.shared.cancel.cancel();
        let patience = Instant::now() + END_PATIENCE;
        while let Err(TryLockError::WouldBlock) = self.shared.chain.try_lock()
            && Instant::now() < patience
        {
            Cancel::default().sleep(Duration::from_millis(5));
        }
    }
}

impl std::fmt::Debug for CredentialCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "CredentialCache({:?})", self.shared.state().held)
    }
}

impl Shared {
    fn ask(&self, turn: u64, anew: bool, now: OffsetDateTime) -> Result<Arc<Credentials>, Error> {
        let mut chain = locked(&self.chain);
        {
            let state = self.state();
            // Somebody else has asked meanwhile: that is our answer too.
            if state.turn != turn {
                match (&state.held, &state.failure) {
                    (Some(held), _) if is_valid(held, now) => return Ok(Arc::clone(held)),
                    (_, Some((error, _))) => return Err(error.clone()),
                    _ => {}
                }
            }
        }
        let mut notes = Notes::default();
        let found = chain.resolve(anew, now, &mut notes);
        self.settle(found, notes, now)
    }

    /// Ahead of time, while others go on with what is held. Whoever asks already asks for us.
    fn ask_ahead(&self, now: OffsetDateTime) {
        let mut chain = match self.chain.try_lock() {
            Ok(chain) => chain,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.state().is_asking_ahead = false;
                return;
            }
        };
        let mut notes = Notes::default();
        let found = chain.resolve(false, now, &mut notes);
        // Its warnings are kept in the state, and its error is one of them.
        let _ = self.settle(found, notes, now);
        self.state().is_asking_ahead = false;
    }

    fn settle(
        &self,
        found: Result<Credentials, Error>,
        notes: Notes,
        now: OffsetDateTime,
    ) -> Result<Arc<Credentials>, Error> {
        let mut state = self.state();
        let result = state.settle(found, notes, now);
        self.any_warnings.store(!state.warnings.is_empty(), Ordering::Relaxed);
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn next(&mut self, now: OffsetDateTime) -> Next {
        let turn = self.turn;
        if self.is_rejected {
            return Next::Ask { turn, anew: true };
        }
        if !self.depends_on_nothing() && !self.watch.is_unchanged(now) {
            return Next::Ask { turn, anew: true };
        }
        let Some(held) = self.held.as_ref().filter(|held| is_valid(held, now)) else {
            return match &self.failure {
                Some((error, until)) if now < *until => Next::Fail(error.clone()),
                _ => Next::Ask { turn, anew: false },
            };
        };
        if self.due.is_none_or(|due| now < due) {
            return Next::Use(Arc::clone(held));
        }
        if held.expires.is_some_and(|expires| now + LATE >= expires) {
            return Next::Ask { turn, anew: false };
        }
        if self.is_asking_ahead {
            return Next::Use(Arc::clone(held));
        }
        self.is_asking_ahead = true;
        Next::UseAndAskAhead(Arc::clone(held))
    }

    /// Keys of the environment stay what they are.
    fn depends_on_nothing(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.source == Source::Environment)
    }

    /// Remembers what was found. The same credentials stay the same `Arc`.
    fn settle(
        &mut self,
        found: Result<Credentials, Error>,
        notes: Notes,
        now: OffsetDateTime,
    ) -> Result<Arc<Credentials>, Error> {
        let Notes { watch, mut warnings, passed_over } = notes;
        let old = self.held.take().filter(|held| is_valid(held, now));
        let result = match (old, found) {
            (old, Ok(new)) => {
                self.due = due(now, new.expires);
                self.failures = 0;
                Ok(old.filter(|old| **old == new).unwrap_or_else(|| Arc::new(new)))
            }
            (Some(old), Err(error)) => {
                let source = &old.source;
                warnings.push(format!(
                    "looking for credentials again failed, so the keys of {source} stay in use: {error}"
                ));
                let pause = (PAUSE * 2_u32.pow(self.failures.min(2))).min(LONGEST_PAUSE);
                self.due = old.expires.map(|_| now + pause);
                self.failures += 1;
                Ok(old)
            }
            (None, Err(error)) => Err(error),
        };
        self.held = result.as_ref().ok().cloned();
        self.failure = result.as_ref().err().map(|error| (error.clone(), now + ERROR_LASTS));
        self.watch = watch;
        self.passed_over = passed_over;
        self.is_rejected = false;
        self.turn += 1;
        self.warnings.extend(warnings.iter().filter(|text| !self.said.contains(text)).cloned());
        self.said = warnings;
        result
    }
}

/// When to ask for newer credentials than these.
pub(super) fn due(now: OffsetDateTime, expires: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    // A source that hands out the same ones until the last moment is not asked all the time.
    const AT_LEAST: Duration = Duration::from_secs(30);
    let expires = expires?;
    let left = Duration::try_from(expires - now).unwrap_or_default();
    let wait = match left.checked_sub(2 * EARLY) {
        Some(more) => more + EARLY + random::up_to(SPREAD),
        None => left / 2,
    };
    Some(now + wait.max(AT_LEAST))
}

fn is_valid(held: &Credentials, now: OffsetDateTime) -> bool {
    held.expires.is_none_or(|expires| expires > now)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each value is valid between statements, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    #[test]
    fn newer_ones_are_due_ahead_of_time() {
        let wait = |lasts: u64| {
            let due = due(NOW, Some(NOW + Duration::from_secs(lasts))).unwrap() - NOW;
            due.whole_seconds()
        };
        assert!((3300..=3360).contains(&wait(3600)), "{}", wait(3600));
        assert_eq!((wait(599), wait(100), wait(1)), (299, 50, 30));
        assert_eq!(due(NOW, None), None);
    }

    #[test]
    fn warnings_are_said_once_while_they_last() {
        let mut state = State::default();
        let mut settle = |warnings: &[&str]| {
            let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            let error = Error::new(Kind::Credentials, "none");
            let notes = Notes { warnings, ..Notes::default() };
            state.settle(Err(error), notes, NOW).unwrap_err();
            std::mem::take(&mut state.warnings)
        };
        assert_eq!(settle(&["a"]), ["a"]);
        assert_eq!(settle(&["a", "b"]), ["b"]);
        assert_eq!(settle(&["b"]), [""; 0]);
        assert_eq!(settle(&["a"]), ["a"]);
    }
}
