//! The tools of the test server, each there for one thing a relay can get wrong.

use std::io;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::http::{Connection, Request};
use super::mcp::{Mcp, Message, parsed, refusal, result_message};

/// Time that `ask` waits for the client's response.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn list() -> Value {
    let tool = |name: &str, description: &str, properties: Value| {
        json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": properties},
        })
    };
    let number = json!({"type": "number"});
    let reads = |mut tool: Value| {
        tool["annotations"] = json!({"readOnlyHint": true});
        tool
    };
    json!([
        reads(tool("add", "Adds two numbers.", json!({"a": number, "b": number}))),
        reads(tool("echo", "Gives the text back.", json!({"text": {"type": "string"}}))),
        reads(tool("raw", "Gives the request's body back as it was received.", json!({}))),
        tool("slow", "Takes its time.", json!({"ms": number})),
        tool(
            "count",
            "Counts, and reports each number as progress.",
            json!({"to": number, "delay_ms": number})
        ),
        tool("ask", "Asks the user something before it answers.", json!({})),
        tool("big", "Gives a text of that many bytes.", json!({"bytes": number})),
    ])
}

/// `tools/list`. A client of 2026-07-28 gets two pages, on the second a tool that wants an argument in a header.
pub fn page(params: &Value) -> Value {
    if params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_null() {
        return json!({"tools": list()});
    }
    if params["cursor"].is_null() {
        return json!({"tools": list(), "nextCursor": "2", "resultType": "complete"});
    }
    let region = json!({"type": "string", "x-mcp-header": "Region"});
    let schema = json!({"type": "object", "properties": {"region": region}});
    json!({"tools": [{"name": "region", "inputSchema": schema}], "resultType": "complete"})
}

pub fn call(
    mcp: &Mcp,
    id: &RawValue,
    message: &Message<'_>,
    request: &Request,
    connection: &mut Connection,
) -> io::Result<()> {
    let params = parsed(message.params);
    let arguments = &params["arguments"];
    let result = match params["name"].as_str().unwrap_or_default() {
        "add" => text(sum(&arguments["a"], &arguments["b"])),
        "echo" => text(arguments["text"].as_str().unwrap_or_default()),
        "raw" => text(String::from_utf8_lossy(&request.body)),
        "big" => text("x".repeat(natural(&arguments["bytes"]).try_into().unwrap_or(0))),
        "slow" => {
            connection.pause(Duration::from_millis(natural(&arguments["ms"])))?;
            text("done")
        }
        "region" => {
            let region = arguments["region"].as_str().unwrap_or_default();
            if request.header("mcp-param-region") != Some(region) {
                let why = "Mcp-Param-Region is missing";
                return connection.respond(&refusal(id, 400, -32020, why));
            }
            text(region)
        }
        "count" => return count(id, &params, connection),
        "ask" => return ask(mcp, id, connection),
        unknown => {
            return mcp.send_error(connection, id, -32602, &format!("Unknown tool: {unknown}"));
        }
    };
    mcp.send_result(connection, id, &result)
}

fn count(id: &RawValue, params: &Value, connection: &mut Connection) -> io::Result<()> {
    let to = natural(&params["arguments"]["to"]);
    let delay = Duration::from_millis(natural(&params["arguments"]["delay_ms"]));
    let token = &params["_meta"]["progressToken"];
    connection.begin_events(&[])?;
    for number in 1..=to {
        if !token.is_null() {
            let progress = json!({
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": token, "progress": number, "total": to},
            });
            connection.event(&progress.to_string())?;
        }
        connection.pause(delay)?;
    }
    connection.event(&result_message(id, &text(format!("counted to {to}"))))?;
    connection.end_events()
}

fn ask(mcp: &Mcp, id: &RawValue, connection: &mut Connection) -> io::Result<()> {
    let (question, answer) = mcp.ask(
        "elicitation/create",
        &json!({
            "message": "What is your name?",
            "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
        }),
    );
    connection.begin_events(&[])?;
    connection.event(&question)?;
    let result = match answer.recv_timeout(PATIENCE) {
        Ok(answer) => text(format!("the client answered: {answer}")),
        Err(_) => json!({"isError": true, "content": [{"type": "text", "text": "no answer came"}]}),
    };
    connection.event(&result_message(id, &result))?;
    connection.end_events()
}

fn text(text: impl AsRef<str>) -> Value {
    json!({"content": [{"type": "text", "text": text.as_ref()}]})
}

fn sum(a: &Value, b: &Value) -> String {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => (i128::from(a) + i128::from(b)).to_string(),
        _ => (a.as_f64().unwrap_or(f64::NAN) + b.as_f64().unwrap_or(f64::NAN)).to_string(),
    }
}

fn natural(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
