//! The pure translations downward, for a fuzz target.

use crate::bridge::downward::handshake::{Offers, initialize_result};
use crate::bridge::downward::questions::{Abilities, InputRequired};
use crate::bridge::downward::request::{next_leg, to_modern};
use crate::bridge::downward::response::{
    Answer, Request, answer, notification_to_legacy, to_legacy,
};
use crate::bridge::downward::tools::WrappedTools;
use crate::bridge::envelope::Envelope;
use crate::mcp::message::Message;

/// Everything that a legacy client's request and a modern server's message become.
pub(crate) fn translations(request: &Message, response: &str) -> Vec<String> {
    let envelope = Envelope::of_initialize(request);
    let mut all = vec![initialize_result("2025-11-25", response, "localhost", true)];
    Offers::of(response, true);
    if let Ok(modern) = to_modern(request, &envelope, Some("\"info\"")) {
        let next = next_leg(&modern, "sigv4-proxy-leg-1", r#""a":{}"#, Some("\"state\""));
        all.extend([modern].into_iter().chain(next).map(|message| {
            String::from_utf8(message.body().to_vec()).expect("a message is UTF-8")
        }));
    }
    if let Answer::InputRequired(result) = answer(response) {
        let _ = InputRequired::read(&result, Abilities::of(&envelope.capabilities));
    }
    let tools = WrappedTools::default();
    for method in ["tools/list", "tools/call", "prompts/list"] {
        let request = Request { id: "7", method, tool: Some("t"), is_first_page: false };
        all.push(to_legacy(response, &request, &tools));
    }
    all.extend(notification_to_legacy(response));
    all
}
