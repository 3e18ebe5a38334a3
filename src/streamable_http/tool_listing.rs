//! Requests `tools/list` where a call depends on the server's description of its tools: which of them only
//! read, and which arguments are repeated in headers.

use crate::error::{Error, Kind};
use crate::json::object::OnlyObject;
use crate::mcp::message::Message;
use crate::mcp::server_message::{ErrorBody, server_error};
use crate::random;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relayed::{Relayed, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry_loop::{attempt_now, attempt_until_done};
use crate::sync::cancel::Cancel;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of attempts to read a list that changes meanwhile.
const MAX_LISTINGS: usize = 3;

/// Maximum number of pages of a list.
const MAX_PAGES: usize = 100;

/// Time limit of a list.
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks a call under `--read-only` by the server's description of its tool. Lists the tools if they are not known.
pub(crate) fn check_hint(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
) -> Result<(), Error> {
    let tools = &server.state.tools;
    let Some(tool) = message.tool.as_deref().filter(|_| tools.policy().is_read_only()) else {
        return Ok(());
    };
    let only_reads = match tools.only_reads(tool) {
        Some(only_reads) => only_reads,
        None => list_whether_it_only_reads(server, message, tool)?,
    };
    tools.policy().check_hint(tool, only_reads)
}

/// Whether the tool only reads. Lists the tools for that, once for all calls; a tool that is not listed does not only read.
fn list_whether_it_only_reads(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    tool: &str,
) -> Result<bool, Error> {
    let (worker, client) = (Arc::clone(server), message.message.client_meta());
    let only_reads = server.listing.get(
        message.deadline,
        message.cancel,
        |is_done| server.state.tools.only_reads(tool).or(is_done.then_some(false)),
        move || {
            let sink: &mut Sink<'_> = &mut |relayed| worker.relay_for_session(relayed);
            let deadline = Instant::now().checked_add(LISTING_TIMEOUT);
            for _ in 0..MAX_LISTINGS {
                list_tools(&worker, client.as_deref(), deadline, &worker.closing, sink)?;
                if worker.state.tools.is_whole() {
                    break;
                }
            }
            Ok(())
        },
    );
    only_reads.map_err(|error| match error.kind() {
        Kind::Cancelled => error,
        _ => error.context("the tools cannot be listed, which --read-only requires"),
    })
}

/// Lists all tools of the server, as the client would. `client` is what the client says of itself, as JSON; messages other
/// than the responses go to `sink`.
pub(crate) fn list_tools(
    server: &Arc<RemoteServer>,
    client: Option<&str>,
    deadline: Option<Instant>,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let tools = &server.state.tools;
    let limit = Instant::now().checked_add(LISTING_TIMEOUT);
    let deadline = [limit, deadline].into_iter().flatten().min();
    let mut cursor: Option<String> = None;
    let mut list = None;
    for _ in 0..MAX_PAGES {
        let message = request(client, cursor.as_deref());
        let message = tools.policy().metadata().added_to(&message)?.unwrap_or(message);
        let message = PreparedMessage::new(server, &message, deadline, cancel).into_page_of_list();
        let mut listed = Listed::Nothing;
        let page_sink: &mut Sink<'_> = &mut |relayed| match relayed {
            Relayed::Line(line) if line.is_response() => {
                listed = Listed::read(&line.bytes);
                Ok(())
            }
            relayed => sink(relayed),
        };
        let attempt = |sink: &mut Sink<'_>| attempt_now(server, &message, || Ok(()), &|_| (), sink);
        attempt_until_done(server, &message, page_sink, attempt, |_, _| false)?;
        let next = match listed {
            Listed::Page { next } => next,
            Listed::Refused(error) => return Err(error),
            Listed::Nothing => None,
        };
        list.get_or_insert_with(|| tools.list_number());
        if next.is_none() {
            return Ok(());
        }
        if next == cursor {
            break;
        }
        cursor = next;
    }
    tools.close_list(list.unwrap_or_default());
    Ok(())
}

/// The response to a `tools/list` that this program sent.
enum Listed {
    Nothing,
    /// The cursor of the next page, as JSON.
    Page {
        next: Option<String>,
    },
    Refused(Error),
}

impl Listed {
    fn read(line: &[u8]) -> Listed {
        #[derive(serde::Deserialize)]
        struct Response<'a> {
            #[serde(borrow, default)]
            result: Option<OnlyObject<Page<'a>>>,
        }
        #[derive(serde::Deserialize)]
        struct Page<'a> {
            #[serde(borrow, default, rename = "nextCursor")]
            next_cursor: Option<&'a RawValue>,
        }
        let text = String::from_utf8_lossy(line);
        if let Some(body) = ErrorBody::parse(&text) {
            return Listed::Refused(server_error(body.code, &body.message));
        }
        match serde_json::from_str::<Response<'_>>(&text) {
            Ok(Response { result: Some(OnlyObject(Page { next_cursor })) }) => {
                let next = next_cursor.map(|next| next.get().to_owned());
                Listed::Page { next: next.filter(|next| next != "null") }
            }
            _ => Listed::Nothing,
        }
    }
}

/// A `tools/list` request, with what the client says of itself, if anything.
fn request(client: Option<&str>, cursor: Option<&str>) -> Message {
    let cursor = cursor.map(|cursor| format!("\"cursor\":{cursor}"));
    let client = client.map(|client| format!("\"_meta\":{client}"));
    let params: Vec<String> = [cursor, client].into_iter().flatten().collect();
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":"sigv4-proxy-{}","method":"tools/list","params":{{{}}}}}"#,
        random::uuid(),
        params.join(",")
    );
    Message::parse(line.into_bytes()).expect("it is made of JSON")
}
