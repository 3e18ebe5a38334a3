//! `CredentialCache`: the current credentials, when to ask for newer ones, and one asking for all callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::aws::clock_skew::ClockSkew;
use crate::credentials::chain::Chain;
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::expiry;
use crate::credentials::progress::Progress;
use crate::credentials::settings::Settings;
use crate::credentials::source::Source;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::sts::CallerIdentity;
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::sync::cancel::Cancel;
use crate::sync::monitor::{Monitor, WaitError};

/// In this last moment callers wait for the newer ones.
const LATE: Duration = Duration::from_secs(60);

/// After an attempt that failed while the old credentials last: the first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// After an attempt that failed and left nothing: until then its error is the answer.
const ERROR_LASTS: Duration = Duration::from_secs(5);

/// A server that goes on refusing does not make us ask more often.
const BETWEEN_REJECTIONS: Duration = Duration::from_secs(30);

/// The current credentials. The sources are asked on a thread of its own, one request at a time for all callers; each
/// caller waits for it until its own limit. Clones share everything.
#[derive(Clone)]
pub struct CredentialCache {
    shared: Arc<Shared>,
}

struct Shared {
    state: Arc<Monitor<State>>,
    /// The source that is being asked.
    progress: Progress,
    /// There are warnings that nobody took.
    any_warnings: AtomicBool,
    /// How far the clock here is from that of AWS, as the services that give credentials say. Whether credentials have
    /// expired is judged by their time; pauses are measured here.
    skew: Arc<ClockSkew>,
    cancel: Arc<Cancel>,
}

#[derive(Default)]
struct State {
    /// Absent while a thread asks the sources with it: nobody waits for a lock meanwhile.
    chain: Option<Box<Chain>>,
    /// The last good answer, unless it was rejected since.
    held: Option<Arc<Credentials>>,
    /// When to ask for newer ones.
    refresh_at: Option<OffsetDateTime>,
    /// The last attempt's error, if it failed and left nothing, and until when it is the answer.
    failure: Option<(Error, OffsetDateTime)>,
    /// How many attempts failed in a row while the old credentials lasted.
    failures: u32,
    watch: Watch,
    /// How often the sources were asked.
    turn: u64,
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
    Ask { force: bool },
    Fail(Error),
}

/// The chain while it is away from the state; it goes back when this is dropped.
struct Lease {
    shared: Arc<Shared>,
    chain: Option<Box<Chain>>,
}

/// One request to the sources. Dropped before it is settled, because there was no thread for it or it panicked, it
/// settles as a failure, so that no caller waits for it.
struct Asking {
    lease: Lease,
    force: bool,
    now: OffsetDateTime,
    is_settled: bool,
}

impl CredentialCache {
    /// Reads nothing yet. `started`: when the process did.
    pub fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
    ) -> CredentialCache {
        let (cancel, skew) = (Cancel::new(), Arc::<ClockSkew>::default());
        let progress = Progress::default();
        let network = Network {
            ca_bundle: settings.ca_bundle.clone(),
            environment: environment.clone(),
            redactor: settings.redactor.clone(),
            skew: Arc::clone(&skew),
            cancel: Arc::clone(&cancel),
        };
        let chain = Chain::new(environment, settings, started, network, progress.clone());
        let state = State { chain: Some(Box::new(chain)), ..State::default() };
        let state = Monitor::new(state);
        let any_warnings = AtomicBool::new(false);
        let shared = Shared { state, progress, any_warnings, skew, cancel };
        CredentialCache { shared: Arc::new(shared) }
    }

    /// The credentials to sign with now. Those found before, until they are about to expire, are rejected, or a
    /// file they depend on changes. A change that cannot be used, such as a file half written, is a warning
    /// while the old credentials last. Waits for the sources as long as their own limits allow.
    pub fn get(&self, now: OffsetDateTime) -> Result<Arc<Credentials>, Error> {
        self.get_until(now, None, &Cancel::default())
    }

    /// Like `get`, but waits until `deadline` or `cancel` at most. The sources are asked on then, for later callers.
    pub fn get_until(
        &self,
        now: OffsetDateTime,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        let mut state = self.shared.state.lock();
        match state.next(now, self.time_of_aws(now)) {
            Next::Use(held) => Ok(held),
            Next::UseAndAskAhead(held) => {
                let chain = state.chain.take();
                drop(state);
                self.shared.ask(chain, false, now);
                Ok(held)
            }
            Next::Ask { force } => {
                let turn = state.turn;
                drop(state);
                self.shared.wait(turn, force, now, deadline, cancel)
            }
            Next::Fail(error) => Err(error),
        }
    }

    /// The time of AWS when it is `now` here, as far as the services that give credentials have told it.
    pub fn time_of_aws(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.shared.skew.at(now)
    }

    /// After a refusal that blames the key: forgets exactly this one, so that the next call looks again. At
    /// most once in 30 seconds.
    pub fn invalidate(&self, bad: &Arc<Credentials>, now: OffsetDateTime) {
        let mut state = self.shared.state.lock();
        let is_soon = state
            .rejected_at
            .is_some_and(|at| now >= at && now < expiry::after(at, BETWEEN_REJECTIONS));
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
        let mut state = self.shared.state.lock();
        self.shared.any_warnings.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.warnings)
    }

    /// The sources before the one that answered last, and why each was not asked.
    pub fn passed_over(&self) -> Vec<String> {
        self.shared.state.lock().passed_over.clone()
    }

    /// Asks STS as whom it knows these.
    pub fn caller_identity(
        &self,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<CallerIdentity, Error> {
        let mut lease = self.shared.lease()?;
        lease.chain().caller_identity(credentials, now)
    }

    /// The region of the EC2 instance we are on, for programs that find none elsewhere.
    pub fn instance_region(&self, now: OffsetDateTime) -> Option<String> {
        self.shared.lease().ok()?.chain().instance_region(now)
    }

    /// Ends what is being asked, the processes it started too, and asks nothing more. Does not wait.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// Waits until nothing is being asked, until `deadline` at most.
    pub fn wait_until_idle(&self, deadline: Instant) {
        let is_idle = |state: &mut State| state.chain.is_some().then_some(());
        let _ = self.shared.state.wait(Some(deadline), &Cancel::default(), is_idle);
    }
}

impl std::fmt::Debug for CredentialCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "CredentialCache({:?})", self.shared.state.lock().held)
    }
}

impl Shared {
    /// Waits for what the sources answer after `turn`. The first to find them idle has them asked.
    fn wait(
        self: &Arc<Self>,
        turn: u64,
        force: bool,
        now: OffsetDateTime,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        enum Found {
            Result(Result<Arc<Credentials>, Error>),
            Idle(Box<Chain>, bool),
        }
        loop {
            let found = self.state.wait(deadline, cancel, |state| {
                if state.turn != turn {
                    match (&state.held, &state.failure) {
                        (Some(held), _) if is_valid(held, self.skew.at(now)) => {
                            return Some(Found::Result(Ok(Arc::clone(held))));
                        }
                        (_, Some((error, _))) => return Some(Found::Result(Err(error.clone()))),
                        // Rejected since.
                        _ => {}
                    }
                }
                if self.cancel.is_cancelled() {
                    return Some(Found::Result(Err(ending())));
                }
                let force = force || state.is_rejected;
                state.chain.take().map(|chain| Found::Idle(chain, force))
            });
            match found {
                Ok(Found::Result(result)) => return result,
                Ok(Found::Idle(chain, force)) => self.ask(Some(chain), force, now),
                Err(WaitError::Cancelled) => {
                    return Err(Error::new(Kind::Cancelled, "the call was cancelled"));
                }
                Err(WaitError::TimedOut) => return Err(self.still_asking()),
            }
        }
    }

    /// Asks the sources on a thread of its own, if nobody does.
    fn ask(self: &Arc<Self>, chain: Option<Box<Chain>>, force: bool, now: OffsetDateTime) {
        if chain.is_none() {
            return;
        }
        let lease = Lease { shared: Arc::clone(self), chain };
        let asking = Asking { lease, force, now, is_settled: false };
        // Without a thread it is dropped, and thereby settled.
        let _ = thread::Builder::new().name("credentials".to_owned()).spawn(|| asking.run());
    }

    fn still_asking(&self) -> Error {
        let source = self.progress.source();
        let what = format!("still waiting for {source} when the time limit of the request passed");
        Error::new(Kind::TimedOut, what).hint(
            "raise --timeout, or --tool-timeout for tools/call; time the source alone: aws sts get-caller-identity",
        )
    }

    /// The chain, once nobody asks with it.
    fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let chain = self.state.wait(None, &self.cancel, |state| state.chain.take());
        let chain = chain.map_err(|_| ending())?;
        Ok(Lease { shared: Arc::clone(self), chain: Some(chain) })
    }
}

impl Lease {
    fn chain(&mut self) -> &mut Chain {
        self.chain.as_mut().expect("only dropping takes it")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let chain = self.chain.take();
        self.shared.state.update(|state| state.chain = chain);
    }
}

impl Asking {
    fn run(mut self) {
        let mut notes = Diagnostics::default();
        let began = Instant::now();
        let found = self.lease.chain().resolve(self.force, self.now, &mut notes);
        // In whole seconds, as all that is measured from here.
        self.now = expiry::after(self.now, Duration::from_secs(began.elapsed().as_secs()));
        self.settle(found, notes);
    }

    /// The chain is still away, so callers see the outcome before they could have it asked again.
    fn settle(&mut self, found: Result<Credentials, Error>, notes: Diagnostics) {
        self.is_settled = true;
        let shared = &self.lease.shared;
        shared.state.update(|state| {
            state.settle(found, notes, self.now, shared.skew.at(self.now));
            shared.any_warnings.store(!state.warnings.is_empty(), Ordering::Relaxed);
        });
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let error = if thread::panicking() {
            Error::new(Kind::Internal, "a bug in sigv4-proxy ended the search for credentials")
                .hint("please report it")
        } else {
            Error::new(Kind::Credentials, "no thread can be started to look for credentials")
                .hint("raise the limit of processes (ulimit -u), or that of the container")
        };
        // What changed in the files is still to be read.
        let watch = std::mem::take(&mut self.lease.shared.state.lock().watch);
        self.settle(Err(error), Diagnostics { watch, ..Diagnostics::default() });
    }
}

fn ending() -> Error {
    Error::new(Kind::Cancelled, "the process is ending")
}

impl State {
    /// `now` is the time here, `there` that of AWS.
    fn next(&mut self, now: OffsetDateTime, there: OffsetDateTime) -> Next {
        if self.is_rejected {
            return Next::Ask { force: true };
        }
        if !self.depends_on_nothing() && !self.watch.is_unchanged(now) {
            return Next::Ask { force: true };
        }
        let Some(held) = self.held.as_ref().filter(|held| is_valid(held, there)) else {
            return match &self.failure {
                Some((error, until)) if now < *until => Next::Fail(error.clone()),
                _ => Next::Ask { force: false },
            };
        };
        if self.refresh_at.is_none_or(|refresh_at| now < refresh_at) {
            return Next::Use(Arc::clone(held));
        }
        if held.expires.is_some_and(|expires| expiry::left(expires, there) <= LATE) {
            return Next::Ask { force: false };
        }
        // Whoever asks already asks for us.
        if self.chain.is_none() {
            Next::Use(Arc::clone(held))
        } else {
            Next::UseAndAskAhead(Arc::clone(held))
        }
    }

    /// Keys of the environment stay what they are.
    fn depends_on_nothing(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.source == Source::Environment)
    }

    /// Remembers what was found. The same credentials stay the same `Arc`.
    fn settle(
        &mut self,
        found: Result<Credentials, Error>,
        notes: Diagnostics,
        now: OffsetDateTime,
        there: OffsetDateTime,
    ) {
        let Diagnostics { watch, mut warnings, passed_over, unreadable: _ } = notes;
        let old = self.held.take().filter(|held| is_valid(held, there));
        let result = match (old, found) {
            (old, Ok(new)) => {
                let left = new.expires.map(|expires| expiry::left(expires, there));
                self.refresh_at = expiry::refresh_at(now, left);
                self.failures = 0;
                Ok(old.filter(|old| **old == new).unwrap_or_else(|| Arc::new(new)))
            }
            (Some(old), Err(error)) => {
                let source = &old.source;
                warnings.push(format!(
                    "looking for credentials again failed, so the keys of {source} stay in use: {error}"
                ));
                let pause = (PAUSE * 2_u32.pow(self.failures.min(2))).min(LONGEST_PAUSE);
                self.refresh_at = old.expires.map(|_| expiry::after(now, pause));
                self.failures = self.failures.saturating_add(1);
                Ok(old)
            }
            (None, Err(error)) => Err(error),
        };
        self.held = result.as_ref().ok().cloned();
        self.failure =
            result.as_ref().err().map(|error| (error.clone(), expiry::after(now, ERROR_LASTS)));
        self.watch = watch;
        self.passed_over = passed_over;
        self.is_rejected = false;
        self.turn += 1;
        self.warnings.extend(warnings.iter().filter(|text| !self.said.contains(text)).cloned());
        self.said = warnings;
    }
}

fn is_valid(held: &Credentials, there: OffsetDateTime) -> bool {
    held.expires.is_none_or(|expires| expires > there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    #[test]
    fn warnings_are_said_once_while_they_last() {
        let mut state = State::default();
        let mut settle = |warnings: &[&str]| {
            let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
            let error = Error::new(Kind::Credentials, "none");
            let notes = Diagnostics { warnings, ..Diagnostics::default() };
            state.settle(Err(error), notes, NOW, NOW);
            std::mem::take(&mut state.warnings)
        };
        assert_eq!(settle(&["a"]), ["a"]);
        assert_eq!(settle(&["a", "b"]), ["b"]);
        assert_eq!(settle(&["b"]), [""; 0]);
        assert_eq!(settle(&["a"]), ["a"]);
    }
}
