//! Signing in to IAM Identity Center by device code and by browser.

use std::fs;
#[cfg(unix)]
use std::path::Path;

use serde_json::{Value, json};

use crate::sign_in::{Rig, mode, role_credentials};
#[cfg(unix)]
use crate::sign_in::{browse, parameter};

const CONFIG: &str = "\
[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[profile other]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://example.awsapps.com/start
[profile bare]
sso_session = corp
[profile old]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Dev
";

const REGISTRATION: &str = ".aws/sso/cache/00656795017b1454f6c2182eb3881d7bfb3a5613.json";

/// The file of the token of a session, or of a start URL in the older form.
fn token_path(name: &str) -> String {
    let hash = hex::encode(<sha1::Sha1 as sha1::Digest>::digest(name));
    format!(".aws/sso/cache/{hash}.json")
}

fn register(body: &Value) -> Value {
    json!({
        "ask": "POST /client/register",
        "headers": { "content-type": "application/json" },
        "headers_without": ["authorization", "x-amz-date"],
        "body": body,
        "answer": {
            "clientId": "client", "clientSecret": "canary-client-secret",
            "clientIdIssuedAt": 1_700_000_000, "clientSecretExpiresAt": 4_102_444_800_u64,
        },
    })
}

fn register_corp() -> Value {
    register(&json!({
        "clientName": "sigv4-proxy-corp", "clientType": "public", "scopes": ["sso:account:access"],
    }))
}

fn authorize() -> Value {
    json!({
        "ask": "POST /device_authorization",
        "headers": { "content-type": "application/json" },
        "headers_without": ["authorization", "x-amz-date"],
        "body": {
            "clientId": "client", "clientSecret": "canary-client-secret",
            "startUrl": "https://example.awsapps.com/start",
        },
        "answer": {
            "deviceCode": "canary-device-code", "userCode": "ABCD-EFGH",
            "verificationUri": "https://example.awsapps.com/start/#/device",
            "verificationUriComplete": "https://example.awsapps.com/start/#/device?user_code=ABCD-EFGH",
            "expiresIn": 600, "interval": 1,
        },
    })
}

fn poll(status: u16, answer: &Value) -> Value {
    json!({
        "ask": "POST /token",
        "headers": { "content-type": "application/json" },
        "headers_without": ["authorization", "x-amz-date"],
        "body": {
            "clientId": "client", "clientSecret": "canary-client-secret",
            "grantType": "urn:ietf:params:oauth:grant-type:device_code",
            "deviceCode": "canary-device-code",
        },
        "status": status,
        "answer": answer,
    })
}

fn refused(error: &str) -> Value {
    poll(400, &json!({ "error": error, "error_description": "because" }))
}

fn granted() -> Value {
    poll(
        200,
        &json!({
            "accessToken": "canary-access-token", "expiresIn": 28800,
            "refreshToken": "canary-refresh-token", "tokenType": "Bearer",
        }),
    )
}

#[test]
fn a_device_code_signs_in_once_it_is_approved() {
    let entries = vec![
        register_corp(),
        authorize(),
        refused("authorization_pending"),
        granted(),
        role_credentials(200),
    ];
    let rig = Rig::new("device-code", CONFIG, entries);
    let (code, text) = rig.run(&["login", "--profile", "dev"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0], "Sign in to AWS for profile \"dev\" (session corp). In a browser, go to:",
        "{text}"
    );
    assert_eq!(lines[1], "https://example.awsapps.com/start/#/device?user_code=ABCD-EFGH");
    assert_eq!(lines[2], "Check that the page shows the code ABCD-EFGH");
    assert!(
        lines[3].starts_with("Waiting until ")
            && lines[3].ends_with(" UTC; press Ctrl-C to cancel")
    );
    assert!(lines[4].starts_with("signed in until "), "{text}");
    let whose = " UTC: key ASIA****MPLE from SSO role Dev (profile dev), account 111122223333";
    assert!(lines[4].ends_with(whose) && lines.len() == 5, "{text}");
    assert_eq!((code, rig.aws.unexpected(), rig.aws.left()), (Some(0), vec![], vec![]));

    let mut token = rig.json(&token_path("corp"));
    let expires = token["expiresAt"].take();
    assert!(expires.as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z')));
    let expected = json!({
        "startUrl": "https://example.awsapps.com/start", "region": "eu-west-1",
        "accessToken": "canary-access-token", "expiresAt": null, "clientId": "client",
        "clientSecret": "canary-client-secret", "registrationExpiresAt": "2100-01-01T00:00:00Z",
        "refreshToken": "canary-refresh-token",
    });
    assert_eq!(token, expected);
    let expected = json!({
        "clientId": "client", "clientSecret": "canary-client-secret",
        "expiresAt": "2100-01-01T00:00:00Z", "scopes": ["sso:account:access"],
    });
    assert_eq!(rig.json(REGISTRATION), expected);
    for path in [&token_path("corp"), REGISTRATION] {
        assert_eq!(mode(&rig, path), "600", "{path}");
    }
    assert_eq!(mode(&rig, ".aws/sso/cache"), "700");
    let left = fs::read_dir(rig.home.0.join(".aws/sso/cache")).unwrap().count();
    assert_eq!(left, 2, "no draft is left");
}

#[test]
fn a_sign_in_that_was_granted_before_troubles_no_one_and_counts_for_every_profile_of_the_session() {
    let entries = vec![register_corp(), authorize(), granted(), role_credentials(200)];
    let rig = Rig::new("granted", CONFIG, entries);
    let (code, text) = rig.run(&["login", "--profile", "dev", "other"]);
    assert_eq!((code, text.lines().count(), rig.aws.unexpected()), (Some(0), 2, vec![]), "{text}");
    assert!(text.contains("(profile dev)") && text.contains("(profile other)"), "{text}");
    // Again: the registration is used again, and a good token does not matter.
    rig.aws.expect(vec![authorize(), granted(), role_credentials(200)]);
    assert_eq!(rig.run(&["login", "--profile=dev"]).0, Some(0));
    assert_eq!((rig.aws.unexpected(), rig.aws.left()), (vec![], vec![]));
    // Only if needed: nothing is.
    rig.aws.expect(vec![role_credentials(200)]);
    let (code, text) = rig.run(&["login", "--if-needed", "--profile=dev"]);
    assert!(
        code == Some(0) && text.starts_with("profile \"dev\" needs no sign-in: key ASIA****MPLE"),
        "{text}"
    );
    fs::remove_file(rig.home.0.join(token_path("corp"))).unwrap();
    rig.aws.expect(vec![authorize(), granted(), role_credentials(200)]);
    let (code, text) = rig.run(&["login", "--if-needed", "--profile=dev"]);
    assert!(code == Some(0) && text.starts_with("signed in until "), "{text}");
    assert_eq!(rig.aws.unexpected(), [""; 0]);
}

/// A registration that seems to have ended could not refresh its token, and would be made again by each sign-in.
#[test]
fn the_end_of_a_registration_may_be_text_or_have_a_fraction() {
    for (name, ends) in [("text", json!("4102444800")), ("fraction", json!(4_102_444_800.5))] {
        let mut register = register_corp();
        register["answer"]["clientSecretExpiresAt"] = ends;
        let entries = vec![register, authorize(), granted(), role_credentials(200)];
        let rig = Rig::new(&format!("registration-{name}"), CONFIG, entries);
        assert_eq!(rig.run(&["login", "--profile=dev"]).0, Some(0), "{name}");
        let token = rig.json(&token_path("corp"));
        assert_eq!(token["registrationExpiresAt"], "2100-01-01T00:00:00Z", "{name}");
        assert_eq!(rig.json(REGISTRATION)["expiresAt"], "2100-01-01T00:00:00Z", "{name}");
    }
}

#[test]
fn the_older_form_and_a_session_without_a_profile() {
    let register_old = register(&json!({ "clientName": "sigv4-proxy", "clientType": "public" }));
    let rig = Rig::new(
        "older",
        CONFIG,
        vec![register_old, authorize(), granted(), role_credentials(200)],
    );
    let (code, text) = rig.run(&["login", "--profile", "old"]);
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    assert!(rig.has(&token_path("https://example.awsapps.com/start")));

    rig.aws.expect(vec![register_corp(), authorize(), granted()]);
    let (code, text) = rig.run(&["login", "--sso-session", "corp"]);
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    assert!(
        text.starts_with("signed in until ") && text.ends_with(" UTC: session corp\n"),
        "{text}"
    );
    assert!(rig.has(&token_path("corp")));
    fs::remove_file(rig.home.0.join(token_path("corp"))).unwrap();
    rig.aws.expect(vec![authorize(), granted()]);
    let (code, text) = rig.run(&["login", "--profile", "bare"]);
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    assert!(text.ends_with(" UTC: session corp\n") && rig.has(&token_path("corp")), "{text}");
    let (code, text) = rig.run(&["login", "--sso-session", "corpp"]);
    assert_eq!(code, Some(1));
    let expected =
        "ERROR: sso-session \"corpp\" could not be found in ~/.aws/config (did you mean corp?)\n";
    assert_eq!(text, expected);
}

#[test]
fn a_registration_that_the_service_has_forgotten_is_replaced_once() {
    let kept = json!({ "clientId": "gone", "clientSecret": "canary-client-secret", "expiresAt": "2100-01-01T00:00:00Z" });
    for error in ["invalid_client", "unauthorized_client"] {
        let refusal = json!({
            "ask": "POST /device_authorization", "json": { "clientId": "gone" },
            "status": 401, "answer": { "error": error },
        });
        let entries = vec![refusal, register_corp(), authorize(), granted(), role_credentials(200)];
        let rig = Rig::new(&format!("forgotten-{error}"), CONFIG, entries);
        rig.home.write(REGISTRATION, kept.to_string());
        assert_eq!(rig.run(&["login", "--profile=dev"]).0, Some(0));
        assert_eq!((rig.aws.unexpected(), rig.aws.left()), (vec![], vec![]));
        assert_eq!(rig.json(REGISTRATION)["clientId"], "client");
    }
    // A new one that is refused is the end.
    let refusal = json!({ "ask": "POST /device_authorization", "status": 401, "answer": { "error": "invalid_client" } });
    let rig = Rig::new("forgotten-new", CONFIG, vec![register_corp(), refusal]);
    let (code, text) = rig.run(&["login", "--profile=dev"]);
    assert!(code == Some(1) && text.contains("starting the sign-in: "), "{text}");
    assert_eq!(rig.aws.unexpected(), [""; 0]);
}

#[test]
fn how_a_sign_in_ends_without_a_token() {
    let whose = "ERROR: profile \"dev\" (session corp): ";
    let link = |link: &str, code: &str| {
        let mut entry = authorize();
        entry["answer"]["verificationUriComplete"] = json!(link);
        entry["answer"]["userCode"] = json!(code);
        entry
    };
    let good = "https://example.awsapps.com/start/#/device?user_code=A";
    let mut slow = register_corp();
    slow["status"] = json!(400);
    slow["answer"] = json!({ "error": "slow_down" });
    let long = "x".repeat(3000);
    for (test, entries, expected) in [
        (
            "expired",
            vec![authorize(), refused("expired_token")],
            "the sign-in was not completed before its code expired",
        ),
        ("denied", vec![authorize(), refused("access_denied")], "access was denied in the browser"),
        (
            "other",
            vec![authorize(), refused("invalid_grant")],
            "127.0.0.1: status 400: invalid_grant: because",
        ),
        (
            "host",
            vec![link("https://evil.example/d", "A")],
            "the sign-in service returned a URL outside AWS: evil.example",
        ),
        (
            "http",
            vec![link("http://example.awsapps.com/d", "A")],
            "the sign-in service returned a URL outside AWS: example.awsapps.com",
        ),
        (
            "code",
            vec![link(good, "A\u{1b}[2J")],
            "the sign-in service returned a user code with characters other than letters, digits and -",
        ),
        (
            "long",
            vec![poll(400, &json!({ "error": "x", "error_description": long })), authorize()],
            "status 400: x: xxx",
        ),
    ] {
        let mut all = vec![register_corp()];
        all.extend(entries);
        let rig = Rig::new(&format!("end-{test}"), CONFIG, all);
        let (code, text) = rig.run(&["login", "--profile", "dev"]);
        assert_eq!((code, rig.aws.unexpected()), (Some(1), vec![]), "{test}: {text}");
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(whose) && last.contains(expected), "{test}: {text}");
        assert!(last.len() < 800 && text.matches("ERROR").count() == 1, "{test}: {text}");
        assert!(!text.contains("evil.example/d") && !rig.has(&token_path("corp")), "{test}");
    }
    let rig = Rig::new("end-slow", CONFIG, vec![slow]);
    let (code, text) = rig.run(&["login", "--profile", "dev"]);
    assert!(code == Some(1) && text.contains("status 400: slow_down"), "{text}");
}

#[test]
fn a_token_that_another_program_writes_meanwhile_ends_the_wait() {
    let mut pending = refused("authorization_pending");
    pending["times"] = json!("any");
    let rig = Rig::new(
        "elsewhere",
        CONFIG,
        vec![register_corp(), authorize(), pending, role_credentials(200)],
    );
    let mut running = rig.start(&["login", "--profile", "dev"]);
    running.line("Waiting until ");
    let token =
        json!({ "accessToken": "canary-access-token", "expiresAt": "2100-01-01T00:00:00Z" });
    rig.home.write(&token_path("corp"), token.to_string());
    let (code, text) = running.end();
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    assert!(text.contains("signed in until 2100-01-01 00:00 UTC: key ASIA"), "{text}");
}

#[test]
fn signed_in_as_someone_without_the_role() {
    for status in [403, 404] {
        let entries = vec![register_corp(), authorize(), granted(), role_credentials(status)];
        let rig = Rig::new(&format!("role-{status}"), CONFIG, entries);
        let (code, text) = rig.run(&["login", "--profile", "dev"]);
        let expected = format!(
            "ERROR: profile \"dev\": signed in, but role Dev in account 111122223333: No access ({status}) \
             (sign out with \"sigv4-proxy logout --profile dev\" to sign in as another user)\n"
        );
        assert_eq!((code, text), (Some(1), expected));
        assert!(rig.has(&token_path("corp")), "the token stays");
    }
}

#[test]
fn a_token_that_cannot_be_kept_is_an_error() {
    let rig = Rig::new(
        "unwritable",
        CONFIG,
        vec![register_corp(), authorize(), granted(), role_credentials(200)],
    );
    rig.home.write(".aws/sso", "a file where a folder should be");
    let (code, text) = rig.run(&["login", "--profile", "dev"]);
    assert_eq!((code, rig.aws.unexpected()), (Some(1), vec![]), "{text}");
    assert!(
        text.contains("so other programs cannot use it: ")
            && ["Not a directory", "File already exists"].iter().any(|why| text.contains(why)),
        "{text}"
    );
}

#[test]
fn an_organisation_s_own_address_leads_to_its_portal() {
    let portal = "https://d-1.awsapps.com/start";
    let of_region = |region: &str| format!("https://ssoins-1.portal.{region}.app.aws/start");
    let head = |status: u16, location: &str| {
        json!({
            "ask": "HEAD /start", "headers_without": ["authorization", "cookie"], "status": status,
            "answer_headers": { "location": location },
        })
    };
    let moved = |location: &str| vec![head(302, location)];
    let get =
        json!({ "ask": "GET /start", "status": 301, "answer_headers": { "location": portal } });
    let plain = json!({ "ask": "HEAD /start", "status": 200 });
    for (test, entries, expected) in [
        ("moved", moved(portal), Ok(portal.to_owned())),
        (
            "get",
            vec![json!({ "ask": "HEAD /start", "status": 405 }), get.clone()],
            Ok(portal.to_owned()),
        ),
        (
            "get-501",
            vec![json!({ "ask": "HEAD /start", "status": 501 }), get],
            Ok(portal.to_owned()),
        ),
        ("region", moved(&of_region("eu-west-1")), Ok(of_region("eu-west-1"))),
        ("plain", vec![plain], Ok(String::new())),
        (
            "elsewhere",
            moved("https://evil.example/start"),
            Err("is outside AWS: https://evil.example/start"),
        ),
        (
            "http",
            moved("http://d-1.awsapps.com/start"),
            Err("is outside AWS: http://d-1.awsapps.com/start"),
        ),
        ("user", moved("https://d-1.awsapps.com@evil.example/"), Err("is outside AWS: ")),
        ("relative", moved("/start/"), Err("is outside AWS: /start/")),
        (
            "other-region",
            moved(&of_region("us-east-1")),
            Err(
                "the portal is in us-east-1, but sso_region is eu-west-1; write sso_region = us-east-1",
            ),
        ),
    ] {
        let rig = Rig::new(&format!("own-{test}"), "", entries.clone());
        let own = format!("{}/start", rig.aws.url);
        rig.home.write(".aws/config", CONFIG.replace("https://example.awsapps.com/start", &own));
        let mut authorize = authorize();
        let sent = expected.clone().map(|url| if url.is_empty() { own.clone() } else { url });
        authorize["body"]["startUrl"] = json!(sent.clone().unwrap_or_default());
        let granted = [register_corp(), authorize, granted(), role_credentials(200)];
        rig.aws.expect(entries.into_iter().chain(granted).collect());
        let (code, text) = rig.run(&["login", "--profile=dev"]);
        assert_eq!(rig.aws.unexpected(), [""; 0], "{test}: {text}");
        match expected {
            Ok(_) => {
                assert_eq!(code, Some(0), "{test}: {text}");
                assert_eq!(rig.json(&token_path("corp"))["startUrl"], json!(own), "{test}");
            }
            Err(expected) => {
                let named = format!("sso_start_url {own}: {expected}");
                assert!(code == Some(1) && text.contains(&named), "{test}: {text}");
            }
        }
    }
}

#[test]
fn profiles_that_need_no_sign_in() {
    let config = "[profile keys]\naws_access_key_id = A\naws_secret_access_key = B\n\
                  [profile process]\ncredential_process = x\n";
    let rig = Rig::new("no-need", config, vec![]);
    rig.home
        .write(".aws/credentials", "[work]\naws_access_key_id = A\naws_secret_access_key = B\n");
    for (profile, source) in [
        ("keys", "keys in ~/.aws/config"),
        ("work", "keys in ~/.aws/credentials"),
        ("process", "credential_process"),
    ] {
        let expected = format!("profile {profile:?} needs no sign-in ({source})\n");
        assert_eq!(rig.run(&["login", "--profile", profile]), (Some(0), expected.clone()));
        assert_eq!(rig.run(&["login", "--if-needed", "--profile", profile]), (Some(0), expected));
    }
    let (code, text) = rig.run(&["login", "--profile", "work", "--remote"]);
    assert!(
        code == Some(1) && text.contains("uses keys in ~/.aws/credentials, which --remote"),
        "{text}"
    );
    let (code, text) = rig.run(&["login", "--profile", "wrok"]);
    assert!(code == Some(1) && text.contains("(did you mean work?)"), "{text}");
    let rig = rig.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
    let expected = "profile \"default\" needs no sign-in (keys in the environment)\n".to_owned();
    assert_eq!(rig.run(&["login"]), (Some(0), expected));
}

#[test]
fn the_command_line_of_the_proxy_signs_in_and_others_are_usage_errors() {
    let entries = vec![register_corp(), authorize(), granted(), role_credentials(200)];
    let rig = Rig::new("line", CONFIG, entries);
    let url = "https://abc.execute-api.us-east-1.amazonaws.com/mcp";
    let (code, text) =
        rig.run(&["login", url, "--profile", "dev", "--retries", "2", "--header", "A: b"]);
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    for (line, expected) in [
        (&["login", "--frob"][..], "unknown flag --frob"),
        (&["login", "--json"], "--json is only for doctor"),
        (&["logout", "--remote"], "--remote is only for login"),
        (&["--if-needed", url], "--if-needed is only for login"),
        (&["--sso-session=x", url], "--sso-session is only for login and logout"),
    ] {
        let (code, text) = rig.run(line);

        assert!(code == Some(2) && text.contains(expected), "{line:?}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_at_once() {
    let mut pending = refused("authorization_pending");
    pending["times"] = json!("any");
    let rig = Rig::new("ctrl-c", CONFIG, vec![register_corp(), authorize(), pending]);
    let mut running = rig.start(&["login", "--profile", "dev"]);
    running.line("Waiting until ");
    #[expect(clippy::disallowed_methods, reason = "kill(1) reads no stdin")]
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &running.child.id().to_string()]).status().unwrap().success());
    let (code, text) = running.end();
    assert_eq!(code, Some(130), "{text}");
    assert!(!text.contains("ERROR"), "{text}");
}

/// Not in containers, where `login` expects the browser to be on another machine.
#[cfg(unix)]
#[test]
fn a_browser_on_this_machine_signs_in_by_redirect() {
    if ["/.dockerenv", "/run/.containerenv"].into_iter().any(|file| Path::new(file).exists()) {
        return;
    }
    let registration = register(&json!({
        "clientName": "sigv4-proxy-corp", "clientType": "public", "scopes": ["sso:account:access"],
        "grantTypes": ["authorization_code", "refresh_token"],
        "redirectUris": ["http://127.0.0.1/oauth/callback"],
        "issuerUrl": "https://example.awsapps.com/start",
    }));
    let token = json!({
        "ask": "POST /token",
        "headers_without": ["authorization", "x-amz-date"],
        "json": {
            "clientId": "client", "clientSecret": "canary-client-secret",
            "grantType": "authorization_code", "code": "canary-authorization-code",
        },
        "status": 200,
        "answer": { "accessToken": "canary-access-token", "expiresIn": 28800 },
    });
    let rig = Rig::new("browser", CONFIG, vec![registration, token, role_credentials(200)]);
    // The browser is in the background: Ctrl-C in the terminal, which reaches the foreground, does not close it.
    rig.home.write(
        "browser",
        "printf '%s %s' \"$1\" \"$(($(ps -o pgid= -p $$) == $$))\" >\"$HOME/opened\"\n\
         mv \"$HOME/opened\" \"$HOME/seen\"\n",
    );
    let browser = format!("sh {}", rig.home.0.join("browser").display());
    let rig = rig.env("DISPLAY", ":0").env("BROWSER", &browser);
    let mut running = rig.start(&["login", "--profile", "dev"]);
    running.line("Sign in to AWS for profile \"dev\" (session corp). Opening your browser;");
    let link = running.line("http://127.0.0.1");
    assert_eq!(parameter(&link, "scopes"), "sso:account:access");
    assert_eq!(parameter(&link, "code_challenge_method"), "S256");
    running.line("Waiting until ");
    let (callback, state) = (parameter(&link, "redirect_uri"), parameter(&link, "state"));
    let query = format!("code=canary-authorization-code&state={state}");
    assert!(browse(&format!("{callback}?{query}")).starts_with("HTTP/1.1 200"));
    let (code, text) = running.end();
    assert_eq!((code, rig.aws.unexpected()), (Some(0), vec![]), "{text}");
    assert!(text.contains("from SSO role Dev (profile dev)"), "{text}");
    let [body] = &rig.aws.bodies("POST /token")[..] else { panic!("one request") };
    assert_eq!(body["redirectUri"], json!(callback));
    assert_eq!(rig.json(&token_path("corp"))["accessToken"], json!("canary-access-token"));
    let seen = rig.home.0.join("seen");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !seen.exists() && std::time::Instant::now() < deadline {
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    assert_eq!(fs::read_to_string(seen).unwrap(), format!("{link} 1"));
}
