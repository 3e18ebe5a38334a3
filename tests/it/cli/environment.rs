//! The inherited environment: variables, the files they name, signals.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use sigv4_proxy::credentials::{CredentialCache, Settings};
use sigv4_proxy::environment::Environment;

use crate::credentials::chain::{Home, NOW, parts};
use crate::harness::messages::assert_error;
use crate::harness::program::{KEY_ID, Launch, SECRET};
use crate::support::aws::Aws;
use crate::support::{Server, ServerOptions};

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
const ROLE: &str = "arn:aws:iam::123456789012:role/A";

fn not_utf_8() -> &'static OsStr {
    OsStr::from_bytes(b"w\xffrk")
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_variable_that_is_not_utf_8_ends_the_start_and_is_never_taken_for_unset() {
    let server = Server::start(ServerOptions::default());
    for name in [
        "AWS_PROFILE",
        "AWS_MCP_PROXY_PROFILES",
        "AWS_ACCESS_KEY_ID",
        "AWS_ROLE_ARN",
        "AWS_CA_BUNDLE",
        "AWS_ENDPOINT_URL_STS",
        "AGENTCORE_ASSUME_ROLE_ARN",
        "MCP_READ_ONLY",
        "MCP_LOG_FILE",
        "https_proxy",
        "NO_PROXY",
    ] {
        let ended = Launch::to(&server.url("/mcp")).env_os(name, not_utf_8()).run(PING);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.log);
        let problem = format!("configuration error: {name} is not UTF-8");
        assert!(ended.log.contains(&problem), "{name}: {}", ended.log);
        assert!(!ended.log.contains("rk"), "the value is not shown: {}", ended.log);
    }
    assert!(server.requests().is_empty());

    let doctor =
        Launch::bare(&["doctor", &server.url("/mcp"), "--region=us-east-1", "--service=s3"]);
    let ended = doctor.env_os("AWS_ROLE_ARN", not_utf_8()).env("AWS_ACCESS_KEY_ID", KEY_ID).run("");
    let report = ended.lines.join("\n");
    assert_eq!(ended.code, Some(1), "{report}");
    for check in ["fail  configuration", "fail  credentials"] {
        assert!(report.contains(check), "{report}");
    }
    assert_eq!(report.matches("AWS_ROLE_ARN is not UTF-8").count(), 2, "{report}");
    assert!(server.requests().is_empty());

    // Other variables may have any bytes, unless a header needs them.
    let ended = Launch::to(&server.url("/mcp")).env_os("LS_COLORS", not_utf_8()).run(PING);
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{}", ended.log);
    let team = Launch::to(&server.url("/mcp")).arg("--header=X-Team: ${TEAM}");
    let ended = team.env_os("TEAM", not_utf_8()).run(PING);
    assert_eq!(ended.code, Some(2));
    assert!(ended.log.contains("uses the variable TEAM, which is not UTF-8"), "{}", ended.log);
}

/// Only where names of files may be so at all.
#[cfg(target_os = "linux")]
#[test]
fn a_home_folder_need_not_be_utf_8() {
    let home = Home::new("environment-home");
    let folder = home.0.join(not_utf_8());
    fs::create_dir_all(folder.join(".aws")).unwrap();
    let keys = "[default]\naws_access_key_id = AKIDHOME\naws_secret_access_key = hush\n";
    fs::write(folder.join(".aws/credentials"), keys).unwrap();
    let environment = Environment::from_pairs([("HOME", folder)]);
    let cache = CredentialCache::new(environment, Settings::default(), NOW);
    assert_eq!(parts(&cache.get(NOW).unwrap())[0], Some("AKIDHOME"));
}

#[cfg(target_os = "linux")]
#[test]
fn without_home_a_tilde_is_the_home_of_the_password_database() {
    let uid = fs::metadata("/proc/self").unwrap().uid().to_string();
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let mut accounts = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let account = accounts.find(|fields| fields.get(2) == Some(&uid.as_str()));
    let account_home = account.and_then(|fields| fs::canonicalize(fields.get(5)?).ok());
    let Some(account_home) = account_home else { return };
    let home = Home::new("environment-no-home");
    home.write(
        ".aws/config",
        format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
    );
    let up_to_root = "../".repeat(account_home.components().count() - 1);
    let config = format!("~/{up_to_root}{}", home.0.join(".aws/config").display());
    let server = Server::start(ServerOptions::default());
    let launch = || {
        Launch::bare(&[
            "--target-url",
            &server.url("/mcp"),
            "--region=us-east-1",
            "--service=execute-api",
        ])
        .env("AWS_CONFIG_FILE", &config)
    };
    for launch in [launch().after("unset HOME"), launch().env("HOME", "")] {
        let ended = launch.run(PING);
        assert!(ended.lines[0].contains("\"result\""), "{:?}: {}", ended.lines, ended.log);
    }
}

#[test]
fn an_unknown_name_among_several_profiles_ends_the_start() {
    let home = Home::new("environment-profiles");
    let keys = "aws_access_key_id = A\naws_secret_access_key = hush";
    home.write(".aws/credentials", format!("[work]\n{keys}\n"));
    home.write(".aws/config", "[profile test]\nregion = us-east-1\n");
    let server = Server::start(ServerOptions::default());
    let launch = |arguments: &[&str]| {
        let url = server.url("/mcp");
        let words = [&["--target-url", &url, "--service=s3"], arguments].concat();
        Launch::bare(&words).arg("--region=us-east-1").env_os("HOME", &home.0)
    };
    for launch in [
        launch(&["--profile", "work", "tets"]),
        launch(&["--profile", "tets", "--profile", "work"]),
        launch(&[]).env("AWS_MCP_PROXY_PROFILES", "work tets"),
    ] {
        let ended = launch.run(PING);
        assert_eq!(ended.code, Some(2), "{}", ended.log);
        let expected = "ERROR: configuration error: profile \"tets\" could not be found in \
                        ~/.aws/config or ~/.aws/credentials (profiles: test, work) \
                        (did you mean test?)\n";
        assert_eq!(ended.log, expected);
    }
    assert!(server.requests().is_empty());
    let ended = launch(&["--profile", "work", "test"]).run("");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    // One alone may be made while we run.
    let ended = launch(&["--profile", "tets"]).run(PING);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let answer: Value = serde_json::from_str(&ended.lines[0]).unwrap();
    assert_error(&answer, &json!(1), &["profile \"tets\" could not be found"]);
}

#[test]
fn a_token_file_that_is_no_file_is_refused_at_once_and_takes_no_message() {
    let server = Server::start(ServerOptions::default());
    let home = Home::new("environment-tokens");
    let pipe = home.0.join("pipe");
    make_pipe(&pipe);
    for file in [OsStr::new("/dev/stdin"), OsStr::new("/dev/zero"), pipe.as_os_str()] {
        let launch = || {
            let url = server.url("/mcp");
            let launch =
                Launch::bare(&["--target-url", &url, "--region=us-east-1", "--service=s3"]);
            launch.arg("--drain-timeout=20s")
        };
        for launch in [
            launch()
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")
                .env_os("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
            launch().env("AWS_ROLE_ARN", ROLE).env_os("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ] {
            let ended = launch.run(&[PING, &PING.replace('1', "2")].concat());
            assert_eq!((ended.code, ended.lines.len()), (Some(0), 2), "{}", ended.log);
            for line in &ended.lines {
                assert!(line.contains("not a regular file"), "{line}");
            }
        }
    }
    assert!(server.requests().is_empty());
}

#[test]
fn unreadable_profiles_are_not_replaced_by_another_identity() {
    let home = Home::new("environment-unreadable");
    let pipe = home.0.join("pipe");
    make_pipe(&pipe);
    let pipe = pipe.to_str().unwrap();
    let file = ("AWS_SHARED_CREDENTIALS_FILE", pipe);
    // The next source would have credentials, if it were used.
    let keys = json!({
        "ask": "GET /keys",
        "times": "any",
        "answer": { "AccessKeyId": "AKIDOTHER", "SecretAccessKey": "s", "Token": "t", "Expiration": "2031-01-01T00:00:00Z" },
    });
    let aws = Aws::start(vec![keys], NOW);
    let url = format!("{}/keys", aws.url);
    let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
    let get = |variables: &[(&str, &str)]| {
        let environment = home.environment(variables.iter().copied());
        CredentialCache::new(environment, Settings::default(), NOW).get(NOW)
    };
    assert_eq!(parts(&get(&[container]).unwrap())[0], Some("AKIDOTHER"));
    let web_identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", ROLE)];
    for variables in [
        &[file, container][..],
        &[file, container, ("AWS_PROFILE", "work")],
        &[file, web_identity[0], web_identity[1]],
    ] {
        let error = get(variables).unwrap_err().to_string();
        let expected = format!("AWS_SHARED_CREDENTIALS_FILE: {pipe}: not a regular file");
        assert!(error.starts_with(&expected), "{error}");
    }
    // Keys of the environment rank above every profile.
    let own = [("AWS_ACCESS_KEY_ID", "AKIDOWN"), ("AWS_SECRET_ACCESS_KEY", "s")];
    assert_eq!(parts(&get(&[file, own[0], own[1]]).unwrap())[0], Some("AKIDOWN"));
}

#[test]
fn what_is_in_the_way_of_the_profiles_is_named_with_the_fix() {
    let get = |home: &Home| {
        let cache = CredentialCache::new(home.environment([]), Settings::default(), NOW);
        let error = cache.get(NOW).unwrap_err().to_string();
        (error, cache.warnings().join("; "))
    };
    let home = Home::new("environment-folder-is-file");
    fs::remove_dir(home.0.join(".aws")).unwrap();
    fs::write(home.0.join(".aws"), "").unwrap();
    let fix = format!("replace the file {} with a folder", home.0.join(".aws").display());
    let (error, warnings) = get(&home);
    assert!(error.contains(&format!("({fix}) (run \"sigv4-proxy login\"")), "{error}");
    assert!(
        warnings.contains(&format!("~/.aws/config: Not a directory; treated as empty ({fix})"))
    );

    let home = Home::new("environment-file-is-folder");
    fs::create_dir_all(home.0.join(".aws/config")).unwrap();
    let (error, _) = get(&home);
    let folder = home.0.join(".aws/config");
    let fix = format!("(replace the folder {} with a file (Docker", folder.display());
    assert!(error.contains(&fix), "{error}");
}

#[test]
fn a_refreshed_token_is_written_behind_a_symbolic_link() {
    let home = Home::new("environment-link");
    home.write(
        ".aws/config",
        "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n\
         [sso-session corp]\nsso_region = us-east-2\nsso_start_url = https://corp.example/start\n",
    );
    let link = home.0.join(format!(".aws/sso/cache/{}.json", sha1_of("corp")));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    home.write(
        "elsewhere/token",
        json!({
            "accessToken": "sso-access", "expiresAt": "2030-01-01T00:01:00Z", "clientId": "cid", "clientSecret": "csec",
            "registrationExpiresAt": "2030-01-11T00:00:00Z", "refreshToken": "r1",
        })
        .to_string(),
    );
    symlink("../../../elsewhere/token", &link).unwrap();
    let aws = Aws::start(
        vec![
            json!({ "ask": "POST /token", "answer": { "accessToken": "fresh", "expiresIn": 28800, "refreshToken": "r2" } }),
            json!({
                "ask": "GET /federation/credentials?role_name=Dev&account_id=123456789012",
                "headers": { "x-amz-sso_bearer_token": "fresh" },
                "answer": { "roleCredentials": { "accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 1_893_459_600_000_i64 } },
            }),
        ],
        NOW,
    );
    let environment = home.environment([("AWS_ENDPOINT_URL", aws.url.as_str())]);
    let cache = CredentialCache::new(environment, Settings::default(), NOW);
    assert_eq!(parts(&cache.get(NOW).unwrap())[0], Some("ASIASSO"));
    assert_eq!(cache.take_warnings(), [""; 0]);
    assert!(link.is_symlink());
    let target = home.0.join("elsewhere/token");
    let written: Value = serde_json::from_slice(&fs::read(&target).unwrap()).unwrap();
    assert_eq!(
        (&written["accessToken"], &written["refreshToken"]),
        (&json!("fresh"), &json!("r2"))
    );
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(home.0.join("elsewhere")).unwrap().count(), 1, "no draft is left");
}

fn sha1_of(text: &str) -> String {
    use sha1::{Digest as _, Sha1};
    hex::encode(Sha1::digest(text))
}

#[test]
fn a_log_file_that_is_no_file_ends_the_start_but_may_be_stderr_or_nothing() {
    let server = Server::start(ServerOptions::default());
    let pipe = Home::new("environment-log").0.join("pipe");
    make_pipe(&pipe);
    let launch = |file: &Path| Launch::to(&server.url("/mcp")).env_os("MCP_LOG_FILE", file);
    let ended = launch(&pipe).run(PING);
    assert_eq!(ended.code, Some(2));
    let pipe = pipe.display();
    let expected = format!(
        "ERROR: configuration error: MCP_LOG_FILE {pipe}: not a regular file (use a writable regular file)\n"
    );
    assert_eq!(ended.log, expected);
    // The likely cause is the hint: no warning about it was shown yet.
    for (name, cause) in [
        ("${FOLDER}/log", "contains a placeholder such as ${…} that was not replaced"),
        ("%FOLDER%/log", "contains a placeholder such as ${…} that was not replaced"),
        ("'/nowhere'/log", "begins with a quote, which becomes part of the value"),
        ("/nowhere\new/log", "contains a line break or a tab; in JSON, write each backslash twice"),
    ] {
        let ended = launch(Path::new(name)).run(PING);
        assert_eq!((ended.code, ended.log.lines().count()), (Some(2), 1), "{}", ended.log);
        let hint = format!("(MCP_LOG_FILE {cause})\n");
        assert!(ended.log.ends_with(&hint), "{name}: {}", ended.log);
        let bundle = Launch::bare(&["login"]).env("AWS_CA_BUNDLE", name).run("");
        assert!(bundle.log.contains(&format!("(AWS_CA_BUNDLE {cause})\n")), "{}", bundle.log);
    }
    // The log would appear among the messages.
    assert_eq!(launch(Path::new("/dev/stdout")).run(PING).code, Some(2));
    let ended = launch(Path::new("/dev/stderr")).run(PING);
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{}", ended.log);
    assert!(ended.log.contains("INFO: Proxy is ready"), "{}", ended.log);
    let ended = launch(Path::new("/dev/null")).run(PING);
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 1), "{}", ended.log);
}
