//! `Plan`: a profile → the provider and the roles that its credentials come from. No source is used here.

use std::path::PathBuf;

use crate::aws::region::region_hint;
use crate::credentials::config::ini::Section;
use crate::credentials::config::profile::Profile;
use crate::credentials::types::Credentials;
use crate::error::{Error, Kind, SsoSession};
use crate::suggest::flaw;

/// How credentials are obtained: the base provides them, then each role is assumed with the credentials before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub base: BaseProvider,
    pub roles: Vec<Role>,
}

/// The first provider of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseProvider {
    /// Keys in the environment or in a profile.
    Static(Credentials),
    /// Keys in a profile with `mfa_serial` and without a role: a code may have been exchanged for a session.
    StaticWithMfa {
        keys: Credentials,
        serial: String,
        duration_seconds: Option<u32>,
        profile: String,
    },
    /// `credential_source`.
    NamedSource {
        source: CredentialSource,
        profile: String,
    },
    /// `login_session`, written by `aws login`.
    Login {
        session: String,
        profile: String,
    },
    /// `credential_process`.
    Process {
        command: String,
        profile: String,
    },
    Sso(Sso),
    WebIdentity(WebIdentity),
    /// The credential endpoint of the container.
    Container,
    /// EC2 instance metadata.
    Instance,
}

/// Values of `credential_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    Environment,
    EcsContainer,
    Ec2InstanceMetadata,
}

/// A role for `sts:AssumeRole`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    /// The profile whose `role_arn` it is; `None` for `--role-arn`.
    pub profile: Option<String>,
    pub external_id: Option<String>,
    pub session_name: Option<String>,
    pub duration_seconds: Option<u32>,
    /// The MFA device whose code the role requires.
    pub mfa_serial: Option<String>,
}

/// A role for `sts:AssumeRoleWithWebIdentity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    pub token_file: PathBuf,
    pub role_arn: String,
    pub session_name: Option<String>,
    /// The profile that configures it; `None` for the environment.
    pub profile: Option<String>,
}

/// An account and a role of IAM Identity Center.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sso {
    pub profile: String,
    pub session: SsoSession,
    pub account: String,
    pub role: String,
}

impl Plan {
    /// Follows `role_arn` from profile to profile down to a base. `None` if the profile holds settings but no
    /// credentials.
    ///
    /// # Errors
    /// Settings contradict each other, or profiles lead back to themselves or to nothing.
    pub fn of_profile(
        selected: &Profile<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Plan>, Error> {
        let mut roles = Vec::new();
        let mut path = vec![selected.name];
        let mut profile = *selected;
        let looped = |path: &[&str], next: &str| {
            let path = path.join(" -> ");
            selected.fault(format_args!("source_profile loop: {path} -> {next}"))
        };
        let base = loop {
            warn_of_likely_mistakes(&profile, warnings);
            // A source profile with keys of its own assumes no role; the selected profile does.
            let has_keys = path.len() > 1 && profile.keys()?.is_some();
            let Some(arn) = profile.role_to_assume().filter(|_| !has_keys) else {
                match (BaseProvider::of_profile(&profile)?, path.as_slice()) {
                    (Some(base), _) => break base,
                    (None, [.., before, last]) => {
                        let message = format!(
                            "profile {last:?} (source_profile of {before:?}) has no credentials"
                        );
                        return Err(Error::new(Kind::Credentials, message));
                    }
                    (None, _) => return Ok(None),
                }
            };
            roles.push(Role::of_profile(&profile, arn, warnings));
            match (profile.get("source_profile"), profile.get("credential_source")) {
                (Some(next), None) if next == profile.name && profile.keys()?.is_some() => {
                    break BaseProvider::of_profile(&profile)?
                        .ok_or_else(|| looped(&path, next))?;
                }
                (Some(next), None) if path.contains(&next) => return Err(looped(&path, next)),
                (Some(next), None) => {
                    profile = profile.sibling(next).ok_or_else(|| {
                        let what = format!("source_profile {next:?} could not be found");
                        profile.missing_section(what, "profile", next)
                    })?;
                    path.push(profile.name);
                }
                (None, Some(source)) => {
                    let source = CredentialSource::parse(source, &profile)?;
                    break BaseProvider::NamedSource { source, profile: profile.name.to_owned() };
                }
                _ => {
                    return Err(profile.fault(
                        "role_arn requires exactly one of source_profile and credential_source",
                    ));
                }
            }
        };
        roles.reverse();
        Ok(Some(Plan { base, roles }))
    }
}

/// Settings whose values are neither commands nor free text.
const CHECKED_SETTINGS: [&str; 12] = [
    "role_arn",
    "source_profile",
    "credential_source",
    "external_id",
    "role_session_name",
    "web_identity_token_file",
    "region",
    "sso_session",
    "sso_start_url",
    "sso_region",
    "sso_account_id",
    "sso_role_name",
];

/// Warns of settings that look like mistakes and may not be.
fn warn_of_likely_mistakes(profile: &Profile<'_>, warnings: &mut Vec<String>) {
    let name = profile.name;
    // The keys are checked when they are used (`Credentials::likely_mistakes`).
    let session = profile.get("sso_session").and_then(|session| profile.sso_session(session));
    let of_session = |setting| session.and_then(|session| session.get(setting));
    for setting in CHECKED_SETTINGS {
        let Some(value) = profile.get(setting).or_else(|| of_session(setting)) else { continue };
        if let Some(flaw) = flaw(value) {
            warnings.push(format!("profile {name:?}: {setting} {flaw}"));
        }
        if let Some(hint) = region_hint(value).filter(|_| setting == "sso_region") {
            warnings.push(format!("profile {name:?}: {setting}: {hint}"));
        }
    }
    if profile.get("role_arn").is_none() {
        for setting in ["source_profile", "credential_source"] {
            if profile.get(setting).is_some() {
                warnings
                    .push(format!("profile {name:?}: {setting} is ignored: role_arn is missing"));
            }
        }
    }
}

impl BaseProvider {
    /// Whether the credential endpoint of the container is used.
    pub(crate) fn asks_container(&self) -> bool {
        match self {
            BaseProvider::Container => true,
            BaseProvider::NamedSource { source, .. } => *source == CredentialSource::EcsContainer,
            _ => false,
        }
    }

    /// The provider that a profile without `role_arn` configures, in the order of the AWS CLI.
    fn of_profile(profile: &Profile<'_>) -> Result<Option<BaseProvider>, Error> {
        let name = || profile.name.to_owned();
        if let Some(token_file) = profile.get("web_identity_token_file") {
            let role_arn = profile
                .get("role_arn")
                .ok_or_else(|| profile.fault("web_identity_token_file without role_arn"))?;
            return Ok(Some(BaseProvider::WebIdentity(WebIdentity {
                token_file: token_file.into(),
                role_arn: role_arn.to_owned(),
                session_name: profile.get("role_session_name").map(str::to_owned),
                profile: Some(name()),
            })));
        }
        if profile.get("sso_account_id").is_some() || profile.get("sso_role_name").is_some() {
            return Ok(Some(BaseProvider::Sso(Sso::of_profile(profile)?)));
        }
        if let Some(keys) = profile.keys_in_credentials_file()? {
            return Ok(Some(BaseProvider::of_keys(keys, profile)));
        }
        if let Some(session) = profile.get("login_session") {
            let session = session.trim().to_owned();
            return Ok(Some(BaseProvider::Login { session, profile: name() }));
        }
        if let Some(command) = profile.get("credential_process") {
            // The lines of a continued value are one command.
            let command = command.replace('\n', " ");
            return Ok(Some(BaseProvider::Process { command, profile: name() }));
        }
        Ok(profile.keys_in_config_file()?.map(|keys| BaseProvider::of_keys(keys, profile)))
    }

    fn of_keys(keys: Credentials, profile: &Profile<'_>) -> BaseProvider {
        let is_long_term = keys.key.session_token.is_none() && profile.get("role_arn").is_none();
        match profile.get("mfa_serial").filter(|_| is_long_term) {
            Some(serial) => BaseProvider::StaticWithMfa {
                keys,
                serial: serial.to_owned(),
                duration_seconds: profile
                    .get("duration_seconds")
                    .and_then(|text| text.parse().ok()),
                profile: profile.name.to_owned(),
            },
            None => BaseProvider::Static(keys),
        }
    }
}

impl CredentialSource {
    /// The value as it is written in a profile.
    pub fn name(self) -> &'static str {
        match self {
            CredentialSource::Environment => "Environment",
            CredentialSource::EcsContainer => "EcsContainer",
            CredentialSource::Ec2InstanceMetadata => "Ec2InstanceMetadata",
        }
    }

    fn parse(text: &str, profile: &Profile<'_>) -> Result<CredentialSource, Error> {
        use CredentialSource::{Ec2InstanceMetadata, EcsContainer, Environment};
        let known = [Environment, Ec2InstanceMetadata, EcsContainer];
        known.into_iter().find(|source| source.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = known.map(CredentialSource::name).join(", ");
            profile.fault(format_args!("unknown credential_source {text:?} ({names})"))
        })
    }
}

impl Role {
    fn of_profile(profile: &Profile<'_>, arn: &str, warnings: &mut Vec<String>) -> Role {
        let name = profile.name;
        let duration = profile.get("duration_seconds");
        let duration_seconds = duration.and_then(|text| text.parse().ok());
        if duration.is_some() && duration_seconds.is_none() {
            warnings.push(format!("profile {name:?}: duration_seconds is ignored: not an integer"));
        }
        let owned = |setting| profile.get(setting).map(str::to_owned);
        Role {
            arn: arn.to_owned(),
            profile: Some(name.to_owned()),
            external_id: owned("external_id"),
            session_name: owned("role_session_name"),
            duration_seconds,
            mfa_serial: owned("mfa_serial"),
        }
    }
}

impl Sso {
    fn of_profile(profile: &Profile<'_>) -> Result<Sso, Error> {
        let required = |setting: &str, companion: &str| {
            let missing =
                || profile.fault(format_args!("{setting} is missing, required by {companion}"));
            profile.get(setting).map(str::to_owned).ok_or_else(missing)
        };
        let account = required("sso_account_id", "sso_role_name")?;
        let role = required("sso_role_name", "sso_account_id")?;
        let profile_name = profile.name.to_owned();
        let Some(name) = profile.get("sso_session") else {
            let session = SsoSession {
                name: None,
                start_url: required("sso_start_url", "sso_account_id")?,
                region: required("sso_region", "sso_account_id")?,
                scopes: Vec::new(),
            };
            return Ok(Sso { profile: profile_name, session, account, role });
        };
        let section = profile.sso_session(name).ok_or_else(|| {
            let what = format!("sso_session {name:?} could not be found");
            profile.missing_section(what, "sso-session", name)
        })?;
        let session = session_of_section(name, section)?;
        let settings = [("sso_region", &session.region), ("sso_start_url", &session.start_url)];
        for (setting, value) in settings {
            if profile.get(setting).is_some_and(|own| own != value) {
                return Err(
                    profile.fault(format_args!("{setting} differs from sso-session {name:?}"))
                );
            }
        }
        Ok(Sso { profile: profile_name, session, account, role })
    }
}

/// The session of a `[sso-session]` section.
///
/// # Errors
/// A setting is missing.
pub(crate) fn session_of_section(name: &str, section: &Section) -> Result<SsoSession, Error> {
    let required = |setting: &str| {
        let message = format!("sso-session {name:?}: {setting} is missing");
        let missing = || Error::new(Kind::Credentials, message);
        section.get(setting).map(str::to_owned).ok_or_else(missing)
    };
    Ok(SsoSession {
        name: Some(name.to_owned()),
        region: required("sso_region")?,
        start_url: required("sso_start_url")?,
        scopes: scopes(section.get("sso_registration_scopes")),
    })
}

/// The scopes of a session. The default allows listing accounts and roles, and refreshing the token.
fn scopes(setting: Option<&str>) -> Vec<String> {
    let named = setting.unwrap_or_default().split(',').map(str::trim);
    let named: Vec<String> = named.filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    if named.is_empty() { vec!["sso:account:access".to_owned()] } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::config::profile::Files;
    use crate::credentials::source::Source;
    use crate::signing::Secret;
    use std::path::Path;

    fn plan_with_warnings(
        name: &str,
        config: &str,
        credentials: &str,
    ) -> (Result<Option<Plan>, Error>, Vec<String>) {
        let config = (Path::new("config"), config.as_bytes());
        let files = Files::parse(config, (Path::new("credentials"), credentials.as_bytes()));
        let (files, mut warnings) = (files.unwrap(), Vec::new());
        (Plan::of_profile(&files.find(name).unwrap(), &mut warnings), warnings)
    }

    /// A short form of a profile's plan: the base, then the roles.
    fn plan_of(name: &str, config: &str, credentials: &str) -> String {
        let plan = match plan_with_warnings(name, config, credentials).0 {
            Ok(Some(plan)) => plan,
            Ok(None) => return "none".into(),
            Err(error) => return error.to_string(),
        };
        let base = match plan.base {
            BaseProvider::Static(Credentials { key, source, .. }) => {
                let Source::Profile { file, .. } = source else { unreachable!() };
                let token = key.session_token.as_ref().map_or("", Secret::expose);
                format!(
                    "{} {} {token}@{}",
                    key.access_key_id,
                    key.secret_access_key.expose(),
                    file.display()
                )
            }
            BaseProvider::NamedSource { source, .. } => source.name().into(),
            BaseProvider::Login { session, .. } => format!("login {session}"),
            BaseProvider::Process { command, .. } => format!("process {command}"),
            BaseProvider::Sso(sso) => {
                let SsoSession { name, region, start_url, scopes } = sso.session;
                format!("sso {name:?} {region} {start_url} {}", scopes.join(","))
            }
            BaseProvider::WebIdentity(identity) => format!("web {}", identity.role_arn),
            BaseProvider::StaticWithMfa { keys, serial, .. } => {
                format!("{} with {serial}", keys.key.access_key_id)
            }
            BaseProvider::Container | BaseProvider::Instance => unreachable!(),
        };
        let roles = plan.roles.into_iter().map(|role| role.arn);
        [base].into_iter().chain(roles).collect::<Vec<_>>().join(" > ")
    }

    /// The plan of `default`, which is in both files.
    fn plan(config: &str, credentials: &str) -> String {
        plan_of("default", &format!("[default]\n{config}"), &format!("[default]\n{credentials}"))
    }

    #[test]
    fn sources_in_order() {
        const KEYS: &str = "aws_access_key_id=A\naws_secret_access_key=S\n";
        const TOKEN: &str = "aws_session_token=T\n";
        const ROLE: &str = "role_arn=r\nsource_profile=default\n";
        const WEB: &str = "web_identity_token_file=/t\n";
        const SSO: &str = "sso_account_id=1\nsso_role_name=R\nsso_start_url=u\nsso_region=x\n";
        const LOGIN: &str = "login_session=l\n";
        const PROCESS: &str = "credential_process=p\n  q\n";
        for (config, credentials, expected) in [
            (vec![], vec![], "none"),
            (vec!["sso_session=s\nregion=x\nsource_profile=y"], vec![], "none"),
            (vec![ROLE, PROCESS, KEYS], vec![KEYS], "A S @credentials > r"),
            (vec![ROLE, SSO, KEYS], vec![KEYS], "sso None x u  > r"),
            (vec![ROLE, WEB, SSO], vec![KEYS], "web r"),
            (vec![SSO, LOGIN, KEYS], vec![KEYS], "sso None x u "),
            (vec![LOGIN, PROCESS, KEYS], vec![KEYS], "A S @credentials"),
            (vec![LOGIN, PROCESS, KEYS], vec![], "login l"),
            (vec![PROCESS, KEYS], vec![], "process p q"),
            (vec![KEYS, TOKEN], vec![], "A S T@config"),
            (vec![KEYS, "aws_security_token=O\n"], vec![], "A S O@config"),
            (vec![KEYS, "aws_security_token=O\n", TOKEN], vec![], "A S T@config"),
            (vec![KEYS, TOKEN], vec![KEYS], "A S @credentials"),
            (vec![KEYS], vec![TOKEN], "A S @config"),
            (vec![KEYS, "mfa_serial=m\n"], vec![], "A with m"),
            (vec!["mfa_serial=m\n"], vec![KEYS], "A with m"),
            (vec![KEYS, TOKEN, "mfa_serial=m\n"], vec![], "A S T@config"),
            (vec![ROLE, KEYS, "mfa_serial=m\n"], vec![], "A S @config > r"),
        ] {
            assert_eq!(plan(&config.concat(), &credentials.concat()), expected, "{config:?}");
        }
    }

    #[test]
    fn roles_of_source_profiles_are_assumed_first() {
        const KEYS: &str = "[keys]\naws_access_key_id=A\naws_secret_access_key=S\n[b]\n";
        for (config, expected) in [
            ("[profile a]\nrole_arn=ra\nsource_profile=keys", "A S @credentials > ra"),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=keys",
                "A S @credentials > rb > ra",
            ),
            ("[profile a]\nrole_arn=ra\ncredential_source=ecscontainer", "EcsContainer > ra"),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=a",
                "profile \"a\": source_profile loop: a -> b -> a",
            ),
            // As in the AWS CLI, keys of a source profile outrank its role, but not the other providers in it.
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nrole_arn=rb\nsource_profile=a\n\
                 aws_access_key_id=B\naws_secret_access_key=S",
                "B S @config > ra",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\ncredential_process=p\n\
                 aws_access_key_id=B\naws_secret_access_key=S",
                "process p > ra",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\n[profile b]\nsso_account_id=1\nsso_role_name=R\n\
                 sso_start_url=u\nsso_region=x\naws_access_key_id=B\naws_secret_access_key=S",
                "sso None x u  > ra",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=a",
                "profile \"a\": source_profile loop: a -> a",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=gone",
                "profile \"a\": source_profile \"gone\" could not be found (add [profile gone] to config)",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=work\n[work]",
                "profile \"a\": source_profile \"work\" could not be found \
                 (write [profile work] instead of [work] in config)",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=base\n[profile bas]",
                "profile \"a\": source_profile \"base\" could not be found (did you mean bas?)",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b",
                "profile \"b\" (source_profile of \"a\") has no credentials",
            ),
            (
                "[profile a]\nrole_arn=ra",
                "profile \"a\": role_arn requires exactly one of source_profile and credential_source",
            ),
            (
                "[profile a]\nrole_arn=ra\nsource_profile=b\ncredential_source=Environment",
                "profile \"a\": role_arn requires exactly one of source_profile and credential_source",
            ),
            (
                "[profile a]\nrole_arn=ra\ncredential_source=X",
                "profile \"a\": unknown credential_source \"X\" (Environment, Ec2InstanceMetadata, EcsContainer)",
            ),
            (
                "[profile a]\nweb_identity_token_file=t",
                "profile \"a\": web_identity_token_file without role_arn",
            ),
        ] {
            assert_eq!(plan_of("a", config, KEYS), expected, "{config}");
        }
    }

    #[test]
    fn a_long_chain_of_roles() {
        let profile = |at| format!("[profile p{at}]\nrole_arn=r\nsource_profile=p{}\n", at + 1);
        let mut config = (0..3_000).map(profile).collect::<Vec<_>>().concat();
        config += "[profile p3000]\naws_access_key_id=A\naws_secret_access_key=S\n";
        let plan = plan_of("p0", &config, "");
        assert_eq!(plan.matches(" > r").count(), 3_000);
    }

    #[test]
    fn sso_in_both_forms() {
        const SESSION: &str = "[sso-session s]\nsso_region=x\nsso_start_url=u\n";
        let sso = |profile: &str, session: &str| {
            plan_of("a", &format!("[profile a]\n{profile}\n{session}"), "")
        };
        let of_session = "sso_session=s\nsso_account_id=1\nsso_role_name=R";
        let default = "sso Some(\"s\") x u sso:account:access";
        assert_eq!(sso(of_session, SESSION), default);
        assert_eq!(sso(&format!("{of_session}\nsso_region=x"), SESSION), default);
        for (setting, scopes) in [(" a , b:c,,", "a,b:c"), (",", "sso:account:access")] {
            let session = format!("{SESSION}sso_registration_scopes={setting}\n");
            assert_eq!(sso(of_session, &session), format!("sso Some(\"s\") x u {scopes}"));
        }
        for (profile, session, message) in [
            (
                of_session,
                "",
                "profile \"a\": sso_session \"s\" could not be found (add [sso-session s] to config)",
            ),
            (
                of_session,
                "[s]",
                "profile \"a\": sso_session \"s\" could not be found \
                 (write [sso-session s] instead of [s] in config)",
            ),
            (
                of_session,
                "[profile s]",
                "profile \"a\": sso_session \"s\" could not be found \
                 (write [sso-session s] instead of [profile s] in config)",
            ),
            (
                of_session,
                "[sso-session s]\nsso_start_url=u",
                "sso-session \"s\": sso_region is missing",
            ),
            (
                "sso_session=s\nsso_account_id=1",
                SESSION,
                "profile \"a\": sso_role_name is missing, required by sso_account_id",
            ),
            (
                "sso_role_name=R",
                "",
                "profile \"a\": sso_account_id is missing, required by sso_role_name",
            ),
            (
                "sso_session=s\nsso_account_id=1\nsso_role_name=R\nsso_region=y",
                SESSION,
                "profile \"a\": sso_region differs from sso-session \"s\"",
            ),
        ] {
            assert_eq!(sso(profile, session), message);
        }
    }

    #[test]
    fn half_a_pair_is_an_error_and_is_not_completed() {
        let both = "aws_access_key_id=A\naws_secret_access_key=S";
        let no_secret = "profile \"default\": aws_access_key_id is set but aws_secret_access_key is not \
             (set aws_secret_access_key as well in credentials)";
        let no_id = |file| {
            format!(
                "profile \"default\": aws_secret_access_key is set but aws_access_key_id is not \
                 (set aws_access_key_id as well in {file})"
            )
        };
        assert_eq!(plan("", "aws_access_key_id=A"), no_secret);
        assert_eq!(plan("", "aws_access_key_id=A\naws_secret_access_key="), no_secret);
        assert_eq!(plan("aws_secret_access_key=S", ""), no_id("config"));
        assert_eq!(plan(both, "aws_secret_access_key=S"), no_id("credentials"));
    }

    #[test]
    fn likely_mistakes_are_warned_of() {
        let config = "[default]\nregion={{region}}\nsource_profile=x\nsso_session=s\n\
                      [sso-session s]\nsso_region=us-east1";
        let credentials = "[default]\nrole_session_name=\"A\"";
        let (_, warnings) = plan_with_warnings("default", config, credentials);
        assert_eq!(
            warnings,
            [
                "profile \"default\": role_session_name begins with a quote, which becomes part of the value",
                "profile \"default\": region contains a placeholder such as ${…} that was not replaced",
                "profile \"default\": sso_region: us-east1 is not an AWS region; did you mean us-east-1?",
                "profile \"default\": source_profile is ignored: role_arn is missing",
            ]
        );
    }
}
