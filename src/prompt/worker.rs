//! `Worker`: the thread that carries a sign-in out, as the holder among the processes of this machine or beside it.

use crate::clock;
use crate::credentials::Services;
use crate::credentials::sources::sso::token_file;
use crate::error::{Error, Kind, SignIn, SignInMethod, SsoSession, io_message};
use crate::log::Log;
use crate::prompt::flight::{Ending, Flight};
use crate::prompt::holder::{Hold, Holder};
use crate::prompt::link::{Link, command};
use crate::sign_in::device_code::{Begun, DeviceAuthorization, DeviceSignIn, Poll};
use crate::sign_in::oidc::error_name;
use crate::sign_in::sso_token::{SignedIn, Token};
use crate::streamable_http::Exchanger;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How often a process that is not the holder looks for the token, and tries to become the holder.
const TOKEN_INTERVAL: Duration = Duration::from_secs(1);
const LOCK_INTERVAL: Duration = Duration::from_secs(2);

/// Time that the holder gets to publish its link, and how often another process looks for it.
const LINK_TIMEOUT: Duration = Duration::from_secs(4);
const LINK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a failure is that of later calls, too; longer if the service asks for fewer requests.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
const SLOW_DOWN_PAUSE: Duration = Duration::from_secs(60);

pub(crate) struct Worker {
    pub(crate) flight: Arc<Flight>,
    pub(crate) exchanger: Arc<Exchanger>,
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
        let ended = catch_unwind(AssertUnwindSafe(|| match &self.flight.need.method {
            SignInMethod::Sso(session) => self.sign_in(session),
            SignInMethod::Login { .. } | SignInMethod::Mfa { .. } => Ok(Ending::Lost),
        }));
        match ended {
            Ok(Ok(ending)) => {
                let is_signed_in = matches!(ending, Ending::SignedIn);
                self.flight.end(ending);
                if is_signed_in && let Some(begin) = self.on_signed_in.get() {
                    begin();
                }
            }
            Ok(Err(error)) => self.fail(&error),
            Err(_) => {
                let what = "a bug in sigv4-proxy ended the sign-in";
                let error = Error::new(Kind::Internal, what).hint("please report it");
                self.flight.end(Ending::Failed(error));
            }
        }
    }

    fn fail(&self, error: &Error) {
        let SignIn { profile, problem, .. } = &self.flight.need;
        let (what, pause) = match error.kind() {
            _ if error_name(error) == "slow_down" => {
                ("the sign-in service asks for fewer requests (wait a minute)", SLOW_DOWN_PAUSE)
            }
            Kind::Credentials => ("the sign-in failed", FAILURE_PAUSE),
            _ => ("the sign-in service cannot be reached", FAILURE_PAUSE),
        };
        let what = format!("profile {profile:?}: {problem}, and {what}: {}", error.message());
        let hint = format!("try again, or run {} in a terminal", command(profile));
        self.flight.fail(Error::new(Kind::Credentials, what).hint(hint), pause);
    }

    fn sign_in(&self, session: &SsoSession) -> Result<Ending, Error> {
        let services = self.exchanger.client().credential_services(clock::now())?;
        let file = token_file(&services.environment, session).ok_or_else(|| {
            Error::new(Kind::Credentials, "the folder of SSO tokens is not known: HOME is not set")
        })?;
        let distrusted = self.distrusts_token.then(|| Token::read(&services, session)).flatten();
        let sso = Sso { services, session, holder: Holder::of_token(&file), distrusted };
        let began = Instant::now();
        let mut shown: Option<DeviceAuthorization> = None;
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
                    shown = sso.pending().map(|pending| pending.authorization);
                    if let Some(authorization) = &shown {
                        self.flight.show(link_of(authorization));
                    } else if began.elapsed() > LINK_TIMEOUT {
                        let what = "another process signs in and has no link yet; try again";
                        return Err(Error::new(Kind::Credentials, what));
                    }
                }
                let interval = if shown.is_some() { TOKEN_INTERVAL } else { LINK_INTERVAL };
                if self.flight.cancel.sleep(interval) {
                    return Ok(Ending::Lost);
                }
                if sso.has_token() {
                    return Ok(Ending::SignedIn);
                }
            }
            if shown.as_ref().is_some_and(|shown| shown.expires_at <= clock::now()) {
                return Ok(Ending::Expired);
            }
        }
    }

    /// Signs in as the holder. A sign-in whose link was `shown` by this process is continued, or over.
    fn hold(&self, sso: &Sso<'_>, shown: Option<&DeviceAuthorization>) -> Result<Ending, Error> {
        if sso.has_token() {
            return Ok(Ending::SignedIn);
        }
        let mut sign_in = match (sso.pending(), shown) {
            (Some(pending), _) => pending,
            (None, Some(shown)) if shown.expires_at <= clock::now() => return Ok(Ending::Expired),
            (None, Some(_)) => return Ok(Ending::Lost),
            (None, None) => match DeviceSignIn::begin(&sso.services, sso.session, clock::now())? {
                Begun::Done(signed_in) => return Ok(self.done(signed_in)),
                Begun::Waiting(sign_in) => {
                    let published = sso.holder.publish(sso.session, &sign_in.authorization);
                    if let Err(error) = published {
                        let why = io_message(&error);
                        self.log.debug(format_args!("other processes cannot show the link: {why}"));
                    }
                    sign_in
                }
            },
        };
        self.flight.show(link_of(&sign_in.authorization));
        let polled = loop {
            if self.flight.cancel.sleep(sign_in.wait(clock::now())) {
                // The link stays good for other processes.
                return Ok(Ending::Lost);
            }
            match sign_in.poll(clock::now()) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Done(signed_in)) => break Ok(signed_in),
                Err(error) => break Err(error),
            }
        };
        sso.holder.withdraw();
        match polled {
            Ok(signed_in) => Ok(self.done(signed_in)),
            Err(error) if error_name(&error) == "expired_token" => Ok(Ending::Expired),
            Err(error) if error_name(&error) == "access_denied" => Ok(Ending::Denied),
            Err(error) => Err(error),
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
    /// Whether a token is there, whoever has written it.
    fn has_token(&self) -> bool {
        let now = self.services.network.time_of_aws(clock::now());
        Token::read(&self.services, self.session).is_some_and(|token| {
            token.expires_at > now
                && self.distrusted.as_ref().is_none_or(|old| old.access_token != token.access_token)
        })
    }

    /// The sign-in that another process has begun, if this one can show its link and continue it.
    fn pending(&self) -> Option<Box<DeviceSignIn>> {
        let now = clock::now();
        let authorization = self.holder.pending(self.session, now)?;
        let resumed = DeviceSignIn::resume(&self.services, self.session, authorization, now);
        resumed.ok().flatten().map(Box::new)
    }
}

fn link_of(authorization: &DeviceAuthorization) -> Link {
    Link {
        url: authorization.link.clone(),
        user_code: Some(authorization.user_code.clone()),
        expires_at: authorization.expires_at,
    }
}
