//! The sign-in check: when the sign-ins of the credentials expire, and what a call does afterwards.

use crate::cli::LoginMode;
use crate::clock;
use crate::credentials::CredentialCache;
use crate::credentials::expiry;
use crate::error::{SignIn, SignInMethod};
use crate::sign_in::sso_token::Token;

/// A line for each sign-in of the profile; none where it needs none.
pub(crate) fn details(credentials: &CredentialCache, mode: LoginMode) -> Vec<String> {
    let now = clock::now();
    let Ok(plan) = credentials.sign_ins(now) else { return Vec::new() };
    let describe = |sign_in: &SignIn| {
        let what = what_calls_do(&sign_in.method, mode);
        let SignInMethod::Sso(session) = &sign_in.method else { return what.to_owned() };
        let name = session.name.as_ref().unwrap_or(&session.start_url);
        let services = credentials.services(now).ok();
        let token = services.and_then(|services| Token::read(&services, session));
        match token.filter(|token| token.expires_at > now) {
            Some(token) => {
                let until = expiry::format(token.expires_at);
                let renewed =
                    if session.name.is_some() { ", refreshed while the session lasts" } else { "" };
                format!("signed in to {name} until {until}{renewed}; after that, {what}")
            }
            None => format!("not signed in to {name}: {what}"),
        }
    };
    plan.sign_ins.iter().map(describe).collect()
}

/// What a call does when this sign-in is needed.
fn what_calls_do(method: &SignInMethod, mode: LoginMode) -> &'static str {
    match (method, mode) {
        (SignInMethod::Mfa { .. }, _) => "MFA codes are only requested by sigv4-proxy login",
        (_, LoginMode::Off) => "calls fail until you run sigv4-proxy login [--login off, or CI]",
        (SignInMethod::Login { .. }, LoginMode::Auto) => {
            "calls fail until you run sigv4-proxy login [--login auto]"
        }
        (SignInMethod::Sso(_), LoginMode::Auto) => {
            "the first call shows a link and a code in the client [--login auto]"
        }
        (_, LoginMode::Browser) => {
            "the first call shows a link for this machine's browser [--login browser]"
        }
    }
}
