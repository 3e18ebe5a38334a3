//! Credentials in environment variables.

use std::path::PathBuf;

use time::OffsetDateTime;

use crate::credentials::config::plan::WebIdentity;
use crate::credentials::config::profile::Profile;
use crate::credentials::expiry;
use crate::credentials::header_value::check_setting;
use crate::credentials::source::Source;
use crate::credentials::types::Credentials;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::signing::AccessKey;

/// The keys in the environment; `None` unless `AWS_ACCESS_KEY_ID` is set. `now` is AWS's time.
///
/// # Errors
/// The secret is missing, a value cannot be sent, or `AWS_CREDENTIAL_EXPIRATION` has passed.
pub(crate) fn credentials(
    environment: &Environment,
    now: OffsetDateTime,
    warnings: &mut Vec<String>,
) -> Result<Option<Credentials>, Error> {
    let Some(id) = environment.get("AWS_ACCESS_KEY_ID") else { return Ok(None) };
    let Some(secret) = environment.get("AWS_SECRET_ACCESS_KEY") else {
        let message = "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not";
        let hint = "set AWS_SECRET_ACCESS_KEY as well, or unset AWS_ACCESS_KEY_ID";
        return Err(Error::new(Kind::Credentials, message).hint(hint));
    };
    let token = environment.first(&["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]);
    for (variable, value) in [("AWS_ACCESS_KEY_ID", id)].into_iter().chain(token) {
        check_setting(variable, value)?;
    }
    let mut expires = None;
    if let Some(text) = environment.get("AWS_CREDENTIAL_EXPIRATION") {
        match expiry::parse(text) {
            Some(time) if time <= now => {
                let message = format!(
                    "environment credentials expired at {text} (AWS_CREDENTIAL_EXPIRATION)"
                );
                let hint =
                    "set new ones and restart the client: a process cannot refresh its environment";
                return Err(Error::new(Kind::Credentials, message).hint(hint));
            }
            Some(time) => expires = Some(time),
            None => warnings.push(
                "AWS_CREDENTIAL_EXPIRATION is ignored: it is not a time like 2030-01-31T12:00:00Z"
                    .into(),
            ),
        }
    }
    let key = AccessKey::new(id, secret, token.map(|(_, token)| token));
    let account = environment.get("AWS_ACCOUNT_ID").map(str::to_owned);
    Ok(Some(Credentials { key, expires, account, source: Source::Environment }))
}

/// The web identity in the environment; `None` unless `AWS_WEB_IDENTITY_TOKEN_FILE` is set.
///
/// # Errors
/// `AWS_ROLE_ARN` is missing.
pub(crate) fn web_identity(
    environment: &Environment,
    profile: Option<&Profile<'_>>,
) -> Result<Option<WebIdentity>, Error> {
    let Some(file) = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
    let role_arn = environment.get("AWS_ROLE_ARN").ok_or_else(|| {
        let message = "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not";
        Error::new(Kind::Credentials, message)
    })?;
    Ok(Some(WebIdentity {
        token_file: PathBuf::from(file),
        role_arn: role_arn.to_owned(),
        session_name: profile
            .and_then(|profile| profile.get("role_session_name"))
            .map(str::to_owned),
        profile: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Secret;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

    fn keys(pairs: &[(&str, &str)]) -> Result<Option<Credentials>, Error> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        credentials(&environment, NOW, &mut Vec::new())
    }

    #[test]
    fn keys_of_the_environment() {
        const ID: (&str, &str) = ("AWS_ACCESS_KEY_ID", "A");
        const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "S");
        for (pairs, expected) in [
            (&[][..], None),
            (&[SECRET, ("AWS_SESSION_TOKEN", "T")], None),
            (&[ID, SECRET], Some(("A", None))),
            (&[ID, SECRET, ("AWS_SECURITY_TOKEN", "O")], Some(("A", Some("O")))),
            (
                &[ID, SECRET, ("AWS_SECURITY_TOKEN", "O"), ("AWS_SESSION_TOKEN", "T")],
                Some(("A", Some("T"))),
            ),
        ] {
            let found = keys(pairs).unwrap();
            let key = found.as_ref().map(|found| &found.key);
            let found = key.map(|key| {
                (key.access_key_id.as_str(), key.session_token.as_ref().map(Secret::expose))
            });
            assert_eq!(found, expected, "{pairs:?}");
        }
        assert!(keys(&[ID]).unwrap_err().message().ends_with("AWS_SECRET_ACCESS_KEY is not"));
        let expiry = |time| keys(&[ID, SECRET, ("AWS_CREDENTIAL_EXPIRATION", time)]);
        assert!(expiry("2030-01-01T00:00:00Z").is_err());
        let found = expiry("2030-01-01T01:00:00+00:30").unwrap().unwrap();
        assert_eq!(found.expires, Some(datetime!(2030-01-01 00:30 UTC)));
    }
}
