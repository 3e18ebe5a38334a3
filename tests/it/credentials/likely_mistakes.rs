//! Values that AWS would refuse, and that show it themselves: they are warned of, and explain the refusal when it comes.

use crate::credentials::chain::Home;
use crate::harness::program::{Ended, KEY_ID, Launch, SECRET};
use crate::support::aws::Aws;
use crate::support::{Server, ServerOptions};
use serde_json::{Value, json};
use sigv4_proxy::clock;

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
const TEMPORARY_ID: &str = "ASIAIOSFODNN7EXAMPLE";

fn warnings(ended: &Ended) -> Vec<&str> {
    ended.log.lines().filter_map(|line| line.strip_prefix("WARN: ")).collect()
}

fn hint(ended: &Ended) -> String {
    let response: Value = serde_json::from_str(&ended.lines[0]).expect("one response");
    response["error"]["data"]["hint"].as_str().unwrap_or_default().to_owned()
}

fn launch(server: &Server) -> Launch {
    let url = server.url("/mcp");
    Launch::bare(&["--target-url", &url, "--service-name=execute-api", "--region=us-east-1"])
}

#[test]
fn keys_that_aws_will_refuse_are_warned_of_and_explain_the_refusal() {
    let quoted = format!("\"{KEY_ID}\"");
    let quoted_secret = format!("'{SECRET}'");
    let server = Server::start(ServerOptions::default());
    for (id, secret, token, expected) in [
        ("${AWS_KEY}", SECRET, None, "AWS_ACCESS_KEY_ID contains a placeholder"),
        ("{env:AWS_KEY}", SECRET, None, "AWS_ACCESS_KEY_ID contains a placeholder"),
        (KEY_ID, "${env:SECRET_KEY}", None, "AWS_SECRET_ACCESS_KEY contains a placeholder"),
        (KEY_ID, "%AWS_SECRET_ACCESS_KEY%", None, "AWS_SECRET_ACCESS_KEY contains a placeholder"),
        (&quoted, SECRET, None, "AWS_ACCESS_KEY_ID begins with a quote"),
        (KEY_ID, &quoted_secret, None, "AWS_SECRET_ACCESS_KEY begins with a quote"),
        (&quoted[1..], SECRET, None, "AWS_ACCESS_KEY_ID contains a quote"),
        (TEMPORARY_ID, SECRET, None, "set AWS_SESSION_TOKEN"),
        (KEY_ID, SECRET, Some("left-over"), "unset AWS_SESSION_TOKEN"),
        (TEMPORARY_ID, SECRET, Some("${TOKEN:-}"), "AWS_SESSION_TOKEN contains a placeholder"),
    ] {
        let keys =
            launch(&server).env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        let ended = match token {
            Some(token) => keys.env("AWS_SESSION_TOKEN", token),
            None => keys,
        }
        .run(PING);
        let warned = warnings(&ended);
        assert!(warned.len() == 1 && warned[0].contains(expected), "{expected}: {}", ended.log);
        assert!(warned[0].starts_with("environment: "), "{warned:?}");
        assert!(hint(&ended).contains(expected), "{expected}: {:?}", ended.lines);
    }
    let right = Launch::to(&server.url("/mcp")).run(PING);
    assert_eq!(warnings(&right), [""; 0]);
}

#[test]
fn keys_in_files_are_looked_at_as_well() {
    let home = Home::new("likely-mistakes-files");
    let server = Server::start(ServerOptions::default());
    let keys = format!("aws_access_key_id = {TEMPORARY_ID}\naws_secret_access_key = {SECRET}\n");
    home.write(".aws/credentials", format!("[default]\n{keys}"));
    let ended = launch(&server).env_os("HOME", &home.0).run(PING);
    let expected = "profile \"default\": the key ASIA****MPLE is temporary (ASIA) and needs its \
                    session token: set aws_session_token";
    assert_eq!(warnings(&ended), [expected]);
    assert_eq!(hint(&ended), expected);
}

#[test]
fn the_keys_of_a_role_s_source_explain_why_the_role_is_refused() {
    let home = Home::new("likely-mistakes-role");
    let keys = format!("aws_access_key_id = \"{KEY_ID}\"\naws_secret_access_key = {SECRET}\n");
    home.write(".aws/credentials", format!("[base]\n{keys}"));
    let role = "[default]\nrole_arn = arn:aws:iam::123456789012:role/A\nsource_profile = base\n";
    home.write(".aws/config", role);
    let refused = json!({
        "ask": "POST /",
        "times": "any",
        "status": 403,
        "answer": "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>",
    });
    let sts = Aws::start(vec![refused], clock::now());
    let server = Server::start(ServerOptions::default());
    let ended =
        launch(&server).env_os("HOME", &home.0).env("AWS_ENDPOINT_URL_STS", &sts.url).run(PING);
    let expected = "aws_access_key_id begins with a quote, which becomes part of the value";
    assert!(warnings(&ended).iter().any(|warning| warning.ends_with(expected)), "{}", ended.log);
    assert!(hint(&ended).ends_with(expected), "{:?}", ended.lines);
    assert!(server.requests().is_empty());
}

#[test]
fn a_region_that_contradicts_the_url_or_is_none_is_warned_of_at_start() {
    let url = "https://gw-1.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp";
    let custom = "https://localhost:9/mcp";
    for (arguments, variable, expected) in [
        (vec![url, "--region=us-west-2"], "", None),
        (vec![url], "us-west-2", None),
        (
            vec![url, "--region=eu-central-1"],
            "",
            Some("--region eu-central-1 is used; the URL names us-west-2"),
        ),
        (vec![url], "eu-central-1", None),
        (
            vec![custom, "--service=s3"],
            "us-east-1a",
            Some(
                "AWS_REGION: us-east-1a is an availability zone; did you mean its region us-east-1?",
            ),
        ),
        (
            vec![custom, "--service=s3", "--region=us-east1"],
            "",
            Some("--region: us-east1 is not an AWS region; did you mean us-east-1?"),
        ),
        (vec![custom, "--service=s3", "--region=ap-southeast-9"], "", None),
    ] {
        let ended = Launch::bare(&arguments).env("AWS_REGION", variable).arg("--lazy").run("");
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        assert_eq!(warnings(&ended), expected.into_iter().collect::<Vec<_>>(), "{arguments:?}");
    }
}

#[test]
fn settings_of_profiles_and_files_that_variables_name_are_looked_at() {
    let home = Home::new("likely-mistakes-settings");
    let keys = format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    home.write(".aws/credentials", format!("[one]\n{keys}[two]\n{keys}"));
    home.write(".aws/config", "[profile two]\nregion = eu-west1\n");
    let server = Server::start(ServerOptions::default());
    let ended = launch(&server)
        .arg("--profile=one")
        .arg("--profile=two")
        .env_os("HOME", &home.0)
        .env("AWS_CONFIG_FILE", "~/.aws/config")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "$HOME/token")
        .run(PING);
    let expected = [
        "profile \"two\": region: eu-west1 is not an AWS region; did you mean eu-west-1?",
        "AWS_WEB_IDENTITY_TOKEN_FILE contains a placeholder such as ${…} that was not replaced",
    ];
    assert_eq!(warnings(&ended), expected);
}
