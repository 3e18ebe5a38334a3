//! Error responses of AWS and of the server, as the client receives them.

use crate::harness::messages::{assert_error, json_reply};
use crate::harness::program::Launch;
use crate::support::{Server, ServerOptions};
use serde_json::json;

fn server() -> Server {
    Server::start(ServerOptions::default())
}

#[test]
fn a_wrong_secret_is_refused_in_the_words_of_aws() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp"))
        .env("AWS_SECRET_ACCESS_KEY", "wrong/K7MDENG/bPxRfiCYEXAMPLEKEY")
        .start();
    let answer = program.ask(r#"{"jsonrpc":"2.0","id":"a","method":"initialize"}"#);
    assert_error(
        &answer,
        &json!("a"),
        &[
            "InvalidSignatureException",
            "The request signature we calculated does not match",
            "AKIA****MPLE",
            "request id",
        ],
    );
    let data = &answer["error"]["data"];
    assert_eq!(
        (&data["httpStatus"], &data["awsErrorType"]),
        (&json!(403), &json!("InvalidSignatureException"))
    );
    assert!(data["awsRequestId"].is_string() && data["hint"].is_string(), "{data}");
    let ended = program.close();
    assert!(ended.log.contains("ERROR: AWS refused the request with HTTP 403"), "{}", ended.log);
    assert!(!format!("{answer}{}", ended.log).contains("wrong/K7MDENG"), "the secret is shown");
}

#[test]
fn broken_errors_of_aws_are_corrected() {
    let server = server();
    let mut program = Launch::to(&server.url("/mcp")).start();
    for (body, code) in [
        (r#"{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600,"message":"no"}}"#, 200),
        (r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-32600,"message":"no"}}"#, 200),
        (
            r#"{"jsonrpc":"2.0","id":"other","result":null,"error":{"code":-32600,"message":"no"}}"#,
            405,
        ),
    ] {
        server.reply_next("ping", json_reply(code, body));
        program.write(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        assert_eq!(
            program.read_line(),
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"no"}}"#
        );
    }
}

#[test]
fn a_json_rpc_error_body_passes_under_the_id_of_the_request() {
    let server = server();
    server.reply_next("ping", json_reply(404, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no","data":{"n":1.0}}}"#));
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.write(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    let expected =
        r#"{"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"no","data":{"n":1.0}}}"#;
    assert_eq!(program.read_line(), expected);
}
