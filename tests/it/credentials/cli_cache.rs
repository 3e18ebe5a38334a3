//! Credentials in the AWS CLI's cache: when they are used, and when they are ignored.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sigv4_proxy::credentials::{CredentialCache, Credentials, Role, Settings};
use time::OffsetDateTime;

use crate::credentials::chain::{Home, NOW, parts};
use crate::support::aws::Aws;

const CONFIG: &str = "\
[profile mfa]
role_arn = arn:aws:iam::111122223333:role/Dev
mfa_serial = arn:aws:iam::444455556666:mfa/ann
source_profile = dev
[profile mfa-all]
role_arn = arn:aws:iam::111122223333:role/Dev
mfa_serial = arn:aws:iam::444455556666:mfa/ann
external_id = ext-1
role_session_name = ann
duration_seconds = 7200
source_profile = keys
[profile on-mfa]
role_arn = arn:aws:iam::111122223333:role/Top
source_profile = mfa
[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://example.awsapps.com/start
[profile old]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = Dev
[profile plain]
role_arn = arn:aws:iam::111122223333:role/Dev
source_profile = dev
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = S
mfa_serial = arn:aws:iam::444455556666:mfa/ann
";

/// Files by the profile whose settings name them.
const MFA: &str = "b58ec78b788a89bfc117b1d7c3588eab24be468f";
const MFA_ALL: &str = "256953c0b12a2fe14bdb0d554a41c38da14ed5fc";
const SSO: &str = "20985b56d713cfd135648cadc68a6115ca80d9a5";
const SSO_OLD: &str = "8d7c2c9d82dcde0814f440efe52db6531dc17184";
const PLAIN: &str = "2e4e5ba8d705dd3fb0679e7eb5f0b624fb18a363";
const KEYS: &str = "b8d16ffe7c4f16d7f0b9ffcd625d613a827c0e48";

const LATER: &str = "2030-01-01T00:20:00Z";

struct Rig {
    home: Home,
    aws: Aws,
}

impl Rig {
    fn new(test: &str) -> Rig {
        let home = Home::new(&format!("cli-cache-{test}"));
        home.write(".aws/config", CONFIG);
        Rig { home, aws: Aws::start(vec![], NOW) }
    }

    fn cache(&self, profile: &str) -> CredentialCache {
        self.cache_with(profile, &[], None)
    }

    fn cache_with(
        &self,
        profile: &str,
        env: &[(&str, &str)],
        role: Option<Role>,
    ) -> CredentialCache {
        let fixed = [("AWS_ENDPOINT_URL", self.aws.url.as_str()), ("AWS_REGION", "us-east-1")];
        let environment = self.home.environment(fixed.into_iter().chain(env.iter().copied()));
        let profile = Some(profile.to_owned());
        CredentialCache::new(environment, Settings { profile, role, ..Settings::default() }, NOW)
    }

    fn write(&self, key: &str, content: impl AsRef<[u8]>) {
        self.home.write(&path(key), content);
    }
}

fn path(key: &str) -> String {
    format!(".aws/cli/cache/{key}.json")
}

fn file(expiration: &str) -> Value {
    json!({
        "Credentials": {
            "AccessKeyId": "ASIACLI", "SecretAccessKey": "s", "SessionToken": "t",
            "Expiration": expiration, "AccountId": "111122223333",
        },
        "ResponseMetadata": { "HTTPStatusCode": 200 },
    })
}

fn assumed(role: &str, with: [&str; 3], id: &str) -> Value {
    let [key, secret, token] = with;
    json!({
        "ask": "POST /",
        "signed": [key, secret, token, "us-east-1"],
        "form": { "Action": "AssumeRole", "RoleArn": format!("arn:aws:iam::111122223333:role/{role}") },
        "form_without": ["SerialNumber", "TokenCode"],
        "answer": format!(
            "<r><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2030-01-01T01:00:00Z</Expiration></Credentials></r>"
        ),
    })
}

fn id(found: &Credentials) -> String {
    parts(found)[0].unwrap_or_default().to_owned()
}

#[test]
fn a_role_with_a_code_uses_what_the_aws_cli_keeps_until_it_ends() {
    for (profile, key) in [("mfa", MFA), ("mfa-all", MFA_ALL)] {
        for expiration in [LATER, "2030-01-01T00:20:00+00:00", "2030-01-01T00:20:00UTC"] {
            let rig = Rig::new(&format!("{profile}-{}", expiration.len()));
            rig.write(key, file(expiration).to_string());
            let cache = rig.cache(profile);
            let found = cache.get(NOW).unwrap();
            assert_eq!(
                (id(&found).as_str(), found.account.as_deref()),
                ("ASIACLI", Some("111122223333"))
            );
            assert_eq!(found.expires, Some(NOW + Duration::from_secs(20 * 60)));
            let last = NOW + Duration::from_secs(20 * 60 - 1);
            assert_eq!(id(&cache.get(last).unwrap()), "ASIACLI", "until the last second");
            let error = cache.get(NOW + Duration::from_secs(20 * 60)).unwrap_err();
            assert!(error.message().contains("requires an MFA code"), "{error}");
            assert_eq!((cache.take_warnings(), rig.aws.unexpected()), (vec![], vec![]));
        }
    }
}

#[test]
fn roles_after_the_one_with_a_code_are_assumed_with_what_the_cache_holds() {
    let rig = Rig::new("on-mfa");
    rig.write(MFA, file("2030-01-01T00:40:00Z").to_string());
    rig.aws.expect(vec![assumed("Top", ["ASIACLI", "s", "t"], "ASIATOP")]);
    let cache = rig.cache("on-mfa");
    assert_eq!(id(&cache.get(NOW).unwrap()), "ASIATOP");
    rig.aws.expect(vec![
        assumed("Top", ["ASIACLI", "s", "t"], "ASIATOP"),
        assumed("More", ["ASIATOP", "s", "t"], "ASIAMORE"),
    ]);
    let arn = "arn:aws:iam::111122223333:role/More".to_owned();
    let cache = rig.cache_with("on-mfa", &[], Some(Role { arn, ..Role::default() }));
    assert_eq!(id(&cache.get(NOW).unwrap()), "ASIAMORE");
    assert_eq!(rig.aws.unexpected(), [""; 0]);
}

#[test]
fn the_names_of_sessions_in_the_environment_do_not_change_the_file() {
    let rig = Rig::new("session-name");
    rig.write(MFA_ALL, file(LATER).to_string());
    let cache = rig.cache_with("mfa-all", &[("AWS_ROLE_SESSION_NAME", "me")], None);
    assert_eq!(id(&cache.get(NOW).unwrap()), "ASIACLI");
}

#[test]
fn files_that_hold_no_usable_credentials_do_not_count() {
    let without = |name: &str| {
        let mut file = file(LATER);
        file["Credentials"].as_object_mut().unwrap().remove(name);
        file.to_string().into_bytes()
    };
    let with = |name: &str, value: Value| {
        let mut file = file(LATER);
        file["Credentials"][name] = value;
        file.to_string().into_bytes()
    };
    let mut large = file(LATER).to_string().into_bytes();
    large.resize((1 << 20) + 1, b' ');
    for (at, content) in [
        Vec::new(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe{\0".to_vec(),
        vec![b'['; 100_000],
        br#"{"Credentials":[]}"#.to_vec(),
        br#"{"Credentials":{"Credentials":{}}}"#.to_vec(),
        without("AccessKeyId"),
        without("SecretAccessKey"),
        without("SessionToken"),
        without("Expiration"),
        with("AccessKeyId", json!("")),
        with("SecretAccessKey", json!(7)),
        with("SessionToken", json!("a\nb")),
        with("Expiration", json!("soon")),
        with("Expiration", json!("2030-01-01T00:20:00")),
        with("Expiration", json!("2030-01-01T00:00:00Z")),
        with("Expiration", json!(1_893_457_200)),
        large,
    ]
    .into_iter()
    .enumerate()
    {
        let rig = Rig::new(&format!("broken-{at}"));
        rig.write(MFA, content);
        let error = rig.cache("mfa").get(NOW).unwrap_err();
        assert!(error.needed_sign_in().is_some(), "{at}: {error}");
    }
    let rig = Rig::new("folder");
    fs::create_dir_all(rig.home.0.join(path(MFA))).unwrap();
    assert!(rig.cache("mfa").get(NOW).unwrap_err().needed_sign_in().is_some());
}

#[test]
fn a_login_elsewhere_counts_from_the_next_call() {
    let rig = Rig::new("watched");
    let cache = rig.cache("mfa");
    assert!(cache.get(NOW).is_err());
    rig.write(MFA, file(LATER).to_string());
    assert_eq!(id(&cache.get(NOW).unwrap()), "ASIACLI");
    let mut newer = file("2030-01-01T00:50:00Z");
    newer["Credentials"]["AccessKeyId"] = json!("ASIANEWER");
    rig.write(MFA, newer.to_string());
    assert_eq!(id(&cache.get(NOW).unwrap()), "ASIANEWER");
}

#[test]
fn other_credentials_of_the_cache_are_the_last_resort_when_a_sign_in_is_needed() {
    for (profile, key, source) in [
        ("dev", SSO, "SSO role Dev (profile dev)"),
        ("old", SSO_OLD, "SSO role Dev (profile old)"),
        ("plain", PLAIN, "role arn:aws:iam::111122223333:role/Dev (profile plain)"),
    ] {
        let rig = Rig::new(&format!("last-{profile}"));
        rig.write(key, file(LATER).to_string());
        let cache = rig.cache(profile);
        for _ in 0..2 {
            let found = cache.get(NOW).unwrap();
            assert_eq!(
                (id(&found).as_str(), found.source.to_string().as_str()),
                ("ASIACLI", source)
            );
        }
        let [warning] = &cache.take_warnings()[..] else { panic!("one") };
        let expected = "SSO token missing; credentials in the AWS CLI's cache are used until 2030-01-01T00:20:00Z";
        assert!(warning.ends_with(expected), "{warning}");
        let error = cache.get(NOW + Duration::from_secs(20 * 60)).unwrap_err();
        assert!(error.needed_sign_in().is_some(), "{error}");
    }
    // The token's own credentials take part in a role.
    let rig = Rig::new("last-source");
    rig.write(SSO, file(LATER).to_string());
    rig.aws.expect(vec![assumed("Dev", ["ASIACLI", "s", "t"], "ASIAROLE")]);
    assert_eq!(id(&rig.cache("plain").get(NOW).unwrap()), "ASIAROLE");
}

#[test]
fn the_cache_does_not_replace_a_source_that_works_or_fails_for_another_reason() {
    let token = json!({ "accessToken": "access", "expiresAt": "2030-01-01T09:00:00Z" }).to_string();
    let token_path = ".aws/sso/cache/1be44f40ee6d8c8aebc9ef6b5b06e5abc4f1f9d0.json";
    let portal = |status: u16| {
        let keys = json!({ "accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 1_893_459_600_000_u64 });
        json!({
            "ask": "GET /federation/credentials?role_name=Dev&account_id=111122223333",
            "status": status, "answer": { "roleCredentials": keys, "message": "no" },
        })
    };
    let rig = Rig::new("works");
    let name = hex::encode(<sha1::Sha1 as sha1::Digest>::digest("corp"));
    let token_path = token_path.replace("1be44f40ee6d8c8aebc9ef6b5b06e5abc4f1f9d0", &name);
    rig.home.write(&token_path, token);
    rig.write(SSO, file(LATER).to_string());
    rig.aws.expect(vec![portal(200)]);
    assert_eq!(id(&rig.cache("dev").get(NOW).unwrap()), "ASIASSO");
    rig.aws.expect(vec![portal(403)]);
    let error = rig.cache("dev").get(NOW).unwrap_err();
    assert!(error.message().contains("no (403)"), "{error}");
}

#[test]
fn a_session_of_keys_signs_while_it_lasts_and_then_the_keys_do() {
    let rig = Rig::new("keys");
    let cache = rig.cache("keys");
    let long_term = "AKIAIOSFODNN7EXAMPLE";
    assert_eq!((id(&cache.get(NOW).unwrap()).as_str(), cache.take_warnings()), (long_term, vec![]));
    rig.write(KEYS, file(LATER).to_string());
    let found = cache.get(NOW).unwrap();
    assert_eq!(found.source.to_string(), "MFA session (profile keys)");
    assert_eq!((id(&found).as_str(), cache.take_warnings()), ("ASIACLI", vec![]));
    let after: OffsetDateTime = NOW + Duration::from_secs(20 * 60);
    assert_eq!(id(&cache.get(after).unwrap()), long_term);
    let warnings = cache.take_warnings();
    let expected = "profile \"keys\": its MFA session expired at 2030-01-01T00:20:00Z; signing with its long-term keys; \
                    run \"sigv4-proxy login --profile keys\"";
    assert_eq!(warnings, [expected]);
    fs::remove_file(rig.home.0.join(path(KEYS))).unwrap();
    let cache = rig.cache("keys");
    assert_eq!((id(&cache.get(NOW).unwrap()).as_str(), cache.take_warnings()), (long_term, vec![]));
    assert!(!Path::new(&rig.home.0.join(path(KEYS))).exists());
}
