//! `~/.aws/cli/cache`: credentials that the AWS CLI keeps for roles and for IAM Identity Center. Those that a code was entered
//! for are written there too, so that the AWS CLI uses them and the other way round.

use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::credentials::cache_key::{Style, cache_key};
use crate::credentials::config::plan::{Role, Sso};
use crate::credentials::expiry;
use crate::credentials::header_value::is_header_value;
use crate::credentials::source::Source;
use crate::credentials::sources::token_cache::CachedToken;
use crate::credentials::types::Credentials;
use crate::credentials::watch::Watch;
use crate::environment::Environment;
use crate::signing::{AccessKey, Secret};
use crate::sync::cancel::Cancel;

/// The contents of a file. One that is missing, broken or larger than 1 MiB counts as empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cached {
    Valid(Credentials),
    Expired(OffsetDateTime),
    Nothing,
}

/// The file of a role. `--role-arn` has none, because it belongs to no profile.
pub(crate) fn role_file(environment: &Environment, role: &Role) -> Option<PathBuf> {
    role.profile.as_ref()?;
    let mut arguments = json!({ "RoleArn": role.arn });
    let texts = [
        ("RoleSessionName", &role.session_name),
        ("ExternalId", &role.external_id),
        ("SerialNumber", &role.mfa_serial),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            arguments[name] = json!(text);
        }
    }
    if let Some(seconds) = role.duration_seconds {
        arguments["DurationSeconds"] = json!(seconds);
    }
    file(environment, &arguments, Style::Spaced)
}

/// The file of an account and a role of IAM Identity Center.
pub(crate) fn sso_file(environment: &Environment, sso: &Sso) -> Option<PathBuf> {
    let mut arguments = json!({ "accountId": sso.account, "roleName": sso.role });
    match &sso.session.name {
        Some(session) => arguments["sessionName"] = json!(session),
        None => arguments["startUrl"] = json!(sso.session.start_url),
    }
    file(environment, &arguments, Style::Compact)
}

/// The file of a session that keys and a code were exchanged for. The AWS CLI has none.
pub(crate) fn session_file(
    environment: &Environment,
    access_key_id: &str,
    serial: &str,
) -> Option<PathBuf> {
    let arguments = json!({
        "AccessKeyId": access_key_id,
        "Operation": "GetSessionToken",
        "SerialNumber": serial,
    });
    file(environment, &arguments, Style::Spaced)
}

fn file(environment: &Environment, arguments: &Value, style: Style) -> Option<PathBuf> {
    let folder = environment.in_home(".aws/cli/cache")?;
    Some(folder.join(format!("{}.json", cache_key(arguments, style))))
}

/// The cache, with everything that reading it needs.
pub(crate) struct CliCache<'a> {
    pub(crate) environment: &'a Environment,
    /// AWS's time.
    pub(crate) now: OffsetDateTime,
    pub(crate) cancel: &'a Cancel,
}

impl CliCache<'_> {
    /// The credentials of a role.
    pub(crate) fn role(&self, role: &Role, watch: &mut Watch) -> Option<Credentials> {
        let source = Source::AssumedRole { role: role.arn.clone(), profile: role.profile.clone() };
        self.read(role_file(self.environment, role), source, watch).valid()
    }

    /// The credentials of an account and a role of IAM Identity Center.
    pub(crate) fn sso(&self, sso: &Sso, watch: &mut Watch) -> Option<Credentials> {
        let source = Source::Sso { profile: sso.profile.clone(), role: sso.role.clone() };
        let found = self.read(sso_file(self.environment, sso), source, watch).valid()?;
        Some(Credentials { account: Some(sso.account.clone()), ..found })
    }

    /// The session of the keys of a profile.
    pub(crate) fn session(
        &self,
        access_key_id: &str,
        serial: &str,
        profile: &str,
        watch: &mut Watch,
    ) -> Cached {
        let source = Source::MfaSession { profile: profile.to_owned() };
        self.read(session_file(self.environment, access_key_id, serial), source, watch)
    }

    fn read(&self, path: Option<PathBuf>, source: Source, watch: &mut Watch) -> Cached {
        let file = path.and_then(|path| CachedToken::read(&path, watch, self.cancel));
        match file.and_then(|file| parse(&file, source)) {
            Some(found) => match found.expires {
                Some(expires) if expires <= self.now => Cached::Expired(expires),
                _ => Cached::Valid(found),
            },
            None => Cached::Nothing,
        }
    }
}

impl Cached {
    fn valid(self) -> Option<Credentials> {
        match self {
            Cached::Valid(found) => Some(found),
            Cached::Expired(_) | Cached::Nothing => None,
        }
    }
}

fn parse(file: &CachedToken, source: Source) -> Option<Credentials> {
    let found = file.object("Credentials")?;
    let text = |name: &str| {
        let text = found.get(name)?.as_str()?;
        (!text.is_empty() && is_header_value(text)).then_some(text)
    };
    let key =
        AccessKey::new(text("AccessKeyId")?, text("SecretAccessKey")?, Some(text("SessionToken")?));
    let expires = Some(expiry::parse(text("Expiration")?)?);
    Some(Credentials { key, expires, account: text("AccountId").map(str::to_owned), source })
}

/// Writes credentials as the AWS CLI does.
pub(crate) fn write(path: PathBuf, credentials: &Credentials) -> io::Result<()> {
    let Credentials { key, expires, account, source } = credentials;
    let mut members = json!({
        "Credentials": {
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key.expose(),
            "SessionToken": key.session_token.as_ref().map(Secret::expose),
            "Expiration": expires.map(expiry::format),
        },
    });
    if let Some(account) = account {
        members["Credentials"]["AccountId"] = json!(account);
    }
    if matches!(source, Source::MfaSession { .. }) {
        members["ProviderType"] = json!("sts-session-token");
    }
    let Value::Object(members) = members else { unreachable!("it is written above") };
    CachedToken::new(path, members).create()
}
