//! Secrets that a server sends back never reach any output, in any encoding; everything else does.

use crate::harness::messages::call;
use crate::harness::program::{Launch, SECRET, assert_no_secret};
use crate::support::http::Response;
use crate::support::{Key, Mode, Reply, Server, ServerOptions};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use std::fmt::Write as _;

const TOKEN: &str = "IQoJb3JpZ2luX2VjE/+the//session+token==";
const HEADER: &str = "quiet/Value+0123456789";

/// The test server sends JSON, so each form is valid in a JSON string.
const ENCODINGS: [fn(&str) -> String; 8] = [
    str::to_owned,
    |text| text.replace('/', r"\/"),
    |text| text.replace('/', r"\u002f").replace('+', r"\u002B"),
    |text| text.replace('/', r"\\/").replace('+', r"\\u002b"),
    |text| {
        text.bytes().fold(String::new(), |mut encoded, byte| {
            let _ = match byte {
                b'/' | b'+' | b'=' | b'a'..=b'f' => write!(encoded, "%{byte:02X}"),
                _ => write!(encoded, "{}", char::from(byte)),
            };
            encoded
        })
    },
    |text| STANDARD.encode(text),
    |text| URL_SAFE_NO_PAD.encode(format!("me:{text}")),
    |text| STANDARD.encode(text).replace('=', "%3d"),
];

fn server(mode: Mode) -> Server {
    let key = Key::new(crate::harness::program::KEY_ID, SECRET).with_token(TOKEN);
    Server::start(ServerOptions { mode, keys: vec![key], ..ServerOptions::default() })
}

fn launch(server: &Server) -> Launch {
    Launch::to(&server.url("/mcp"))
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("TEAM_KEY", HEADER)
        .arg("--header=X-Api-Key: ${TEAM_KEY}")
}

/// Responses to `tools/call` with the id 1 that contain this text in each possible position.
fn answers(text: &str) -> Vec<Reply> {
    let error = format!(
        r#""error":{{"code":-32000,"message":"says {text} today","data":{{"{text}":["{text}"]}}}}"#
    );
    let rpc = format!(r#"{{"jsonrpc":"2.0","id":1,{error}}}"#);
    let event = |data: &str| Response {
        body: format!("data: {data}\n\n").into_bytes(),
        ..Response::empty(200).with("content-type", "text/event-stream")
    };
    let xml = format!("<E><Code>{text}</Code><Message>says {text}</Message></E>");
    let as_body = |status: u16, kind: &str, body: &str| Response {
        body: body.into(),
        ..Response::empty(status).with("content-type", kind)
    };
    [
        Response::json(403, format!(r#"{{"message":"says {text} today"}}"#)),
        Response::json(403, format!(r#"{{"message":"{}{text}"}}"#, "x".repeat(490))),
        Response::json(400, rpc.clone()),
        Response::json(200, rpc.clone()),
        event(&rpc),
        Response::json(200, rpc.replace("\"id\":1", "\"id\":null")),
        Response::json(200, format!("[{rpc}]")),
        as_body(403, "text/plain", &format!("says {text} today")),
        as_body(400, "text/xml", &xml),
        as_body(200, "text/plain", text),
        Response::json(403, r#"{"message":"says"}"#).with("x-amzn-requestid", text),
        Response::json(403, r#"{"message":"says"}"#).with("x-amzn-errortype", text),
        Response::empty(307).with("location", format!("https://else.example/?{text}")),
    ]
    .into_iter()
    .map(Reply::Echo)
    .collect()
}

#[test]
fn no_response_makes_a_secret_public() {
    for level in ["debug", "error"] {
        let server = server(Mode::Json);
        let mut program = launch(&server).arg(&format!("--log-level={level}")).start();
        program.shake_hands();
        for secret in [SECRET, TOKEN, HEADER] {
            for reply in ENCODINGS.iter().flat_map(|encode| answers(&encode(secret))) {
                server.reply_next("tools/call", reply);
                // Each line is looked through for secrets as it is read.
                let answer = program.ask(&call("1", "add", &json!({})));
                assert!(answer["error"].is_object(), "{answer}");
            }
        }
        for reply in answers("SIGNATURE") {
            server.reply_next("tools/call", reply);
            let answer = program.ask(&call("1", "add", &json!({})));
            let sent = server.requests();
            let signed =
                sent.last().and_then(|last| last.header("authorization")).unwrap_or_default();
            let signature = signed.rsplit('=').next().unwrap_or_default().to_owned();
            assert!(signature.len() == 64, "{signed}");
            assert_no_secret(&answer.to_string(), &[signature]);
        }
        program.close();
    }
}

#[test]
fn doctor_prints_no_secret_either() {
    let sts = crate::doctor::checks::sts();
    for (text, style) in
        [(ENCODINGS[1](TOKEN), "--json"), (ENCODINGS[4](HEADER), "--log-level=debug")]
    {
        for reply in answers(&text) {
            let server = server(Mode::Json);
            server.script(vec![reply.clone(), reply]);
            let ended = launch(&server)
                .arg("doctor")
                .arg(style)
                .env("AWS_ENDPOINT_URL_STS", &sts.url)
                .run("");
            assert!(ended.lines.concat().contains("initialize"), "{:?}", ended.lines);
        }
    }
}

#[test]
fn the_errors_of_a_server_lose_their_secrets_and_nothing_else() {
    let server = server(Mode::Json);
    let mut program = launch(&server).start();
    program.shake_hands();
    let mut ask = |error: &str| {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        server.reply_next("tools/call", Reply::Echo(Response::json(200, line.clone())));
        program.write(&call("1", "add", &json!({})));
        (program.read_line(), line)
    };
    let error = r#"{ "code":-32000 ,"data":[1.50,"cXVvdGEgMTc=","\u202e\u001b[31m a%2Fb"],"message":"quota\/17"}"#;
    let (got, sent) = ask(error);
    assert_eq!(got, sent);
    let secret = SECRET.replace('/', r"\/");
    let (got, _) = ask(&error.replace("a%2Fb", &format!(r"a%2F{secret}\n{secret}\\b")));
    assert_eq!(got, sent.replace("a%2Fb", r"a%2F…\n…\\b"));
    let (got, sent) = ask(&format!(r#"{{"code":1,"message":"{}"}}"#, "long ".repeat(20_000)));
    assert_eq!(got, sent);
}

#[test]
fn results_and_the_words_of_tools_are_left_alone() {
    let server = server(Mode::Json);
    let mut program = launch(&server).start();
    program.shake_hands();
    let text = "of a tool: \u{202e}x, Basic aGVsbG8=, %2F";
    let result = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": text}], "isError": true}});
    server.reply_next("tools/call", Reply::Echo(Response::json(200, result.to_string())));
    assert_eq!(program.ask(&call("1", "add", &json!({}))), result);
}

#[test]
fn texts_of_servers_are_one_clean_line_of_bounded_length() {
    let server = server(Mode::Json);
    let mut program = launch(&server).start();
    program.shake_hands();
    let evil = "a\u{1b}[31m\nERROR: forged\r\u{2028}INFO: \u{9b}2J\u{7f}\u{202e}\u{2066}b";
    let long = "w ".repeat(30_000);
    for response in [
        Response::json(403, json!({ "message": evil }).to_string()),
        Response { body: evil.into(), ..Response::empty(500) },
        Response::json(403, json!({ "message": long }).to_string())
            .with("x-amzn-requestid", "r".repeat(30_000)),
        Response::empty(302)
            .with("location", format!("https://else.example/{}", "x".repeat(30_000))),
    ] {
        server.reply_next("tools/call", Reply::Echo(response));
        let answer = program.ask(&call("1", "add", &json!({})));
        let error = &answer["error"];
        for text in [&error["message"], &error["data"]["hint"], &error["data"]["awsRequestId"]] {
            let text = text.as_str().unwrap_or_default();
            assert!(text.len() <= 2051 && !text.chars().any(is_hidden), "{text}");
        }
    }
    let ended = program.close();
    assert!(!ended.log.lines().any(|line| line.starts_with("ERROR: forged")), "{}", ended.log);
    assert!(!ended.log.chars().any(|c| c != '\n' && is_hidden(c)), "{}", ended.log);
}

fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn secrets_in_the_query_of_the_url() {
    let server = server(Mode::Json);
    let url = server.url("/mcp?Api-Key=quiet%2FKey%2B0123&team=research&keyspace=us-east-1");
    let mut program = Launch::to(&url).env("AWS_SESSION_TOKEN", TOKEN).start();
    program.shake_hands();
    let echo = json!({ "message": "denied for quiet/Key+0123 of research in us-east-1" });
    server.reply_next("tools/call", Reply::Echo(Response::json(403, echo.to_string())));
    let answer = program.ask(&call("1", "add", &json!({})));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("denied for … of research in us-east-1"), "{message}");
    let log = program.close().log;
    assert!(log.contains("/mcp?Api-Key=…&team=research&keyspace=us-east-1"), "{log}");
    assert!(!log.contains("0123"), "{log}");
    let doctor = Launch::bare(&["doctor", &url]).run("");
    assert!(!doctor.lines.join(" ").contains("0123"), "{:?}", doctor.lines);
}

#[test]
fn a_word_in_the_query_of_the_url_is_cut_there_and_nowhere_else() {
    let server = server(Mode::Json);
    let url = server.url("/mcp?key=production&auth=required&token=1");
    let mut program = Launch::to(&url).env("AWS_SESSION_TOKEN", TOKEN).start();
    program.shake_hands();
    let body = json!({ "message": "a token is required in production" }).to_string();
    server.reply_next("tools/call", Reply::Echo(Response::json(403, body)));
    let answer = program.ask(&call("1", "add", &json!({})));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("a token is required in production"), "{message}");
    let log = program.close().log;
    assert!(log.contains("/mcp?…&…&token=1"), "{log}");
}

#[test]
fn the_password_of_a_proxy_is_a_secret() {
    let password = "proxy/Password+0123";
    let in_url = password.replace('/', "%2F");
    let launch = Launch::to("https://mcp.example/mcp")
        .env("https_proxy", &format!("socks5://me:{in_url}@127.0.0.1:1"));
    let ended = launch.run(&call("1", "add", &json!({})));
    assert!(ended.log.contains("socks5 is not supported"), "{}", ended.log);
    assert_no_secret(&(ended.lines.concat() + &ended.log), &[password.to_owned(), in_url]);
}
