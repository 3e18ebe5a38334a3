//! Failures that a sign-in of the user would fix, and those that it would not.

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sigv4_proxy::credentials::{CredentialCache, Role, Settings};
use sigv4_proxy::error::{SignIn, SignInMethod};

use crate::credentials::chain::{Home, NOW};
use crate::support::aws::Aws;

const CONFIG: &str = "\
[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Dev
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.awsapps.com/start
sso_registration_scopes = a, b
[profile old]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Dev
[profile on-top]
role_arn = arn:aws:iam::123456789012:role/One
source_profile = middle
[profile middle]
role_arn = arn:aws:iam::123456789012:role/Two
source_profile = dev
[profile mfa]
role_arn = arn:aws:iam::123456789012:role/Mfa
mfa_serial = arn:aws:iam::123456789012:mfa/ann
source_profile = keys
[profile on-mfa]
role_arn = arn:aws:iam::123456789012:role/One
source_profile = mfa
[profile keys]
aws_access_key_id = A
aws_secret_access_key = S
[profile console]
login_session = arn:aws:iam::123456789012:user/ann
";

fn token(members: &Value) -> (String, String) {
    let path = format!(".aws/sso/cache/{}.json", hex::encode(Sha1::digest("corp")));
    let mut file = json!({
        "accessToken": "access", "expiresAt": "2029-01-01T00:00:00Z", "refreshToken": "refresh",
        "clientId": "cid", "clientSecret": "csec", "registrationExpiresAt": "2030-02-01T00:00:00Z",
    });
    for (name, value) in members.as_object().unwrap() {
        file[name] = value.clone();
    }
    (path, file.to_string())
}

/// The sign-in that the error of this profile names, in short.
fn needed(
    test: &str,
    profile: &str,
    role: Option<Role>,
    file: Option<(String, String)>,
    entry: Option<Value>,
) -> String {
    let home = Home::new(&format!("needed-{test}"));
    home.write(".aws/config", CONFIG);
    if let Some((path, content)) = file {
        home.write(&path, content);
    }
    let aws = Aws::start(entry.into_iter().collect(), NOW);
    let environment =
        home.environment([("AWS_ENDPOINT_URL", aws.url.as_str()), ("AWS_REGION", "us-east-1")]);
    let settings = Settings { profile: Some(profile.to_owned()), role, ..Settings::default() };
    let error = CredentialCache::new(environment, settings, NOW).get(NOW).unwrap_err();
    let Some(SignIn { profile, problem, method }) = error.needed_sign_in() else {
        return format!("none: {error}");
    };
    assert!(error.message().contains(problem), "{error}");
    assert!(error.message().contains(&format!("sigv4-proxy login --profile {profile}")), "{error}");
    match method {
        SignInMethod::Sso(session) => {
            let name = session.name.as_deref().unwrap_or(&session.start_url);
            format!("{profile}: sso {name} {} {}", session.region, session.scopes.join(" "))
        }
        SignInMethod::Mfa { serial, role_arn } => {
            format!("{profile}: mfa {serial} {}", role_arn.as_deref().unwrap_or_default())
        }
        SignInMethod::Login { session } => format!("{profile}: login {session}"),
    }
}

#[test]
fn a_failure_names_the_sign_in_that_would_fix_it_through_any_number_of_roles() {
    let refused = |status| {
        Some(
            json!({ "ask": "POST /token", "times": "any", "status": status, "answer": { "error": "invalid_grant" } }),
        )
    };
    let portal = |status| {
        let ask = "GET /federation/credentials?role_name=Dev&account_id=123456789012";
        Some(json!({ "ask": ask, "times": "any", "status": status, "answer": { "message": "no" } }))
    };
    let good = || Some(token(&json!({ "expiresAt": "2030-01-01T09:00:00Z" })));
    let old = || Some(token(&json!({})));
    let sso = "dev: sso corp us-east-1 a b";
    for (test, profile, file, entry, expected) in [
        ("missing", "dev", None, None, sso),
        ("no-token", "dev", Some(token(&json!({ "accessToken": 1 }))), None, sso),
        ("final", "dev", Some(token(&json!({ "refreshToken": null }))), None, sso),
        ("refused", "dev", old(), refused(400), sso),
        ("outage", "dev", old(), refused(500), "none: "),
        ("throttled", "dev", old(), refused(429), "none: "),
        ("revoked", "dev", good(), portal(401), sso),
        ("forbidden", "dev", good(), portal(403), "none: "),
        ("no-role", "dev", good(), portal(404), "none: "),
        ("legacy", "old", None, None, "old: sso https://corp.awsapps.com/start eu-west-1 "),
        ("deep", "on-top", None, None, sso),
        (
            "mfa",
            "mfa",
            None,
            None,
            "mfa: mfa arn:aws:iam::123456789012:mfa/ann arn:aws:iam::123456789012:role/Mfa",
        ),
        (
            "on-mfa",
            "on-mfa",
            None,
            None,
            "mfa: mfa arn:aws:iam::123456789012:mfa/ann arn:aws:iam::123456789012:role/Mfa",
        ),
        ("console", "console", None, None, "console: login arn:aws:iam::123456789012:user/ann"),
        ("none", "gone", None, None, "none: "),
    ] {
        let found = needed(test, profile, None, file, entry);
        let is_it =
            if expected == "none: " { found.starts_with(expected) } else { found == expected };
        assert!(is_it, "{test}: {found}");
    }
    let role = Role { arn: "arn:aws:iam::123456789012:role/Top".to_owned(), ..Role::default() };
    assert_eq!(needed("role-arn", "on-top", Some(role), None, None), sso);
}

#[test]
fn an_expired_console_session_asks_for_a_sign_in_only_if_one_would_help() {
    let session = "arn:aws:iam::123456789012:user/ann";
    let path = format!(".aws/login/cache/{}.json", hex::encode(Sha256::digest(session)));
    let file = |key: &str| {
        let content = json!({
            "accessToken": { "accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T",
                             "accountId": "123456789012", "expiresAt": "2029-12-31T23:00:00Z" },
            "refreshToken": "r", "clientId": "c", "dpopKey": key,
        });
        Some((path.clone(), content.to_string()))
    };
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let key = key.to_sec1_pem(p256::pkcs8::LineEnding::LF).unwrap();
    let login = format!("console: login {session}");
    for (test, key, status, error, expected) in [
        ("expired", key.as_str(), 401, "TOKEN_EXPIRED", login.as_str()),
        ("password", &key, 400, "USER_CREDENTIALS_CHANGED", &login),
        ("permission", &key, 403, "INSUFFICIENT_PERMISSIONS", "none: "),
        ("outage", &key, 500, "x", "none: "),
        ("key", "no key", 500, "x", &login),
    ] {
        let entry = json!({ "ask": "POST /v1/token", "times": "any", "status": status, "answer": { "error": error } });
        let found = needed(&format!("console-{test}"), "console", None, file(key), Some(entry));
        assert!(found.starts_with(expected), "{test}: {found}");
    }
}
