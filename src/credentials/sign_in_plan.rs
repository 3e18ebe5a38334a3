//! `SignInPlan`: the sign-ins that lead to the credentials of a plan. Pure.

use std::path::PathBuf;

use crate::credentials::config::plan::{BaseProvider, Plan, Role, Sso};
use crate::credentials::source::Source;
use crate::credentials::sources::cli_cache::{role_file, session_file, sso_file};
use crate::environment::Environment;
use crate::error::{SignIn, SignInMethod};

/// The sign-ins of a plan.
#[derive(Debug)]
pub(crate) struct SignInPlan {
    /// The selected profile.
    pub(crate) profile: String,
    /// In the order in which they are needed.
    pub(crate) sign_ins: Vec<SignIn>,
    /// The source that needs none, for messages: `keys in ~/.aws/credentials`. `None`: nothing is configured.
    pub(crate) source: Option<String>,
    /// `sso_session` of the profile, which may be there without an account and a role.
    pub(crate) sso_session: Option<String>,
    /// The entry of the AWS CLI's cache that this plan may use.
    sso: Option<Sso>,
    roles: Vec<Role>,
    session: Option<(String, String)>,
}

impl SignInPlan {
    pub(crate) fn of(plan: &Plan, profile: &str, sso_session: Option<&str>) -> SignInPlan {
        let sign_in = |profile: &String, method| SignIn {
            profile: profile.clone(),
            problem: String::new(),
            method,
        };
        let (mut sso, mut session) = (None, None);
        let of_base = match &plan.base {
            BaseProvider::Sso(found) => {
                sso = Some(found.clone());
                Some(sign_in(&found.profile, SignInMethod::Sso(found.session.clone())))
            }
            BaseProvider::Login { session, profile } => {
                Some(sign_in(profile, SignInMethod::Login { session: session.clone() }))
            }
            BaseProvider::StaticWithMfa { keys, serial, profile, .. } if plan.roles.is_empty() => {
                session = Some((keys.key.access_key_id.clone(), serial.clone()));
                let (serial, role_arn) = (serial.clone(), None);
                Some(sign_in(profile, SignInMethod::Mfa { serial, role_arn }))
            }
            _ => None,
        };
        let of_roles = plan.roles.iter().filter_map(|role| {
            let (serial, role_arn) = (role.mfa_serial.clone()?, Some(role.arn.clone()));
            Some(sign_in(role.profile.as_ref()?, SignInMethod::Mfa { serial, role_arn }))
        });
        SignInPlan {
            profile: profile.to_owned(),
            sign_ins: of_base.into_iter().chain(of_roles).collect(),
            source: source(&plan.base),
            sso_session: sso_session.map(str::to_owned),
            sso,
            roles: plan.roles.clone(),
            session,
        }
    }

    /// The files of the AWS CLI's cache that this plan's settings name.
    pub(crate) fn cached_files(&self, environment: &Environment) -> Vec<PathBuf> {
        let of_sso = self.sso.as_ref().and_then(|sso| sso_file(environment, sso));
        let of_session =
            self.session.as_ref().and_then(|(id, serial)| session_file(environment, id, serial));
        let of_roles = self.roles.iter().filter_map(|role| role_file(environment, role));
        of_sso.into_iter().chain(of_session).chain(of_roles).collect()
    }
}

fn source(base: &BaseProvider) -> Option<String> {
    Some(match base {
        BaseProvider::Static(keys) | BaseProvider::StaticWithMfa { keys, .. } => {
            match &keys.source {
                Source::Profile { file, .. } => format!("keys in {}", file.display()),
                _ => "keys in the environment".to_owned(),
            }
        }
        BaseProvider::NamedSource { source, .. } => format!("credential_source {}", source.name()),
        BaseProvider::Process { .. } => "credential_process".to_owned(),
        BaseProvider::WebIdentity(_) => "web identity".to_owned(),
        BaseProvider::Container => "container credentials".to_owned(),
        BaseProvider::Sso(_) => "IAM Identity Center".to_owned(),
        BaseProvider::Login { .. } => "aws login".to_owned(),
        BaseProvider::Instance => return None,
    })
}
