//! Files of tokens that other processes write meanwhile: half written, replaced, renewed.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sigv4_proxy::credentials::{CredentialCache, Settings};

use crate::credentials::chain::{Home, NOW, parts};
use crate::support::aws::Aws;

/// Longer than the first pause before a file is read again, shorter than all of them.
const SOON: Duration = Duration::from_millis(120);

const SSO: &str = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n\
                   [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.example/start\n";
/// A key for DPoP.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEICrng3403JpAhbL48EihRMpa0nzhY8IyqX5rBheIFwUOoAoGCCqGSM49\nAwEHoUQDQgAEYksCw++HESTQ9OXukR6YYOpp5ux8STs1XmE/kMqYRB0ngc7SOuJx\nF1RHV/WXsHVCtoQbXgG13fz+vQ9pd+mhwg==\n-----END EC PRIVATE KEY-----\n";
const SESSION: &str = "arn:aws:iam::123456789012:user/ann";

/// The access key that is found after `path` is written with `content`, which happens while the credentials are looked for.
fn found_while_written(
    home: &Home,
    aws: &Aws,
    env: &[(&str, &str)],
    (path, content): (&str, &str),
) -> Result<String, String> {
    let env = env.iter().copied().chain([("AWS_ENDPOINT_URL", aws.url.as_str())]);
    let cache = CredentialCache::new(home.environment(env), Settings::default(), NOW);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::park_timeout(SOON);
            home.write(path, content);
        });
        found_in(&cache)
    })
}

fn assumed(token: &str) -> Value {
    let credentials = "<a><Credentials><AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                       <SessionToken>t</SessionToken><Expiration>2030-01-01T01:00:00Z</Expiration></Credentials></a>";
    json!({ "ask": "POST /", "form": { "WebIdentityToken": token }, "answer": credentials })
}

fn in_container(token: &str, status: u16) -> Value {
    let keys = json!({ "AccessKeyId": "ASIACTR", "SecretAccessKey": "s", "Token": "t", "Expiration": "2030-01-01T01:00:00Z" });
    json!({ "ask": "GET /c", "headers": { "authorization": token }, "status": status, "answer": keys })
}

/// The cache file of `aws sso login`.
fn sso_file(access_token: &str, refresh_token: &str, expires: &str) -> (String, String) {
    let members = json!({
        "startUrl": "https://corp.example/start", "region": "us-east-1", "accessToken": access_token, "expiresAt": expires,
        "clientId": "cid", "clientSecret": "csec", "registrationExpiresAt": "2030-01-11T00:00:00Z", "refreshToken": refresh_token,
    });
    let path = format!(".aws/sso/cache/{}.json", hex::encode(Sha1::digest("corp")));
    (path, members.to_string())
}

fn role_for(access_token: &str) -> Value {
    let keys = json!({ "accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 1_893_459_600_000_u64 });
    json!({
        "ask": "GET /federation/credentials?role_name=Dev&account_id=123456789012",
        "headers": { "x-amz-sso_bearer_token": access_token },
        "answer": { "roleCredentials": keys },
    })
}

#[test]
fn a_web_identity_token_that_is_half_written_is_read_again() {
    for (name, half) in [("empty", ""), ("half", "eyJhbGci.eyJpc3Mi")] {
        let home = Home::new(&format!("web-token-{name}"));
        home.write("token", half);
        let path = home.0.join("token");
        let env = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/A"),
            ("AWS_REGION", "us-east-1"),
        ];
        let aws = Aws::start(vec![assumed("eyJh.eyJp.late")], NOW);
        let found = found_while_written(&home, &aws, &env, ("token", "eyJh.eyJp.late\n"));
        assert_eq!(found.as_deref(), Ok("ASIAWEB"), "{name}: {:?}", aws.unexpected());
        assert_eq!(aws.unexpected(), [""; 0], "nothing is sent with half a token");
    }
}

#[test]
fn a_token_that_was_replaced_after_a_refusal_is_sent() {
    let home = Home::new("web-token-refused");
    home.write("token", "eyJh.eyJp.cut");
    let path = home.0.join("token");
    let env = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/A"),
        ("AWS_REGION", "us-east-1"),
    ];
    let mut refused = assumed("eyJh.eyJp.cut");
    refused["status"] = json!(400);
    refused["answer"] =
        json!("<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>");
    let aws = Aws::start(vec![refused, assumed("eyJh.eyJp.whole")], NOW);
    let found = found_while_written(&home, &aws, &env, ("token", "eyJh.eyJp.whole"));
    assert_eq!((found.as_deref(), aws.unexpected()), (Ok("ASIAWEB"), vec![]));

    home.write("token", "first");
    let uri = format!("{}/c", aws.url);
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.to_str().unwrap()),
    ];
    aws.expect(vec![in_container("first", 401), in_container("second", 200)]);
    let found = found_while_written(&home, &aws, &env, ("token", "second"));
    assert_eq!((found.as_deref(), aws.unexpected()), (Ok("ASIACTR"), vec![]));
}

#[test]
fn a_container_token_that_is_empty_is_read_again_and_never_sent() {
    let home = Home::new("container-token");
    home.write("token", "");
    let path = home.0.join("token");
    let aws = Aws::start(vec![in_container("late", 200)], NOW);
    let uri = format!("{}/c", aws.url);
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.to_str().unwrap()),
    ];
    let found = found_while_written(&home, &aws, &env, ("token", "late"));
    assert_eq!((found.as_deref(), aws.unexpected()), (Ok("ASIACTR"), vec![]));

    home.write("token", "");
    let error = found_while_written(&home, &aws, &env, ("token", "")).unwrap_err();
    assert!(error.contains(&format!("token file {}: empty", path.display())), "{error}");
    assert_eq!(aws.unexpected(), [""; 0]);
}

#[test]
fn a_login_that_is_half_written_is_read_again() {
    let home = Home::new("sso-half");
    home.write(".aws/config", SSO);
    let (path, whole) = sso_file("access", "refresh", "2030-01-01T02:00:00Z");
    for half in ["", &whole[..90]] {
        home.write(&path, half);
        let aws = Aws::start(vec![role_for("access")], NOW);
        let found = found_while_written(&home, &aws, &[], (&path, &whole));
        assert_eq!(found.as_deref(), Ok("ASIASSO"), "{half}");
    }
    home.write(&path, "{");
    let aws = Aws::start(vec![], NOW);
    let error = found_while_written(&home, &aws, &[], (&path, "{")).unwrap_err();
    assert!(error.contains("or \"aws sso login --sso-session corp\""), "{error}");
}

/// The refusal comes before and after the other process writes.
#[test]
fn a_refused_refresh_of_sso_finds_what_another_process_has_renewed() {
    let home = Home::new("sso-renewed");
    home.write(".aws/config", SSO);
    for (refusal_ms, status, refresh_token) in [(0, 400, "r2"), (250, 400, "r1"), (250, 401, "")] {
        let (path, old) = sso_file("old", "r1", "2029-12-31T23:00:00Z");
        let (_, renewed) = sso_file("renewed", refresh_token, "2030-01-01T02:00:00Z");
        home.write(&path, old);
        let refusal = json!({ "ask": "POST /token", "wait_ms": refusal_ms, "status": status, "answer": { "error": "invalid_grant" } });
        let aws = Aws::start(vec![refusal, role_for("renewed")], NOW);
        let found = found_while_written(&home, &aws, &[], (&path, &renewed));
        assert_eq!((found.as_deref(), aws.unexpected()), (Ok("ASIASSO"), vec![]), "{refusal_ms}");
    }
}

#[test]
fn a_refused_refresh_of_aws_login_finds_what_another_process_has_renewed() {
    let (home, path) = home_of_login("login-renewed");
    for (refusal_ms, error, status) in
        [(0, "TOKEN_EXPIRED", 401), (250, "USER_CREDENTIALS_CHANGED", 400), (250, "other", 403)]
    {
        home.write(&path, login_file("ASIAOLD", "2029-12-31T23:00:00Z", "r1"));
        let refusal = json!({ "ask": "POST /v1/token", "wait_ms": refusal_ms, "status": status, "answer": { "error": error } });
        let aws = Aws::start(vec![refusal], NOW);
        let renewed = login_file("ASIARENEWED", "2030-01-01T00:15:00Z", "r2");
        let found = found_while_written(&home, &aws, &[], (&path, &renewed));
        assert_eq!((found.as_deref(), aws.unexpected()), (Ok("ASIARENEWED"), vec![]), "{error}");
    }
}

/// The role on top of the session is assumed more often than the session is asked.
#[test]
fn a_new_login_counts_after_the_role_alone_was_refreshed() {
    let assumed = |id: &str, expires: &str| {
        let credentials = format!(
            "<a><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{expires}</Expiration></Credentials></a>"
        );
        json!({ "ask": "POST /", "form": { "Action": "AssumeRole" }, "answer": credentials })
    };
    let home = Home::new("sso-role");
    let role = "[profile top]\nrole_arn = arn:aws:iam::123456789012:role/A\nsource_profile = default\nregion = us-east-1\n";
    home.write(".aws/config", format!("{SSO}{role}"));
    let (path, login) = sso_file("ann", "r", "2030-01-01T08:00:00Z");
    home.write(&path, login);
    let (soon, late) = ("2030-01-01T00:01:00Z", "2030-01-01T01:00:00Z");
    let aws =
        Aws::start(vec![role_for("ann"), assumed("ASIAONE", soon), assumed("ASIATWO", late)], NOW);
    let environment = home.environment([("AWS_ENDPOINT_URL", aws.url.as_str())]);
    let settings = Settings { profile: Some("top".to_owned()), ..Settings::default() };
    let cache = CredentialCache::new(environment, settings, NOW);
    let found_at = |now| cache.get(now).unwrap().key.access_key_id.clone();
    assert_eq!(found_at(NOW), "ASIAONE");
    let later = NOW + Duration::from_secs(70);
    assert_eq!((found_at(later).as_str(), aws.left()), ("ASIATWO", vec![]));

    let (_, login) = sso_file("robert", "r", "2030-01-01T08:00:00Z");
    home.write(&path, login);
    aws.expect(vec![role_for("robert"), assumed("ASIATHREE", late)]);
    assert_eq!((found_at(later).as_str(), aws.unexpected()), ("ASIATHREE", vec![]));
}

/// Where a response has nothing, the file keeps what it has, so that the session can be refreshed again.
#[test]
fn an_empty_value_in_a_response_replaces_nothing() {
    let home = Home::new("sso-empty");
    home.write(".aws/config", SSO);
    for refresh_token in [json!(""), json!(null), json!(7)] {
        let (path, old) = sso_file("old", "r1", "2029-12-31T23:00:00Z");
        home.write(&path, old);
        let answer =
            json!({ "accessToken": "new", "expiresIn": 3600, "refreshToken": refresh_token });
        let refresh = json!({ "ask": "POST /token", "answer": answer });
        let aws = Aws::start(vec![refresh, role_for("new")], NOW);
        assert_eq!(found(&home, &aws).as_deref(), Ok("ASIASSO"), "{refresh_token}");
        assert_eq!(member(&home, &path, "refreshToken"), "r1", "{refresh_token}");
    }

    let (home, path) = home_of_login("login-empty");
    for (id, refresh_token, used, kept) in
        [("ASIANEW", "", "ASIANEW", "r1"), ("", "r2", "ASIAOLD", "r1")]
    {
        home.write(&path, login_file("ASIAOLD", "2030-01-01T00:02:00Z", "r1"));
        let keys = json!({ "accessKeyId": id, "secretAccessKey": "s", "sessionToken": "t" });
        let answer =
            json!({ "accessToken": keys, "expiresIn": 900, "refreshToken": refresh_token });
        let aws = Aws::start(vec![json!({ "ask": "POST /v1/token", "answer": answer })], NOW);
        assert_eq!(found(&home, &aws).as_deref(), Ok(used), "{id:?}");
        assert_eq!(member(&home, &path, "refreshToken"), kept, "{id:?}");
    }
}

fn found(home: &Home, aws: &Aws) -> Result<String, String> {
    let environment = home.environment([("AWS_ENDPOINT_URL", aws.url.as_str())]);
    let cache = CredentialCache::new(environment, Settings::default(), NOW);
    found_in(&cache)
}

fn found_in(cache: &CredentialCache) -> Result<String, String> {
    let found = cache.get(NOW).map_err(|error| error.to_string())?;
    Ok(parts(&found)[0].unwrap_or_default().to_owned())
}

/// A string in a JSON file.
fn member(home: &Home, path: &str, name: &str) -> String {
    let file: Value = serde_json::from_slice(&std::fs::read(home.0.join(path)).unwrap()).unwrap();
    file[name].as_str().unwrap_or_default().to_owned()
}

/// A home with a profile of `aws login`, and the path of the session's file.
fn home_of_login(name: &str) -> (Home, String) {
    let home = Home::new(name);
    home.write(
        ".aws/config",
        format!("[default]\nregion = us-east-1\nlogin_session = {SESSION}\n"),
    );
    (home, format!(".aws/login/cache/{}.json", hex::encode(Sha256::digest(SESSION))))
}

/// The file of `aws login`.
fn login_file(id: &str, expires: &str, refresh_token: &str) -> String {
    let keys = json!({ "accessKeyId": id, "secretAccessKey": "s", "sessionToken": "t", "accountId": "123456789012", "expiresAt": expires });
    json!({ "accessToken": keys, "refreshToken": refresh_token, "clientId": "c", "dpopKey": KEY })
        .to_string()
}
