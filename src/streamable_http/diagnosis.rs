//! `Diagnosis`: explains why a request has no response, from what the server sent instead.

use crate::aws::error_body::{AwsErrorBody, words_in};
use crate::error::{Error, Kind, quoted};
use crate::mcp::server_message::ErrorBody;
use serde_json::{Map, Value};

/// Maximum size of a document whose words are looked for.
const MAX_WORDY_BYTES: usize = 64 * 1024;

/// What came instead of a response.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    /// The last document ended before it was complete.
    pub(crate) is_cut_short: bool,
    /// Why the first document that is not a message was skipped.
    skipped: Option<String>,
    /// The text of an `error` event.
    reported: Option<String>,
    /// Responses to other requests: an error, if it was the only one.
    other_responses: OtherResponses,
}

#[derive(Debug, Default)]
enum OtherResponses {
    #[default]
    None,
    OneError(ErrorBody),
    Others,
}

impl Diagnosis {
    /// Notes why a document was skipped, and what it says.
    pub(crate) fn note_skipped(&mut self, why: String, document: &[u8]) {
        self.skipped.get_or_insert_with(|| match words_of(document) {
            Some(words) => format!("{why}: {words}"),
            None => why,
        });
    }

    pub(crate) fn note_report(&mut self, text: String) {
        self.reported = Some(text);
    }

    /// Notes a response to another request.
    pub(crate) fn note_other_response(&mut self, is_error: bool, line: &str) {
        let error = is_error.then(|| ErrorBody::parse(line)).flatten();
        self.other_responses = match (&self.other_responses, error) {
            (OtherResponses::None, Some(error)) => OtherResponses::OneError(error),
            _ => OtherResponses::Others,
        };
    }

    /// Whether the server reported an error outside JSON-RPC, after which nothing more can be expected.
    pub(crate) fn has_report(&self) -> bool {
        self.reported.is_some()
    }

    /// The server's error for another request, if no other response came.
    pub(crate) fn take_lone_error(&mut self) -> Option<ErrorBody> {
        match std::mem::take(&mut self.other_responses) {
            OtherResponses::OneError(error) => Some(error),
            OtherResponses::None | OtherResponses::Others => None,
        }
    }

    /// The error with the reason that the server gave. What was skipped replaces it if that was `all` that came.
    pub(crate) fn explain(&mut self, error: Error, all: bool) -> Error {
        if let Some(text) = self.reported.take() {
            return Error::new(
                Kind::InvalidResponse,
                format!("the server reported an error: {text}"),
            );
        }
        match self.skipped.take().filter(|_| error.kind() == Kind::InvalidResponse) {
            Some(why) if all => {
                Error::new(Kind::InvalidResponse, why).hint("check that the URL is an MCP endpoint")
            }
            Some(why) => {
                let what = format!("{}; {why}", error.message());
                Error::new(Kind::InvalidResponse, what)
            }
            None => error,
        }
    }
}

/// What a JSON object says that is not JSON-RPC: functions and gateways report their own failures so.
fn words_of(document: &[u8]) -> Option<String> {
    let document = Some(document).filter(|document| document.len() <= MAX_WORDY_BYTES)?;
    let members: Map<String, Value> = serde_json::from_slice(document).ok()?;
    words_in(&members).map(quoted)
}

/// The words in the data of an `error` event, which is text, or JSON with a message.
pub(crate) fn text_of_report(data: &[u8]) -> String {
    let body = AwsErrorBody::parse(None, data);
    let text = body.message.or(body.detail);
    quoted(&text.unwrap_or_else(|| String::from_utf8_lossy(data).into_owned()))
}
