//! Wrong clocks, local or remote: detection of the difference, and its effects.

use std::time::Duration;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sigv4_proxy::clock;
use sigv4_proxy::credentials::Role;
use sigv4_proxy::credentials::{CredentialCache, Settings};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;

use crate::credentials::chain::{Home, NOW, parts};
use crate::harness::messages::{assert_error, call, json_reply, text_of};
use crate::harness::program::{KEY_ID, Launch, Program, SECRET};
use crate::support::aws::Aws;
use crate::support::{Recorded, Reply, Server, ServerOptions, Verdict};

fn http_date(time: OffsetDateTime) -> String {
    time.format(&Rfc2822).unwrap().replace("+0000", "GMT")
}

fn basic(time: OffsetDateTime) -> String {
    time.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap()
}

fn rfc3339(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
}

/// The ways in which an AWS service, whose clock is at `there`, rejects the local clock.
fn blames(there: OffsetDateTime) -> [Value; 4] {
    let date = http_date(there);
    let words = format!("Signature expired: x is now earlier than y ({} - 5 min.)", basic(there));
    let xml = |code: &str, text: &str| {
        format!("<R><Error><Code>{code}</Code><Message>{text}</Message></Error></R>")
    };
    [
        json!({"status": 403, "answer": xml("SignatureDoesNotMatch", &words)}),
        json!({"status": 400, "answer": xml("RequestExpired", "Request has expired."), "answer_headers": {"Date": date}}),
        json!({"status": 403, "answer": {"message": "skewed"},
               "answer_headers": {"Date": date, "x-amzn-ErrorType": "RequestTimeTooSkewed"}}),
        json!({"status": 401, "answer": {"__type": "com.amazon#RequestInTheFuture"}, "answer_headers": {"Date": date}}),
    ]
}

/// A request with its response: `ask` merged with `answer`.
fn entry(ask: Value, answer: Value) -> Value {
    let (Value::Object(mut ask), Value::Object(answer)) = (ask, answer) else { panic!("objects") };
    ask.extend(answer);
    Value::Object(ask)
}

fn assumed(expires: OffsetDateTime) -> Value {
    let xml = format!(
        "<R xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>\
         <SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>\
         <Expiration>{}</Expiration></Credentials></R>",
        rfc3339(expires)
    );
    json!({"ask": "POST /", "times": "any", "answer": xml})
}

fn cache(home: &Home, aws: &Aws, profile: Option<&str>, role: Option<Role>) -> CredentialCache {
    let keys = [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let keys = keys.into_iter().filter(|_| profile.is_none());
    let variables = [("AWS_ENDPOINT_URL", aws.url.as_str()), ("AWS_REGION", "us-east-1")];
    let settings = Settings { profile: profile.map(str::to_owned), role, ..Settings::default() };
    CredentialCache::new(home.environment(variables.into_iter().chain(keys)), settings, NOW)
}

fn role() -> Role {
    let arn = "arn:aws:iam::123456789012:role/agent".to_owned();
    Role { arn, ..Role::default() }
}

#[test]
fn a_role_is_assumed_on_a_machine_whose_clock_is_off() {
    let home = Home::new("clock-sts");
    for minutes in [20, -20, 60 * 24 * 400] {
        let there = NOW + time::Duration::minutes(minutes);
        for blame in blames(there) {
            let signed = json!({"signed": [KEY_ID, SECRET, "", "us-east-1"]});
            let expires = there + time::Duration::minutes(15);
            let aws = Aws::start(
                vec![
                    entry(assumed(expires), signed),
                    entry(json!({"ask": "POST /", "times": "any"}), blame.clone()),
                ],
                there,
            );
            let cache = cache(&home, &aws, None, Some(role()));
            let found = cache.get(NOW).unwrap_or_else(|error| panic!("{minutes} {blame}: {error}"));
            assert_eq!(parts(&found)[0], Some("ASIAROLE"));
            assert_eq!(aws.counts(), [1, 1], "refused once: {blame}");
            let warnings = cache.take_warnings();
            assert!(warnings.iter().any(|text| text.contains("local clock is")), "{warnings:?}");

            // Whether they have expired is judged by the time of AWS.
            let later = NOW + time::Duration::minutes(8);
            assert!(cache.get(later).is_ok());
            assert_eq!(aws.counts()[0], 1);
            aws.set_now(there + time::Duration::minutes(16));
            let over = cache.get(NOW + time::Duration::minutes(16)).unwrap_err().to_string();
            assert!(over.contains("expired at"), "{over}");
            assert_eq!(aws.counts(), [2, 1], "what was learned lasts");
        }
    }
}

#[test]
fn tokens_are_refreshed_on_a_machine_whose_clock_is_off() {
    let keys = json!({"roleCredentials": {"accessKeyId": "ASIASSO", "secretAccessKey": "s",
        "sessionToken": "t", "expiration": 1_900_000_000_000_i64}});
    let token = json!({"accessToken": "fresh", "expiresIn": 28800, "refreshToken": "r2"});
    let portal = "GET /federation/credentials?role_name=Dev&account_id=123456789012";
    for minutes in [20, -20] {
        let there = NOW + time::Duration::minutes(minutes);
        for blame in blames(there) {
            let home = Home::new("clock-sso");
            home.write(
                ".aws/config",
                "[profile dev]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n\
                 [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.example/start\n",
            );
            let file = format!(".aws/sso/cache/{}.json", hex::encode(Sha1::digest("corp")));
            let cached = json!({"accessToken": "old", "expiresAt": rfc3339(NOW), "clientId": "c",
                "clientSecret": "s", "refreshToken": "r1", "registrationExpiresAt": "2031-01-01T00:00:00Z"});
            home.write(&file, cached.to_string());
            let aws = Aws::start(
                vec![
                    entry(json!({"ask": "POST /token"}), blame.clone()),
                    json!({"ask": "POST /token", "answer": token}),
                    json!({"ask": portal, "answer": keys, "headers": {"x-amz-sso_bearer_token": "fresh"}}),
                ],
                there,
            );
            let found = cache(&home, &aws, Some("dev"), None).get(NOW);
            let found = found.unwrap_or_else(|error| panic!("{minutes} {blame}: {error}"));
            assert_eq!(parts(&found)[0], Some("ASIASSO"), "{blame}");
            // The new token ends in eight hours of AWS's time.
            let kept = std::fs::read_to_string(home.0.join(&file)).unwrap();
            assert!(kept.contains(&rfc3339(there + time::Duration::hours(8))), "{kept}");
        }
    }
}

#[test]
fn a_console_session_is_refreshed_on_a_machine_whose_clock_is_off() {
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEICrng3403JpAhbL48EihRMpa0nzhY8IyqX5rBheIFwUOoAoGCCqGSM49\nAwEHoUQDQgAEYksCw++HESTQ9OXukR6YYOpp5ux8STs1XmE/kMqYRB0ngc7SOuJx\nF1RHV/WXsHVCtoQbXgG13fz+vQ9pd+mhwg==\n-----END EC PRIVATE KEY-----\n";
    const POINT: &str = "04624b02c3ef871124d0f4e5ee911e9860ea69e6ec7c493b355e613f90ca98441d2781ced23ae27117544757f597b07542b6841b5e01b5ddfcfebd0f6977e9a1c2";
    let user = "arn:aws:iam::123456789012:user/ann";
    for minutes in [20, -20] {
        let there = NOW + time::Duration::minutes(minutes);
        let of_proof = json!({"status": 400, "answer_headers": {"Date": http_date(there)},
            "answer": {"error": "invalid_dpop_proof", "message": "the iat of the proof is out of range"}});
        for blame in blames(there).into_iter().chain([of_proof]) {
            let home = Home::new("clock-login");
            home.write(".aws/config", format!("[profile dev]\nlogin_session = {user}\n"));
            let file = format!(".aws/login/cache/{}.json", hex::encode(Sha256::digest(user)));
            let held = json!({"accessKeyId": "ASIAOLD", "secretAccessKey": "s", "sessionToken": "t",
                "accountId": "123456789012", "expiresAt": rfc3339(NOW)});
            let cached = json!({"accessToken": held, "tokenType": "aws_sigv4", "refreshToken": "r",
                "clientId": "c", "dpopKey": KEY});
            home.write(&file, cached.to_string());
            let fresh = json!({"accessToken": {"accessKeyId": "ASIANEW", "secretAccessKey": "s",
                "sessionToken": "t"}, "expiresIn": 900});
            // The proof must bear the time of the service.
            let aws = Aws::start(
                vec![
                    json!({"ask": "POST /v1/token", "dpop": POINT, "answer": fresh}),
                    entry(json!({"ask": "POST /v1/token"}), blame.clone()),
                ],
                there,
            );
            let found = cache(&home, &aws, Some("dev"), None).get(NOW);
            let found = found.unwrap_or_else(|error| panic!("{minutes} {blame}: {error}"));
            assert_eq!(parts(&found)[0], Some("ASIANEW"), "{blame}");
        }
    }
}

#[test]
fn other_responses_of_aws_do_not_change_the_time() {
    let home = Home::new("clock-honest");
    let absurd = ["Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT"];
    let ahead = http_date(NOW + time::Duration::days(2));
    for date in absurd.into_iter().chain([ahead.as_str()]) {
        let dated = json!({"answer_headers": {"Date": date}});
        let expires = NOW + time::Duration::hours(1);
        let aws = Aws::start(vec![entry(assumed(expires), dated)], NOW);
        let cache = cache(&home, &aws, None, Some(role()));
        assert!(cache.get(NOW).is_ok());
        assert_eq!(cache.time_of_aws(NOW), NOW);
        assert_eq!(cache.take_warnings(), [""; 0]);
    }
    // A refusal for another reason, and one with an absurd time: one request each, and the refusal is the error.
    let code =
        |code: &str| format!("<R><Error><Code>{code}</Code><Message>m</Message></Error></R>");
    for (refusal, date) in [
        (code("AccessDenied"), ahead.as_str()),
        (code("SignatureDoesNotMatch"), ahead.as_str()),
        (code("RequestExpired"), absurd[0]),
        (code("RequestExpired"), absurd[1]),
        (code("RequestExpired"), "soon"),
    ] {
        let refusal = json!({"ask": "POST /", "times": "any", "status": 403, "answer": refusal,
            "answer_headers": {"Date": date}});
        let aws = Aws::start(vec![refusal], NOW);
        let cache = cache(&home, &aws, None, Some(role()));
        assert!(cache.get(NOW).unwrap_err().to_string().contains(": m"));
        assert_eq!((aws.counts(), cache.time_of_aws(NOW)), (vec![1], NOW));
    }
}

fn started(server: &Server) -> Program {
    let mut program = Launch::to(&server.url("/mcp")).arg("--no-sse").start();
    program.shake_hands();
    assert_eq!(text_of(&program.ask(&echo())), "hi");
    program
}

fn dated(code: u16, date: &str, error_type: &str, body: &str) -> Reply {
    let headers = [("Date", date), ("Content-Type", "application/json")];
    let named = [("x-amzn-ErrorType", error_type)].into_iter().filter(|(_, name)| !name.is_empty());
    let headers = headers.into_iter().chain(named);
    Reply::Status {
        code,
        headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        body: body.into(),
    }
}

fn echo() -> String {
    call("1", "echo", &json!({"text": "hi"}))
}

/// The requests are signed for the time of this machine, which is that of a server that verifies them.
fn assert_signed_on_time(server: &Server) {
    for request in server.requests() {
        assert_eq!(request.verdict, Verdict::Verified, "{}", request.label());
    }
}

#[test]
fn the_date_of_other_refusals_changes_nothing() {
    let server = Server::start(ServerOptions::default());
    let mut program = started(&server);
    let ahead = http_date(clock::now() + time::Duration::days(2));
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi"}]}}"#;
    let no_match = r#"{"message":"The request signature we calculated does not match."}"#;
    for date in [ahead.as_str(), "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        for (code, error_type, body) in [
            (200, "", result),
            (403, "AccessDeniedException", "{}"),
            (403, "InvalidSignatureException", no_match),
            (404, "", "{}"),
            (500, "RequestExpired", "{}"),
            (400, "ValidationException", r#"{"message":"Signature expired: x"}"#),
        ] {
            server.reply_next("tools/call", dated(code, date, error_type, body));
            let answer = program.ask(&echo());
            assert_eq!(answer["result"].is_object(), code == 200, "{answer}");
            assert_eq!(text_of(&program.ask(&echo())), "hi");
        }
    }
    server.reply_next("notifications/initialized", dated(202, &ahead, "", ""));
    program.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!(text_of(&program.ask(&echo())), "hi");
    assert_signed_on_time(&server);
}

#[test]
fn a_lie_about_the_time_lasts_until_the_next_refusal() {
    let server = Server::start(ServerOptions::default());
    let mut program = started(&server);
    let refused = |requests: Vec<Recorded>| {
        requests.iter().filter(|request| request.verdict != Verdict::Verified).count()
    };
    for days in [2, -400] {
        let date = http_date(clock::now() + time::Duration::days(days));
        let before = server.requests().len();
        server.reply_next("tools/call", dated(403, &date, "RequestTimeTooSkewed", "{}"));
        // Once for a call: the second attempt bears the wrong time, and its refusal ends the call.
        assert_error(&program.ask(&echo()), &json!(1), &["with NTP"]);
        assert_eq!(server.requests().len(), before + 2);
        assert_eq!(text_of(&program.ask(&echo())), "hi");
        assert_eq!(text_of(&program.ask(&echo())), "hi");
        assert_eq!(
            refused(server.requests()[before..].to_vec()),
            2,
            "one more, and it is right again"
        );
    }
    // Impossible times are not tried.
    for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "none"] {
        let before = server.requests().len();
        server.reply_next("tools/call", dated(403, date, "RequestExpired", "{}"));
        assert_error(&program.ask(&echo()), &json!(1), &["with NTP"]);
        assert_eq!(server.requests().len(), before + 1);
        assert_eq!(text_of(&program.ask(&echo())), "hi");
    }
}

/// A server may have us sign for any time, but not think that keys have expired.
#[test]
#[cfg_attr(windows, ignore = "the command is a script for sh")]
fn the_servers_time_does_not_expire_keys() {
    let clock_ahead = time::Duration::days(2);
    let server = Server::start(ServerOptions { clock_ahead, ..ServerOptions::default() });
    let home = Home::new("clock-server");
    let expires = rfc3339(clock::now() + Duration::from_secs(3000));
    let keys = json!({"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Expiration": expires});
    home.write("keys.json", keys.to_string());
    let command = format!("cat {}/keys.json", home.0.display());
    home.write(".aws/config", format!("[default]\ncredential_process = {command}\n"));
    let mut program = Launch::bare(&[&server.url("/mcp"), "--region=us-east-1", "--no-sse"])
        .arg("--service-name=execute-api")
        .env("HOME", home.0.to_str().unwrap())
        .env("PATH", "/usr/bin:/bin")
        .start();
    program.shake_hands();
    for _ in 0..3 {
        assert_eq!(text_of(&program.ask(&echo())), "hi");
    }
}

#[test]
fn times_at_the_end_of_the_calendar_are_far_away() {
    let server = Server::start(ServerOptions::default());
    for (expires, works) in [
        ("9999-12-31T23:59:59Z", true),
        ("9999-12-31T23:59:59-23:59", true),
        ("0000-01-01T00:00:00Z", false),
        ("0000-01-01T00:00:00+23:59", false),
        ("-9999-01-01T00:00:00Z", true),
        ("9223372036854775808", true),
    ] {
        // An invalid time is a warning.
        let mut program = Launch::to(&server.url("/mcp"))
            .env("AWS_CREDENTIAL_EXPIRATION", expires)
            .arg("--no-sse")
            .start();
        let answer = program.ask(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        assert_eq!(answer["result"].is_object(), works, "{expires}: {answer}");
        assert!(works || answer.to_string().contains("expired"), "{answer}");
    }
    let mut program = started(&server);
    for error in [-1_i64, i64::MIN, i64::MAX] {
        let text = "Signature expired";
        let body = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": error, "message": text}});
        server.reply_next("tools/call", json_reply(403, &body.to_string()));
        assert_eq!(program.ask(&echo())["error"]["code"], error);
    }
}
