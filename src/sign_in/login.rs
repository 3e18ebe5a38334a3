//! `sigv4-proxy login`: signs in for the configured profiles, with instructions for the user on stderr.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::macros::format_description;

use crate::clock;
use crate::credentials::expiry;
use crate::credentials::{CredentialCache, Services};
use crate::error::{Error, Kind, SignIn, SignInMethod, SsoSession, quoted};
use crate::process;
use crate::redact::Redactor;
use crate::sign_in::browser;
use crate::sign_in::callback;
use crate::sign_in::console::ConsoleSignIn;
use crate::sign_in::device_code::{Begun, DeviceSignIn, Poll};
use crate::sign_in::mfa;
use crate::sign_in::sso_browser::BrowserSignIn;
use crate::sign_in::sso_token::{SignedIn, Token};
use crate::suggest::shell_word;
use crate::sync::cancel::cancelled;

/// Maximum number of sign-ins that one profile needs one after the other.
const MAX_SIGN_INS: usize = 16;

/// How long `aws login` keeps a session.
const CONSOLE_SESSION: Duration = Duration::from_secs(12 * 60 * 60);

/// The user's settings for signing in.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Settings {
    pub uses_device_code: bool,
    /// The browser is on another machine.
    pub is_remote: bool,
    pub opens_browser: bool,
    pub only_if_needed: bool,
}

/// One run of the command.
#[derive(Debug)]
pub struct Login {
    settings: Settings,
    redactor: Redactor,
    /// The sessions that have been signed in to.
    done: BTreeSet<String>,
}

impl Login {
    pub fn new(settings: Settings, redactor: Redactor) -> Login {
        Login { settings, redactor, done: BTreeSet::new() }
    }

    /// Signs in for a profile.
    ///
    /// # Errors
    /// The user cancelled, a service refuses or cannot be reached, or there are no credentials nevertheless.
    pub fn profile(&mut self, credentials: &CredentialCache) -> Result<(), Error> {
        let plan = credentials.sign_ins(clock::now())?;
        let profile = &plan.profile;
        match plan.source {
            Some(source) if plan.sign_ins.is_empty() && self.settings.is_remote => {
                let what =
                    format!("profile {profile:?} uses {source}, which --remote cannot sign in to");
                return Err(Error::new(Kind::Credentials, what)
                    .hint("omit --remote, or use another profile"));
            }
            Some(source) if plan.sign_ins.is_empty() => {
                self.say(&format!("profile {profile:?} needs no sign-in ({source})"));
                return Ok(());
            }
            _ if self.settings.only_if_needed => {
                return self.as_far_as_needed(credentials, profile);
            }
            None => return self.without_credentials(credentials, profile, plan.sso_session),
            Some(_) => {}
        }
        let mut until = None;
        for sign_in in &plan.sign_ins {
            until = earlier(until, self.perform(credentials, sign_in)?);
        }
        self.report(credentials, until)
    }

    /// Signs in to a session of IAM Identity Center.
    ///
    /// # Errors
    /// As for a profile; or the session does not exist.
    pub fn session(&mut self, credentials: &CredentialCache, name: &str) -> Result<(), Error> {
        let session = credentials.sso_session(name)?;
        let until = self.sso(credentials, &session, &format!("session {name}"))?;
        self.say(&format!("signed in until {}: session {name}", moment(until)));
        Ok(())
    }

    /// Signs in for a profile that configures no credentials: to its session, or to the console.
    fn without_credentials(
        &mut self,
        credentials: &CredentialCache,
        profile: &str,
        sso_session: Option<String>,
    ) -> Result<(), Error> {
        if let Some(session) = sso_session {
            return self.session(credentials, &session);
        }
        if let Ok(found) = credentials.get(clock::now()) {
            self.say(&format!("profile {profile:?} needs no sign-in: {}", found.summary()));
            return Ok(());
        }
        // Those who omitted --profile would otherwise wonder about the console.
        self.say(&format!(
            "profile {profile:?} configures no credentials, so this signs in to the console; --profile selects another profile"
        ));
        self.console(credentials, profile, None).map(drop)
    }

    /// Performs the sign-ins that the chain's own errors name.
    fn as_far_as_needed(
        &mut self,
        credentials: &CredentialCache,
        profile: &str,
    ) -> Result<(), Error> {
        let (mut until, mut last) = (None, None);
        for _ in 0..MAX_SIGN_INS {
            let error = match credentials.get(clock::now()) {
                Ok(found) if last.is_none() => {
                    self.say(&format!("profile {profile:?} needs no sign-in: {}", found.summary()));
                    return Ok(());
                }
                Ok(_) => return self.report(credentials, until),
                Err(error) => error,
            };
            let Some(sign_in) =
                error.needed_sign_in().filter(|needed| last.as_ref() != Some(*needed))
            else {
                return Err(error);
            };
            until = earlier(until, self.perform(credentials, sign_in)?);
            last = Some(sign_in.clone());
        }
        let what = format!("no credentials after {MAX_SIGN_INS} sign-ins");
        Err(Error::new(Kind::Credentials, what))
    }

    /// Performs a sign-in. Returns the expiry of its result.
    fn perform(
        &mut self,
        credentials: &CredentialCache,
        sign_in: &SignIn,
    ) -> Result<Option<OffsetDateTime>, Error> {
        let SignIn { profile, method, .. } = sign_in;
        let until = match method {
            SignInMethod::Sso(session) => {
                if self.settings.is_remote {
                    let what =
                        format!("profile {profile:?} uses IAM Identity Center, not aws login");
                    return Err(Error::new(Kind::Credentials, what)
                        .hint("use --use-device-code instead of --remote"));
                }
                let shown = session.name.as_deref().unwrap_or(&session.start_url);
                let whose = format!("profile {profile:?} (session {shown})");
                Some(self.sso(credentials, session, &whose)?)
            }
            SignInMethod::Mfa { serial, .. } => {
                if let Err(error) = credentials.prepare_exchange(profile, clock::now()) {
                    let needed = error.needed_sign_in().filter(|needed| *needed != sign_in);
                    let Some(needed) = needed else { return Err(error) };
                    self.perform(credentials, needed)?;
                    credentials.prepare_exchange(profile, clock::now())?;
                }
                mfa::sign_in(credentials, &self.redactor, profile, serial)?
            }
            SignInMethod::Login { session } => {
                Some(self.console(credentials, profile, Some(session))?)
            }
        };
        credentials.forget_failure();
        Ok(until)
    }

    /// Signs in to IAM Identity Center, unless that has been done in this run. Returns when the token expires.
    fn sso(
        &mut self,
        credentials: &CredentialCache,
        session: &SsoSession,
        whose: &str,
    ) -> Result<OffsetDateTime, Error> {
        let services = credentials.services(clock::now())?;
        let name = session.name.as_ref().unwrap_or(&session.start_url);
        if self.done.contains(name)
            && let Some(token) = Token::read(&services, session)
        {
            return Ok(token.expires_at);
        }
        let uses_browser = !self.settings.uses_device_code
            && session.name.is_some()
            && browser::is_here(&services.environment);
        let signed_in = if uses_browser {
            self.sso_by_browser(credentials, &services, session, whose)
        } else {
            self.sso_by_device_code(credentials, &services, session, whose)
        };
        let SignedIn { until, warning } = signed_in.map_err(|error| match error.kind() {
            Kind::Cancelled => error,
            _ => error.context(whose),
        })?;
        if let Some(warning) = warning {
            return Err(Error::new(Kind::Credentials, warning).hint("make the directory writable"));
        }
        self.done.insert(name.clone());
        Ok(until)
    }

    fn sso_by_device_code(
        &self,
        credentials: &CredentialCache,
        services: &Services,
        session: &SsoSession,
        whose: &str,
    ) -> Result<SignedIn, Error> {
        let mut waiting = match DeviceSignIn::begin(services, session, clock::now())? {
            Begun::Done(signed_in) => return Ok(signed_in),
            Begun::Waiting(waiting) => waiting,
        };
        let authorization = waiting.authorization.clone();
        self.show_link(
            services,
            whose,
            &authorization.link,
            browser::is_here(&services.environment),
        );
        self.say(&format!("Check that the page shows the code {}", authorization.user_code));
        self.say(&format!(
            "Waiting until {}; press Ctrl-C to cancel",
            moment(authorization.expires_at)
        ));
        loop {
            if credentials.end().sleep(waiting.wait(clock::now())) {
                return Err(cancelled());
            }
            if let Poll::Done(signed_in) = waiting.poll(clock::now())? {
                return Ok(signed_in);
            }
        }
    }

    fn sso_by_browser(
        &self,
        credentials: &CredentialCache,
        services: &Services,
        session: &SsoSession,
        whose: &str,
    ) -> Result<SignedIn, Error> {
        let waiting = BrowserSignIn::begin(services, session, clock::now())?;
        self.show_link(services, whose, &waiting.link, true);
        let deadline = self.deadline();
        waiting.wait(deadline, credentials.end())?.exchange(clock::now())
    }

    /// Signs in to the console. Returns when the session ends. Without a session, it is written for the identity that
    /// signed in, and the settings that name it are printed.
    fn console(
        &self,
        credentials: &CredentialCache,
        profile: &str,
        session: Option<&str>,
    ) -> Result<OffsetDateTime, Error> {
        if self.settings.is_remote && !process::has_terminal() {
            let what = "--remote cannot ask for the authorization code: no terminal";
            return Err(Error::new(Kind::Credentials, what).hint("run it in a terminal"));
        }
        if self.settings.uses_device_code {
            self.say(
                "--use-device-code is ignored: it is for IAM Identity Center (for a browser on another machine, use --remote)",
            );
        }
        let services = credentials.services(clock::now())?;
        let in_context = |error: Error| match error.kind() {
            Kind::Cancelled => error,
            _ => error.context(format_args!("profile {profile:?}")),
        };
        let mut waiting =
            ConsoleSignIn::begin(&services, self.settings.is_remote).map_err(in_context)?;
        let whose = format!("profile {profile:?} (console)");
        self.show_link(&services, &whose, &waiting.link, !self.settings.is_remote);
        let code = if self.settings.is_remote {
            let text =
                mfa::ask(credentials, &self.redactor, "Authorization code shown in the browser: ")?;
            waiting.code_of_page(text.expose())
        } else {
            if !browser::is_here(&services.environment) {
                self.say("If the browser is on another machine, press Ctrl-C and use --remote");
            }
            waiting.wait(self.deadline(), credentials.end())
        };
        let gained =
            code.and_then(|code| waiting.exchange(&code, clock::now())).map_err(in_context)?;
        let arn = gained.arn.clone();
        if let Some(session) = session.filter(|session| *session != arn) {
            let what = format!(
                "signed in as {}, but profile {profile:?} is for {session}: \
                 sign in as that, or set login_session",
                quoted(&arn)
            );
            return Err(Error::new(Kind::Credentials, what));
        }
        gained.save(&services).map_err(in_context)?;
        if session.is_none() {
            let header = match profile {
                "default" => "[default]".to_owned(),
                name => format!("[profile {}]", shell_word(name)),
            };
            self.say(&format!("signed in as {}; add to ~/.aws/config:", quoted(&arn)));
            self.say(&header);
            self.say(&format!("login_session = {}", quoted(&arn)));
        }
        Ok(expiry::after(clock::now(), CONSOLE_SESSION))
    }

    /// Prints a link, and opens it if there is a browser for it.
    fn show_link(&self, services: &Services, whose: &str, link: &str, can_open: bool) {
        let opens = can_open && self.settings.opens_browser;
        let how = if opens {
            "Opening your browser; if nothing opens, go to:"
        } else {
            "In a browser, go to:"
        };
        self.say(&format!("Sign in to AWS for {whose}. {how}"));
        self.say(link);
        if opens {
            browser::open(&services.environment, link);
        }
    }

    /// The end of a sign-in by browser, which is printed.
    fn deadline(&self) -> Instant {
        let end = moment(expiry::after(clock::now(), callback::TIMEOUT));
        self.say(&format!("Waiting until {end}; press Ctrl-C to cancel"));
        Instant::now() + callback::TIMEOUT
    }

    /// Gets the credentials and reports their identity.
    fn report(
        &self,
        credentials: &CredentialCache,
        until: Option<OffsetDateTime>,
    ) -> Result<(), Error> {
        let found = credentials.get(clock::now())?;
        let until = until.or(found.expires).map(|until| format!(" until {}", moment(until)));
        let until = until.unwrap_or_default();
        self.say(&format!("signed in{until}: {}", found.identity()));
        Ok(())
    }

    fn say(&self, line: &str) {
        let _ = writeln!(process::stderr(), "{}", self.redactor.safe(line));
    }
}

fn earlier(one: Option<OffsetDateTime>, other: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    [one, other].into_iter().flatten().min()
}

/// `20:00 UTC`, with the date if that is not within a day.
fn moment(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let is_soon = time - clock::now() < time::Duration::DAY;
    let format = if is_soon {
        format_description!("[hour]:[minute] UTC")
    } else {
        format_description!("[year]-[month]-[day] [hour]:[minute] UTC")
    };
    time.format(format).unwrap_or_default()
}
