//! `Worker`: the thread that runs a sign-in, as the holder among the processes of this machine or waiting for it.

use crate::clock;
use crate::credentials::Services;
use crate::credentials::sources::sso::token_file;
use crate::error::{Error, Kind, SignIn, SignInMethod, SsoSession, io_message, quoted};
use crate::log::Log;
use crate::prompt::holder::{Hold, Holder, Pending};
use crate::prompt::link::Link;
use crate::prompt::mode::Mode;
use crate::prompt::shared_sign_in::{Ending, SharedSignIn};
use crate::sign_in::callback;
use crate::sign_in::console::ConsoleSignIn;
use crate::sign_in::device_code::{Begun, DeviceSignIn, Poll};
use crate::sign_in::link::check_link;
use crate::sign_in::oidc::{Oidc, error_name};
use crate::sign_in::sso_browser::BrowserSignIn;
use crate::sign_in::sso_token::{SignedIn, Token};
use crate::streamable_http::Exchanger;
use crate::sync::cancel::Cancel;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How often a process that is not the holder looks for the token, and tries to become the holder.
const TOKEN_INTERVAL: Duration = Duration::from_secs(1);
const LOCK_INTERVAL: Duration = Duration::from_secs(2);

/// Time that the holder gets to publish its link, and how often another process looks for it.
const LINK_TIMEOUT: Duration = Duration::from_secs(4);
const LINK_INTERVAL: Duration = Duration::from_millis(50);

/// Time in which later calls get the same failure; longer if the service asks for fewer requests.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
const SLOW_DOWN_PAUSE: Duration = Duration::from_secs(60);

pub(crate) struct Worker {
    pub(crate) shared: Arc<SharedSignIn>,
    pub(crate) exchanger: Arc<Exchanger>,
    pub(crate) mode: Mode,
    /// The token that is there was refused, although it looks valid.
    pub(crate) distrusts_token: bool,
    pub(crate) on_signed_in: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
    pub(crate) log: Log,
}

/// A sign-in to IAM Identity Center, as this process sees it.
struct Sso<'a> {
    services: Services,
    session: &'a SsoSession,
    holder: Holder,
    /// A token in the file that does not count.
    distrusted: Option<Token>,
}

impl Worker {
    /// Carries the sign-in out until it has ended for this process.
    pub(crate) fn run(self) {
        let ended = catch_unwind(AssertUnwindSafe(|| match &self.shared.need.method {
            SignInMethod::Sso(session) => self.sign_in(session),
            SignInMethod::Login { session } => self.sign_in_to_console(session),
            // The code of an MFA device is never requested.
            SignInMethod::Mfa { .. } => Ok(Ending::Lost),
        }));
        match ended {
            Ok(Ok(ending)) => {
                let is_signed_in = matches!(ending, Ending::SignedIn);
                self.shared.end(ending);
                if is_signed_in && let Some(begin) = self.on_signed_in.get() {
                    begin();
                }
            }
            Ok(Err(error)) => match error_name(&error) {
                "expired_token" => self.shared.end(Ending::Expired),
                "access_denied" => self.shared.end(Ending::Denied),
                _ => self.fail(&error),
            },
            Err(_) => {
                let what = "a bug in sigv4-proxy ended the sign-in";
                let error = Error::new(Kind::Internal, what).hint("please report it");
                self.shared.end(Ending::Failed(error));
            }
        }
    }

    fn fail(&self, error: &Error) {
        let SignIn { profile, problem, .. } = &self.shared.need;
        let (what, pause) = match error.kind() {
            _ if error_name(error) == "slow_down" => {
                ("the sign-in service limits requests (wait a minute)", SLOW_DOWN_PAUSE)
            }
            Kind::Credentials => ("the sign-in failed", FAILURE_PAUSE),
            _ => ("the sign-in service is unreachable", FAILURE_PAUSE),
        };
        let what = format!("profile {profile:?}: {problem}, and {what}: {}", error.message());
        let hint = format!("try again, or run {} in a terminal", self.shared.need.command());
        self.shared.fail(Error::new(Kind::Credentials, what).hint(hint), pause);
    }

    fn sign_in(&self, session: &SsoSession) -> Result<Ending, Error> {
        let services = self.exchanger.client().credential_services(clock::now())?;
        let file = token_file(&services.environment, session).ok_or_else(|| {
            Error::new(Kind::Credentials, "the SSO token cache cannot be located: HOME is not set")
        })?;
        let distrusted = self.distrusts_token.then(|| Token::read(&services, session)).flatten();
        let sso = Sso { services, session, holder: Holder::of_token(&file), distrusted };
        let mut looking_since = Instant::now();
        let mut shown: Option<Link> = None;
        loop {
            if sso.has_token() {
                return Ok(Ending::SignedIn);
            }
            match sso.holder.try_lock() {
                Ok(Hold::Ours(_lock)) => return self.hold(&sso, shown.as_ref()),
                Ok(Hold::Others) => {}
                Err(error) => {
                    let why = io_message(&error);
                    self.log.debug(format_args!("sign-in without other processes: {why}"));
                    return self.hold(&sso, shown.as_ref());
                }
            }
            let next_lock = Instant::now() + LOCK_INTERVAL;
            while Instant::now() < next_lock {
                if shown.is_none() {
                    shown = sso.pending().map(|(link, _)| link);
                    if let Some(link) = &shown {
                        self.shared.show(link.clone());
                    } else if looking_since.elapsed() > LINK_TIMEOUT {
                        let what =
                            "another process has started a sign-in and has no link yet; try again";
                        return Err(Error::new(Kind::Credentials, what));
                    }
                }
                let interval = if shown.is_some() { TOKEN_INTERVAL } else { LINK_INTERVAL };
                if self.shared.cancel.sleep(interval) {
                    return Ok(Ending::Lost);
                }
                if sso.has_token() {
                    return Ok(Ending::SignedIn);
                }
            }
            if shown.as_ref().is_some_and(|link| link.expires_at <= clock::now()) {
                return Ok(Ending::Expired);
            }
            let pending = sso.holder.pending(session, clock::now());
            let is_another =
                |shown: &Link| pending.as_ref().is_some_and(|now| now.url() != shown.url);
            if shown.take_if(|shown| is_another(shown)).is_some() {
                // The sign-in has ended, and another process has started the next.
                looking_since = Instant::now();
            }
        }
    }

    /// Signs in as the holder. A sign-in whose link was `shown` by this process is continued, or over.
    fn hold(&self, sso: &Sso<'_>, shown: Option<&Link>) -> Result<Ending, Error> {
        if sso.has_token() {
            sso.holder.withdraw();
            return Ok(Ending::SignedIn);
        }
        let continued = match sso.pending() {
            Some((_, sign_in)) if self.mode == Mode::Link => sign_in,
            _ => None,
        };
        let ended = match (continued, shown) {
            (Some(sign_in), _) => self.poll(*sign_in),
            (None, Some(shown)) if shown.expires_at <= clock::now() => return Ok(Ending::Expired),
            (None, Some(_)) => return Ok(Ending::Lost),
            (None, None) if self.mode == Mode::Browser => self.use_browser(sso),
            (None, None) => self.use_device_code(sso),
        };
        if matches!(ended, Ok(Ending::Lost)) {
            // The link stays good for other processes.
            return ended;
        }
        sso.holder.withdraw();
        ended
    }

    fn use_device_code(&self, sso: &Sso<'_>) -> Result<Ending, Error> {
        match DeviceSignIn::begin(&sso.services, sso.session, clock::now())? {
            Begun::Done(signed_in) => Ok(self.done(signed_in)),
            Begun::Waiting(sign_in) => {
                self.publish(sso, &Pending::DeviceCode(sign_in.authorization.clone()));
                self.poll(*sign_in)
            }
        }
    }

    /// Polls the service until the user has finished.
    fn poll(&self, mut sign_in: DeviceSignIn) -> Result<Ending, Error> {
        self.shared.show(link_of(&sign_in));
        loop {
            if self.shared.cancel.sleep(sign_in.wait(clock::now())) {
                return Ok(Ending::Lost);
            }
            if let Poll::Done(signed_in) = sign_in.poll(clock::now())? {
                return Ok(self.done(signed_in));
            }
        }
    }

    /// Waits for the browser on this machine, or for a token that another process writes.
    fn use_browser(&self, sso: &Sso<'_>) -> Result<Ending, Error> {
        if sso.session.name.is_none() {
            let what = "the browser needs an sso_session (--login browser)";
            return Err(Error::new(Kind::Credentials, what));
        }
        let sign_in = BrowserSignIn::begin(&sso.services, sso.session, clock::now())?;
        let link = browser_link(&sign_in.link);
        self.publish(sso, &Pending::Browser(link.clone()));
        self.shared.show(link);
        let is_over = Cancel::default();
        let code = thread::scope(|scope| {
            let watch = || {
                while !is_over.sleep(TOKEN_INTERVAL) {
                    if sso.has_token() {
                        return self.shared.end(Ending::SignedIn);
                    }
                }
            };
            // Without a thread the browser alone ends the wait.
            let _ = thread::Builder::new().name("sign-in".to_owned()).spawn_scoped(scope, watch);
            let code = sign_in.wait(Instant::now() + callback::TIMEOUT, &self.shared.cancel);
            is_over.cancel();
            code
        });
        match code {
            Ok(code) => Ok(self.done(code.exchange(clock::now())?)),
            Err(_) if sso.has_token() => Ok(Ending::SignedIn),
            // Declined in the client: the port is closed, so the link is of no use to other processes.
            Err(error) if error.kind() == Kind::Cancelled => Ok(Ending::Declined),
            Err(error) => Err(error),
        }
    }

    /// Signs in to the console with the browser on this machine, as `aws login` does.
    fn sign_in_to_console(&self, session: &str) -> Result<Ending, Error> {
        let services = self.exchanger.client().credential_services(clock::now())?;
        let mut sign_in = ConsoleSignIn::begin(&services, false)?;
        self.shared.show(browser_link(&sign_in.link));
        let code = sign_in.wait(Instant::now() + callback::TIMEOUT, &self.shared.cancel)?;
        let gained = sign_in.exchange(&code, clock::now())?;
        if gained.arn != session {
            let what =
                format!("the browser signed in as {}, not as {session}", quoted(&gained.arn));
            return Err(Error::new(Kind::Credentials, what));
        }
        gained.save(&services)?;
        Ok(Ending::SignedIn)
    }

    /// Lets other processes show the link.
    fn publish(&self, sso: &Sso<'_>, pending: &Pending) {
        if let Err(error) = sso.holder.publish(sso.session, pending) {
            let why = io_message(&error);
            self.log.debug(format_args!("other processes cannot show the link: {why}"));
        }
    }

    fn done(&self, signed_in: SignedIn) -> Ending {
        if let Some(warning) = signed_in.warning {
            self.log.warn(warning);
        }
        Ending::SignedIn
    }
}

impl Sso<'_> {
    /// Whether a token is there, from any process.
    fn has_token(&self) -> bool {
        let now = self.services.network.time_of_aws(clock::now());
        Token::read(&self.services, self.session).is_some_and(|token| {
            token.expires_at > now
                && self.distrusted.as_ref().is_none_or(|old| old.access_token != token.access_token)
        })
    }

    /// The link of another process's sign-in, and the sign-in itself, if this process can continue it.
    fn pending(&self) -> Option<(Link, Option<Box<DeviceSignIn>>)> {
        let now = clock::now();
        match self.holder.pending(self.session, now)? {
            Pending::DeviceCode(authorization) => {
                let resumed =
                    DeviceSignIn::resume(&self.services, self.session, authorization, now);
                let sign_in = resumed.ok()??;
                Some((link_of(&sign_in), Some(Box::new(sign_in))))
            }
            Pending::Browser(link) => {
                let oidc = Oidc::new(&self.services, self.session).ok()?;
                let endpoint = oidc.endpoint("/authorize").ok()?;
                check_link(&link.url, &endpoint, &self.session.region).ok()?;
                Some((link, None))
            }
        }
    }
}

fn link_of(sign_in: &DeviceSignIn) -> Link {
    let authorization = &sign_in.authorization;
    Link {
        url: authorization.link.clone(),
        user_code: Some(authorization.user_code.clone()),
        expires_at: authorization.expires_at,
    }
}

/// A link that ends on this machine.
fn browser_link(url: &str) -> Link {
    let expires_at = clock::now() + callback::TIMEOUT;
    Link { url: url.to_owned(), user_code: None, expires_at }
}
