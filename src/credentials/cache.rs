//! `CredentialCache`: the current credentials, and one look-up at a time for all callers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::aws::clock_skew::ClockSkew;
use crate::credentials::cache_entry::{CacheEntry, Next};
use crate::credentials::chain::Chain;
use crate::credentials::diagnostics::Diagnostics;
use crate::credentials::executor::Executor;
use crate::credentials::expiry;
use crate::credentials::progress::Progress;
use crate::credentials::providers::Providers;
use crate::credentials::services::Services;
use crate::credentials::settings::Settings;
use crate::credentials::sign_in_plan::SignInPlan;
use crate::credentials::sources::request::Network;
use crate::credentials::sources::sts::{CallerIdentity, MfaCode};
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind, SsoSession, out_of_threads};
use crate::http::ProxySettings;
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::{Monitor, WaitError};
use crate::sync::spawn;

/// The current credentials. One look-up at a time, on a separate thread, uses the sources for all callers; each
/// caller waits for it until its own limit. Clones share everything.
#[derive(Clone)]
pub struct CredentialCache {
    shared: Arc<Shared>,
}

struct Shared {
    state: Arc<Monitor<State>>,
    progress: Progress,
    /// Whether there are warnings that have not been taken.
    any_warnings: AtomicBool,
    /// The difference between the local clock and AWS's, as the credential services' responses show it. Whether
    /// credentials have expired is judged by AWS's time; pauses are measured by the local clock.
    skew: Arc<ClockSkew>,
    cancel: Arc<Cancel>,
}

#[derive(Default)]
struct State {
    /// Taken by the thread of a look-up, so that no lock is held meanwhile.
    chain: Option<Box<Chain>>,
    entry: CacheEntry,
}

/// The chain while it is taken out of the state. Dropping the lease returns it.
struct Lease {
    shared: Arc<Shared>,
    chain: Option<Box<Chain>>,
}

/// One look-up. If it is dropped before its result is stored, because no thread could be started or it panicked, a
/// failure is stored, so that no caller waits forever.
struct LookUp {
    lease: Lease,
    force: bool,
    now: OffsetDateTime,
    is_stored: bool,
}

impl CredentialCache {
    /// Creates a cache that has not read anything yet. `started` is when the process started.
    pub fn new(
        environment: Environment,
        settings: Settings,
        started: OffsetDateTime,
    ) -> CredentialCache {
        let (cancel, skew) = (Cancel::new(), Arc::<ClockSkew>::default());
        let progress = Progress::default();
        let network = Network {
            ca_bundle: settings.ca_bundle.clone(),
            proxies: ProxySettings::new(&environment),
            redactor: settings.redactor.clone(),
            skew: Arc::clone(&skew),
            cancel: Arc::clone(&cancel),
        };
        let executor = Executor::new(Providers::new(
            environment.clone(),
            settings.clone(),
            started,
            network,
            progress.clone(),
        ));
        let chain = Chain::new(environment, settings, executor);
        let state = Monitor::new(State { chain: Some(Box::new(chain)), ..State::default() });
        let any_warnings = AtomicBool::new(false);
        let shared = Shared { state, progress, any_warnings, skew, cancel };
        CredentialCache { shared: Arc::new(shared) }
    }

    /// The credentials to sign with now: the current ones until they are about to expire, are invalidated, or a file that
    /// they depend on changes. A change that cannot be used, such as a half-written file, is a warning while the old
    /// credentials are valid. Waits for the sources as long as their own limits allow.
    ///
    /// # Errors
    /// `Kind::NoCredentials` if no source is configured, `Kind::Credentials` if a source fails.
    pub fn get(&self, now: OffsetDateTime) -> Result<Arc<Credentials>, Error> {
        self.get_until(now, None, &Cancel::default())
    }

    /// Like [`get`](CredentialCache::get), but waits until `deadline` or `cancel` at most. The look-up then continues for
    /// later callers.
    ///
    /// # Errors
    /// In addition `Kind::TimedOut` and `Kind::Cancelled`.
    pub fn get_until(
        &self,
        now: OffsetDateTime,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        self.get_or_wait(now, deadline, cancel, || ())
    }

    /// Like [`get_until`](CredentialCache::get_until). Calls `on_wait` before it waits.
    pub(crate) fn get_or_wait(
        &self,
        now: OffsetDateTime,
        deadline: Option<Instant>,
        cancel: &Cancel,
        on_wait: impl FnOnce(),
    ) -> Result<Arc<Credentials>, Error> {
        let mut state = self.shared.state.lock();
        match state.entry.next(now, self.time_of_aws(now)) {
            Next::Use(current) => Ok(current),
            Next::UseAndRefresh(current) => {
                let chain = state.chain.take();
                drop(state);
                // Without the chain, another thread is refreshing already.
                if let Some(chain) = chain {
                    self.shared.look_up(chain, false, now);
                }
                Ok(current)
            }
            Next::LookUp { force } => {
                let generation = state.entry.generation();
                drop(state);
                on_wait();
                self.shared.wait(generation, force, now, deadline, cancel)
            }
            Next::Fail(error) => Err(error),
        }
    }

    /// AWS's time when it is `now` here, as far as the credential services' responses have shown it.
    pub fn time_of_aws(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.shared.skew.at(now)
    }

    /// Forgets credentials that a server has refused, so that the next call looks for others; at most once in 30 seconds.
    pub fn invalidate(&self, refused: &Arc<Credentials>, now: OffsetDateTime) {
        self.shared.state.lock().entry.invalidate(refused, now);
    }

    /// Problems that the user should know of although credentials were found, each once; for the log.
    pub fn take_warnings(&self) -> Vec<String> {
        // Every call checks, and nearly always there are none.
        if !self.shared.any_warnings.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut state = self.shared.state.lock();
        self.shared.any_warnings.store(false, Ordering::Relaxed);
        state.entry.take_warnings()
    }

    /// The problems that the last look-up found although it may have succeeded; for a report.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.state.lock().entry.reported().to_vec()
    }

    /// The sources before the one that was used last, with the reasons why they were skipped.
    pub fn passed_over(&self) -> Vec<String> {
        self.shared.state.lock().entry.passed_over().to_vec()
    }

    /// The account and ARN that STS reports for these credentials.
    ///
    /// # Errors
    /// STS cannot be reached or refuses the request.
    pub fn caller_identity(
        &self,
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Result<CallerIdentity, Error> {
        let mut lease = self.shared.lease()?;
        lease.chain().caller_identity(credentials, now)
    }

    /// The region of this EC2 instance, for programs that find none elsewhere.
    pub fn instance_region(&self, now: OffsetDateTime) -> Option<String> {
        self.shared.lease().ok()?.chain().instance_region(now)
    }

    /// AWS's credential services as the selected profile configures them.
    ///
    /// # Errors
    /// The files cannot be used, or the profile does not exist.
    pub(crate) fn services(&self, now: OffsetDateTime) -> Result<Services, Error> {
        self.shared.lease()?.chain().services(now)
    }

    /// The `[sso-session]` of this name.
    ///
    /// # Errors
    /// It does not exist or is incomplete.
    pub(crate) fn sso_session(&self, name: &str) -> Result<SsoSession, Error> {
        self.shared.lease()?.chain().sso_session(name)
    }

    /// The sign-ins that lead to credentials.
    ///
    /// # Errors
    /// The configuration is not usable.
    pub(crate) fn sign_ins(&self, now: OffsetDateTime) -> Result<SignInPlan, Error> {
        self.shared.lease()?.chain().sign_ins(now)
    }

    /// Gets the credentials that a code of this profile's MFA device is exchanged with.
    ///
    /// # Errors
    /// They cannot be obtained.
    pub(crate) fn prepare_exchange(&self, profile: &str, now: OffsetDateTime) -> Result<(), Error> {
        self.shared.lease()?.chain().prepare_exchange(profile, now)
    }

    /// Exchanges a code of an MFA device for credentials, which the next call finds.
    ///
    /// # Errors
    /// STS cannot be reached or refuses the code, or the file cannot be written.
    pub(crate) fn exchange_code(
        &self,
        profile: &str,
        code: MfaCode<'_>,
        now: OffsetDateTime,
    ) -> Result<Credentials, Error> {
        self.shared.lease()?.chain().exchange_code(profile, code, now)
    }

    /// Makes the next call look for credentials again, although the last look-up has just failed.
    pub(crate) fn forget_failure(&self) {
        self.shared.state.lock().entry.forget_failure();
    }

    /// Cancelled when the process ends.
    pub(crate) fn end(&self) -> &Arc<Cancel> {
        &self.shared.cancel
    }

    /// Ends a running look-up, including processes that it started, and prevents new ones. Does not wait.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// Waits until no look-up is running, until `deadline` at most.
    pub fn wait_until_idle(&self, deadline: Instant) {
        let is_idle = |state: &mut State| state.chain.is_some().then_some(());
        let _ = self.shared.state.wait(Some(deadline), &Cancel::default(), is_idle);
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CredentialCache({:?})", self.shared.state.lock().entry.current())
    }
}

impl Shared {
    /// Waits for the result of a look-up that ends after `generation`. Starts one whenever none is running.
    fn wait(
        self: &Arc<Self>,
        generation: u64,
        force: bool,
        now: OffsetDateTime,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Arc<Credentials>, Error> {
        enum Outcome {
            Result(Result<Arc<Credentials>, Error>),
            Idle(Box<Chain>, bool),
        }
        loop {
            let outcome = self.state.wait(deadline, cancel, |state| {
                if let Some(result) = state.entry.result_after(generation, self.skew.at(now)) {
                    return Some(Outcome::Result(result));
                }
                if self.cancel.is_cancelled() {
                    return Some(Outcome::Result(Err(process_is_ending())));
                }
                let force = force || state.entry.is_invalidated();
                state.chain.take().map(|chain| Outcome::Idle(chain, force))
            });
            match outcome {
                Ok(Outcome::Result(result)) => return result,
                Ok(Outcome::Idle(chain, force)) => self.look_up(chain, force, now),
                Err(WaitError::Cancelled) => {
                    return Err(cancelled());
                }
                Err(WaitError::TimedOut) => return Err(self.timed_out()),
            }
        }
    }

    /// Starts a look-up on a separate thread.
    fn look_up(self: &Arc<Self>, chain: Box<Chain>, force: bool, now: OffsetDateTime) {
        let lease = Lease { shared: Arc::clone(self), chain: Some(chain) };
        let look_up = LookUp { lease, force, now, is_stored: false };
        // If no thread can be started, it is dropped, and so a failure is stored.
        let _ = spawn("credentials", || look_up.run());
    }

    fn timed_out(&self) -> Error {
        let source = self.progress.source();
        let what = format!("the request timed out while waiting for {source}");
        Error::new(Kind::TimedOut, what).hint(
            "raise --timeout, or --tool-timeout for tools/call; test the source alone with aws sts get-caller-identity",
        )
    }

    /// The chain, once no look-up is running.
    fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let chain = self.state.wait(None, &self.cancel, |state| state.chain.take());
        let chain = chain.map_err(|_| process_is_ending())?;
        Ok(Lease { shared: Arc::clone(self), chain: Some(chain) })
    }

    /// Changes the entry and wakes the callers that wait for it.
    fn update(&self, change: impl FnOnce(&mut CacheEntry)) {
        self.state.update(|state| {
            change(&mut state.entry);
            self.any_warnings.store(state.entry.has_warnings(), Ordering::Relaxed);
        });
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

impl LookUp {
    fn run(mut self) {
        let mut diagnostics = Diagnostics::default();
        let began = Instant::now();
        let found = self.lease.chain().resolve(self.force, self.now, &mut diagnostics);
        // In whole seconds, like all that is measured from here.
        let now = expiry::after(self.now, Duration::from_secs(began.elapsed().as_secs()));
        // The chain is returned after this, so callers see the result before they could start another look-up.
        self.is_stored = true;
        let shared = &self.lease.shared;
        shared.update(|entry| entry.store(found, diagnostics, now, shared.skew.at(now)));
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        if self.is_stored {
            return;
        }
        let error = if thread::panicking() {
            Error::new(Kind::Internal, "a bug in sigv4-proxy ended the credential lookup")
                .hint("please report it")
        } else {
            out_of_threads()
        };
        let (shared, now) = (&self.lease.shared, self.now);
        shared.update(|entry| entry.store_abandoned(error, now, shared.skew.at(now)));
    }
}

fn process_is_ending() -> Error {
    Error::new(Kind::Cancelled, "the process is ending")
}
