//! Errors that name the limits of a service, and the quotas that the program respects.

use crate::harness::messages::{assert_all_verified, assert_error, call, stream_reply, text_of};
use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Recorded, Reply, Server, ServerOptions};
use serde_json::json;
use std::time::{Duration, Instant};

const WEB_FUNCTION: &str = "abc.g.lambda-web.us-east-1.on.aws/mcp";
const FUNCTION_URL: &str = "abc.lambda-url.us-east-1.on.aws/mcp";
const API: &str = "abc.execute-api.us-east-1.amazonaws.com/prod/mcp";
const RUNTIME: &str =
    "bedrock-agentcore.us-east-1.amazonaws.com/runtimes/a/invocations?accountId=1";
const GATEWAY: &str = "gw.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp";
const LATTICE: &str = "a.7d6.vpc-lattice-svcs.us-east-1.on.aws/mcp";

fn unverified() -> Server {
    Server::start(ServerOptions { verify: false, ..ServerOptions::default() })
}

fn status(code: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Reply::Status { code, headers, body: body.into() }
}

/// Expects these words in the error of a call to a server with this name and response.
fn check(name: &str, reply: Reply, words: &[&str]) {
    let server = unverified();
    let mut program = Launch::under_name(&server, name).arg("--retries=0").start();
    program.shake_hands();
    server.reply_next("tools/call", reply);
    let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    assert_error(&answer, &json!(1), words);
    let hint = answer["error"]["data"]["hint"].as_str().unwrap_or_default();
    assert!(hint.contains(words.last().unwrap()), "{name}: {hint}");
}

#[test]
fn a_refusal_names_the_action_to_allow() {
    for (name, action) in [
        (WEB_FUNCTION, "lambda:InvokeWebFunctionEndpoint"),
        (FUNCTION_URL, "lambda:InvokeFunctionUrl and lambda:InvokeFunction"),
        (API, "execute-api:Invoke"),
        (RUNTIME, "bedrock-agentcore:InvokeAgentRuntime"),
        (GATEWAY, "bedrock-agentcore:InvokeGateway"),
        (LATTICE, "vpc-lattice-svcs:Invoke"),
        ("aws-mcp.us-east-1.api.aws/mcp", "aws-mcp:InvokeMcp"),
    ] {
        let denied = Reply::aws_error(403, "AccessDeniedException", "User is not authorized");
        check(name, denied, &["HTTP 403 AccessDeniedException", action]);
        check(name, status(403, &[], r#"{"Message":"Forbidden"}"#), &["Forbidden", action]);
    }
}

#[test]
fn a_load_balancer_without_a_target_is_not_called_throttling() {
    check(
        "my-alb-1.us-east-1.elb.amazonaws.com/mcp",
        status(503, &[], "<html>"),
        &["target group"],
    );
}

#[test]
fn a_timeout_names_the_limit_to_raise() {
    let lambda = [("lambda-web-error-type", "Runtime.RequestTimeout")];
    for (name, headers, words) in [
        (
            WEB_FUNCTION,
            &lambda[..],
            &["HTTP 504 Runtime.RequestTimeout", "raise timeoutSeconds"][..],
        ),
        (FUNCTION_URL, &[], &["HTTP 504", "raise its timeout"]),
        (API, &[], &["HTTP 504", "29 s by default"]),
        (RUNTIME, &[], &["HTTP 504", "15 min"]),
        (GATEWAY, &[], &["HTTP 504", "AgentCore Gateway"]),
        (LATTICE, &[], &["HTTP 504", "60 s by default: raise the idle timeout"]),
    ] {
        check(name, status(504, headers, ""), words);
    }
    let head =
        "HTTP/1.1 504 Gateway Timeout\r\nlambda-web-request-id: r-7\r\nContent-Length: 0\r\n\r\n";
    check(WEB_FUNCTION, Reply::Raw(head.into()), &["HTTP 504 [request id r-7]", "timeoutSeconds"]);
}

/// Errors of a web function are recognised through a custom domain, too.
#[test]
fn a_web_function_under_another_name_is_recognised() {
    let server = unverified();
    let mut program = Launch::under_name(&server, "mcp.example.com/mcp")
        .arg("--service-name=lambda")
        .arg("--region=us-east-1")
        .arg("--retries=0")
        .start();
    program.shake_hands();
    let headers = [("Lambda-Web-Error-Type", "Platform.InvalidNetworkConfiguration")];
    server.reply_next("tools/call", status(502, &headers, "Bad Gateway"));
    let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    let words = ["HTTP 502 Platform.InvalidNetworkConfiguration", "/aws/lambda/web/"];
    assert_error(&answer, &json!(1), &words);
}

#[test]
fn a_response_that_breaks_off_names_what_may_have_ended_it() {
    let event = ": open\n\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
    for (name, words) in [
        (WEB_FUNCTION, "timeoutSeconds"),
        (FUNCTION_URL, "RESPONSE_STREAM"),
        (API, "15 min"),
        (RUNTIME, "15 min"),
        (GATEWAY, "AgentCore Gateway"),
        (LATTICE, "idle for 60 s by default"),
    ] {
        let server = unverified();
        let mut program = Launch::under_name(&server, name).arg("--retries=0").start();
        program.shake_hands();
        let asked = call("1", "add", &json!({"a": 1, "b": 1}));
        for reply in [
            Reply::Close,
            stream_reply(": open\n\n"),
            Reply::Raw(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
                    .to_vec(),
            ),
        ] {
            server.reply_next("tools/call", reply);
            let answer = program.ask(&asked);
            assert_error(&answer, &json!(1), &[words]);
            let hint = answer["error"]["data"]["hint"].as_str().unwrap_or_default();
            assert!(hint.contains(words), "{name}: {hint}");
        }
        server.reply_next("tools/call", stream_reply(event));
        assert_eq!(program.ask(&asked)["method"], "notifications/x");
        assert_error(&program.read(), &json!(1), &["ended before the response", words]);
    }
    // Of other servers nothing is known.
    let server = unverified();
    let mut program = Launch::to(&server.url("/mcp")).arg("--service-name=s3").start();
    program.shake_hands();
    server.reply_next("tools/call", stream_reply(": open\n\n"));
    let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
    assert_eq!(answer["error"]["data"]["hint"], json!(null), "{answer}");
}

const AWS_MCP: &str = "aws-mcp.us-east-1.api.aws/mcp";

#[test]
fn few_requests_at_a_time_go_to_the_aws_mcp_server() {
    for (name, flags, variable, expected) in [
        (AWS_MCP, &[][..], "", 16),
        ("AWS-MCP.us-gov-west-1.API.AWS./mcp", &[], "", 16),
        ("aws-mcp.cn-north-1.api.amazonwebservices.com.cn:8080/mcp", &[], "", 16),
        (AWS_MCP, &["--max-in-flight=18"], "4", 18),
        (AWS_MCP, &[], "18", 18),
        ("eks-mcp.us-east-1.api.aws/mcp", &[], "", 20),
    ] {
        let server = unverified();
        let launch = Launch::under_name(&server, name);
        let launch = match variable {
            "" => launch,
            count => launch.env("MCP_MAX_IN_FLIGHT", count),
        };
        let mut program = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).start();
        program.shake_hands();
        for id in 0..20 {
            server.reply_next("tools/call", Reply::Hang);
            program.write(&call(&id.to_string(), "add", &json!({"a": 1, "b": 1})));
        }
        let calls = |requests: &[Recorded]| {
            requests.iter().filter(|request| request.label() == "tools/call").count()
        };
        server.wait_for(PATIENCE, |requests| calls(requests) >= expected);
        let requests =
            server.received_within(Duration::from_millis(50), |all| calls(all) > expected);
        assert_eq!(calls(&requests), expected, "{name} {flags:?}");
    }
}

/// Without turns each call would have two attempts.
#[test]
fn calls_beyond_the_rate_of_the_aws_mcp_server_wait_for_their_turns() {
    let server = unverified();
    let mut program = Launch::under_name(&server, AWS_MCP).arg("--retries=1").start();
    program.shake_hands();
    let throttled =
        || status(429, &[], r#"{"jsonrpc":"2.0","id":"","error":{"code":-32004,"message":"x"}}"#);
    (0..4).for_each(|_| server.reply_next("tools/call", throttled()));
    let started = Instant::now();
    for id in [1, 2] {
        program.write(&call(&id.to_string(), "add", &json!({"a": 1, "b": 1})));
    }
    for _ in [1, 2] {
        assert_eq!(text_of(&program.read()), "2");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1400), "{took:?}");
}

/// A wait that the server requests and that is too long does not delay the calls that follow.
#[test]
fn a_long_wait_is_an_error_and_holds_up_nothing() {
    let server = unverified();
    let mut program = Launch::under_name(&server, AWS_MCP).start();
    program.shake_hands();
    server.reply_next("tools/call", status(429, &[("Retry-After", "3600")], ""));
    let add = call("1", "add", &json!({"a": 1, "b": 1}));
    assert_error(&program.ask(&add), &json!(1), &["HTTP 429", "try again in 60 min"]);
    let started = Instant::now();
    assert_eq!(text_of(&program.ask(&add)), "2");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_server_without_delete_is_no_matter() {
    let server =
        Server::start(ServerOptions { verify: false, sessions: true, ..ServerOptions::default() });
    let mut program = Launch::under_name(&server, AWS_MCP).start();
    program.shake_hands();
    let body = r#"{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600,"message":"HTTP method not supported."}}"#;
    server.reply_next("DELETE", status(405, &[], body));
    let ended = program.close();
    assert_eq!((ended.code, ended.lines.len()), (Some(0), 0));
    assert!(ended.log.lines().all(|line| line.starts_with("INFO: ")), "{}", ended.log);
    assert!(server.requests().iter().any(|request| request.label() == "DELETE"));
}

/// From AgentCore this means that the request was not forwarded; elsewhere it may be the tool's own response.
#[test]
fn a_retryable_conflict_is_tried_again_at_agentcore() {
    let named = || Reply::aws_error(409, "RetryableConflictException", "being updated");
    let in_body = || status(409, &[], r#"{"__type":"x#RetryableConflictException","message":"m"}"#);
    for (name, reply, count) in [
        (RUNTIME, named(), 2),
        (RUNTIME, in_body(), 2),
        (GATEWAY, named(), 2),
        (RUNTIME, Reply::aws_error(409, "ConflictException", "no"), 1),
        (RUNTIME, Reply::aws_error(402, "ServiceQuotaExceededException", "maxVms"), 1),
        (RUNTIME, Reply::aws_error(424, "RuntimeClientError", "it failed"), 1),
        (API, named(), 1),
    ] {
        let server = unverified();
        let mut program = Launch::under_name(&server, name).start();
        program.shake_hands();
        server.reply_next("tools/call", reply);
        let answer = program.ask(&call("1", "add", &json!({"a": 1, "b": 1})));
        assert_eq!(answer["error"].is_null(), count == 2, "{name}: {answer}");
        let requests = server.requests();
        let calls = requests.iter().filter(|request| request.label() == "tools/call");
        assert_eq!(calls.count(), count, "{name}");
    }
}

#[test]
fn a_runtime_can_be_named_by_its_id_and_account() {
    let server = Server::start(ServerOptions {
        service: "bedrock-agentcore".into(),
        region: "us-west-2".into(),
        ..ServerOptions::default()
    });
    let path = "/runtimes/my_agent-Ab1/invocations?accountId=123456789012&qualifier=DEFAULT";
    let name = format!("bedrock-agentcore.us-west-2.amazonaws.com{path}");
    let mut program = Launch::under_name(&server, &name).start();
    program.shake_hands();
    let ended = program.close();
    assert!(!ended.log.contains("WARN: "), "{}", ended.log);
    assert_all_verified(&server.requests());
    assert_eq!(server.requests()[0].request.target, path);
}
