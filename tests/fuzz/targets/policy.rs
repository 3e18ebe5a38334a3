//! No server runs a tool that the filter did not judge, whichever of several members of one name its parser takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::mcp::message::Message;
use sigv4_proxy::mcp::tool_policy::{Settings, ToolPolicy};

#[path = "../../support/readings.rs"]
mod readings;
use readings::{Json, Parser};

fuzz_target!(|line: &[u8]| {
    let Ok(message) = Message::parse(line.to_vec()) else { return };
    let filter = ToolPolicy::new(Settings {
        allowed_tools: vec!["e*".to_owned()],
        denied_tools: vec!["evil".to_owned()],
        ..Settings::default()
    });
    if filter.judge(&message).is_err() {
        return;
    }
    // If a message is too deep for this parser, its calls are before that depth.
    let Ok(read) = serde_json::from_slice::<Json>(line) else { return };
    for parser in Parser::ALL {
        for tool in read.run(parser) {
            let is_allowed = tool.is_some_and(|tool| tool.starts_with('e') && tool != "evil");
            assert!(is_allowed, "{parser:?} runs {tool:?}");
        }
    }
});
