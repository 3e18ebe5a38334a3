//! `sigv4-proxy logout`: ends sessions and deletes the files of their tokens and credentials.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::clock;
use crate::credentials::sources::endpoints::Service;
use crate::credentials::sources::login;
use crate::credentials::sources::request::{Call, RetryPolicy};
use crate::credentials::sources::sso::token_file;
use crate::credentials::{CredentialCache, Services};
use crate::error::{Error, Kind, SignInMethod, SsoSession, io_message};
use crate::process;
use crate::redact::Redactor;
use crate::sign_in::sso_token::Token;

/// Signs out of everything that a profile uses.
///
/// # Errors
/// The profile cannot be used, or a file cannot be deleted.
pub fn profile(credentials: &CredentialCache, redactor: &Redactor) -> Result<(), Error> {
    let now = clock::now();
    let plan = credentials.sign_ins(now)?;
    if let (None, Some(name)) = (&plan.source, &plan.sso_session) {
        return session(credentials, name, redactor);
    }
    let services = credentials.services(now)?;
    let name = format!("profile {:?}", plan.profile);
    let mut was_signed_in = false;
    for sign_in in &plan.sign_ins {
        match &sign_in.method {
            SignInMethod::Sso(session) => was_signed_in |= sso(&services, session, redactor)?,
            SignInMethod::Login { session } => {
                let path = login::token_file(&services.environment, session);
                was_signed_in |= path.map_or(Ok(false), |path| delete(&path))?;
            }
            SignInMethod::Mfa { .. } => {}
        }
    }
    for path in plan.cached_files(&services.environment) {
        was_signed_in |= delete(&path)?;
    }
    match plan.source.filter(|_| plan.sign_ins.is_empty() && !was_signed_in) {
        Some(source) => say(redactor, &format!("{name} needs no sign-in ({source})")),
        None if was_signed_in => say(redactor, &format!("signed out: {name}")),
        None => say(redactor, &format!("{name} is not signed in")),
    }
    Ok(())
}

/// Signs out of a session of IAM Identity Center.
///
/// # Errors
/// The session does not exist, or a file cannot be deleted.
pub fn session(
    credentials: &CredentialCache,
    name: &str,
    redactor: &Redactor,
) -> Result<(), Error> {
    let session = credentials.sso_session(name)?;
    let was_signed_in = sso(&credentials.services(clock::now())?, &session, redactor)?;
    let what = if was_signed_in { "signed out: session" } else { "not signed in: session" };
    say(redactor, &format!("{what} {name}"));
    Ok(())
}

/// Ends the session at the portal, and deletes its token. Returns whether there was one.
fn sso(services: &Services, session: &SsoSession, redactor: &Redactor) -> Result<bool, Error> {
    let Some(path) = token_file(&services.environment, session) else { return Ok(false) };
    if let Some(token) = Token::read(services, session)
        && let Err(error) = end_session(services, session, &token)
    {
        let text = error.to_string();
        say(
            redactor,
            &format!(
                "the portal did not end the session; its token may stay valid until it expires: {text}"
            ),
        );
    }
    let was_signed_in = delete(&path)?;
    if was_signed_in {
        let url = &session.start_url;
        say(redactor, &format!("your browser may still be signed in: {url}"));
    }
    Ok(was_signed_in)
}

/// The portal's `Logout`.
fn end_session(services: &Services, session: &SsoSession, token: &Token) -> Result<(), Error> {
    let (endpoint, _) = services.endpoints.of(Service::Sso, &session.region, "/logout")?;
    let headers = [("x-amz-sso_bearer_token", token.access_token.expose())];
    let call = Call { method: "POST", endpoint: &endpoint, headers: &headers, body: b"" };
    let reply = services.network.send(&call, &RetryPolicy::SERVICE)?;
    match reply.status {
        200..300 => Ok(()),
        _ => Err(Error::new(Kind::Credentials, reply.refusal()).context(endpoint.host())),
    }
}

/// Deletes a file. Returns whether there was one.
fn delete(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(false)
        }
        Err(error) => {
            let what = format!("cannot delete {}: {}", path.display(), io_message(&error));
            Err(Error::new(Kind::Credentials, what).hint("delete it"))
        }
    }
}

fn say(redactor: &Redactor, line: &str) {
    let _ = writeln!(process::stderr(), "{}", redactor.safe(line));
}
