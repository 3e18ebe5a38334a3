//! The pure translations upward, for a fuzz target.

use crate::bridge::upward::legacy_server::LegacyServer;
use crate::bridge::upward::notification::{Notification, of_subscription, with_progress_token};
use crate::bridge::upward::question::{Question, not_supported};
use crate::bridge::upward::request::ModernRequest;
use crate::bridge::upward::response::{Awaited, Translated};
use crate::mcp::message::Message;

/// Everything that a modern client's request and a legacy server's message become.
pub(crate) fn translations(request: &Message, response: &str) -> Vec<String> {
    let server = LegacyServer::read(response.as_bytes());
    let mut all = vec![server.discover_result(), not_supported("7")];
    Notification::read(response);
    all.extend(with_progress_token(response, "\"token\""));
    let asked = Question::read(response);
    all.extend(asked.iter().flat_map(|question| {
        [question.answer("{}"), question.refusal(), question.no_answer()].into_iter().flatten()
    }));
    let Some(request) = ModernRequest::read(request) else { return all };
    all.extend(of_subscription(response, request.id));
    let messages = [request.initialize(), request.translated(7)];
    all.extend(
        messages
            .into_iter()
            .flatten()
            .map(|message| String::from_utf8(message.body().to_vec()).expect("a message is UTF-8")),
    );
    let awaited = Awaited {
        id: request.id,
        method: request.method,
        may_be_asked: request.may_be_asked(),
        declared: request.declared(),
    };
    match awaited.translate(response, &server, &mut |_| {}) {
        Translated::Response(response) => all.push(response),
        Translated::Asks(questions) => {
            all.extend(questions.iter().map(|question| question.entry().to_owned()));
        }
    }
    all
}
