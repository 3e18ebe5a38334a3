//! Signing out.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::sign_in::Rig;

const ARN: &str = "arn:aws:iam::111122223333:user/ann";

fn config() -> String {
    format!(
        "[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n\
         [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://example.awsapps.com/start\n\
         [profile bare]\nsso_session = corp\n\
         [profile console]\nlogin_session = {ARN}\n\
         [profile mfa]\nrole_arn = arn:aws:iam::111122223333:role/Dev\nmfa_serial = arn:aws:iam::444455556666:mfa/ann\n\
         source_profile = keys\n\
         [profile keys]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = S\n\
         mfa_serial = arn:aws:iam::444455556666:mfa/ann\n"
    )
}

fn sso(name: &str) -> String {
    let hash = hex::encode(<sha1::Sha1 as sha1::Digest>::digest(name));
    format!(".aws/sso/cache/{hash}.json")
}

const OF_SSO: &str = ".aws/cli/cache/20985b56d713cfd135648cadc68a6115ca80d9a5.json";
const OF_MFA: &str = ".aws/cli/cache/b58ec78b788a89bfc117b1d7c3588eab24be468f.json";
const OF_KEYS: &str = ".aws/cli/cache/b8d16ffe7c4f16d7f0b9ffcd625d613a827c0e48.json";

fn all(rig: &Rig) -> Vec<String> {
    let console = format!(".aws/login/cache/{}.json", hex::encode(Sha256::digest(ARN)));
    let paths =
        vec![sso("corp"), OF_SSO.into(), console, OF_MFA.into(), OF_KEYS.into(), sso("other")];
    for path in &paths {
        let token =
            json!({ "accessToken": "canary-access-token", "expiresAt": "2100-01-01T00:00:00Z" });
        rig.home.write(path, token.to_string());
    }
    paths
}

#[test]
fn files_of_a_profile_are_deleted_and_no_others() {
    let logout = json!({
        "ask": "POST /logout", "headers": { "x-amz-sso_bearer_token": "canary-access-token" },
        "headers_without": ["authorization"],
    });
    let rig = Rig::new("logout", &config(), vec![logout]);
    for (profile, deleted) in [("dev", 0..2), ("console", 2..3), ("mfa", 3..4), ("keys", 4..5)] {
        let paths = all(&rig);
        let (code, text) = rig.run(&["logout", "--profile", profile]);
        assert!(
            code == Some(0) && text.ends_with(&format!("signed out: profile {profile:?}\n")),
            "{text}"
        );
        for (at, path) in paths.iter().enumerate() {
            assert_eq!(rig.has(path), !deleted.contains(&at), "{profile}: {path}");
        }
        if profile == "dev" {
            assert!(text.contains(
                "your browser may still be signed in: https://example.awsapps.com/start\n"
            ));
        }
        let (code, text) = rig.run(&["logout", "--profile", profile]);
        assert_eq!((code, text), (Some(0), format!("profile {profile:?} is not signed in\n")));
    }
    assert_eq!((rig.aws.unexpected(), rig.aws.left()), (vec![], vec![]));
}

#[test]
fn a_portal_that_refuses_does_not_keep_the_token_here() {
    let refused = json!({ "ask": "POST /logout", "status": 401, "answer": { "message": "gone" } });
    let rig = Rig::new("logout-refused", &config(), vec![refused]);
    all(&rig);
    let (code, text) = rig.run(&["logout", "--profile", "bare"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("the portal did not end the session")
            && text.ends_with("signed out: session corp\n"),
        "{text}"
    );
    assert!(!rig.has(&sso("corp")) && rig.has(OF_SSO));
    let (code, text) = rig.run(&["logout", "--sso-session", "corp"]);
    assert_eq!((code, text.as_str()), (Some(0), "not signed in: session corp\n"));
}

#[test]
fn profiles_without_a_sign_in() {
    let rig = Rig::new("logout-none", "[profile p]\ncredential_process = x\n", vec![]);
    let expected = "profile \"p\" needs no sign-in (credential_process)\n".to_owned();
    assert_eq!(rig.run(&["logout", "--profile", "p"]), (Some(0), expected));
    let (code, text) = rig.run(&["logout", "--profile", "q"]);
    assert!(code == Some(1) && text.contains("could not be found"), "{text}");
}
