//! What the proxy itself must know of the server's tools: which only read, and which arguments are repeated in headers. It
//! lists them for that when it has to.

use crate::error::{Error, Kind};
use crate::json::object::{Object, OnlyObject};
use crate::mcp::message::Message;
use crate::mcp::server_message::ErrorBody;
use crate::random;
use crate::streamable_http::exchange::{Exchanger, PreparedMessage};
use crate::streamable_http::relay::{Relayed, Sink};
use crate::sync::cancel::Cancel;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A list that changes while it is read is read again, so many times in all.
const MOST_LISTINGS: usize = 3;

/// The tools are listed up to so many pages, and for so long.
const MOST_PAGES: usize = 100;
const LEARNING_LIMIT: Duration = Duration::from_secs(60);

impl Exchanger {
    /// Whether this call may leave as far as the server says what its tool does.
    pub(crate) fn check_hint(self: &Arc<Self>, errand: &PreparedMessage<'_>) -> Result<(), Error> {
        let policy = self.tools.policy();
        let Some(tool) = errand.tool.as_deref().filter(|_| policy.is_read_only()) else {
            return Ok(());
        };
        let known = match self.tools.only_reads(tool) {
            Some(known) => known,
            None => self.learn_whether_it_only_reads(tool, errand)?,
        };
        policy.check_hint(tool, known)
    }

    /// Has the tools listed, once for all calls. One that is not listed does not.
    fn learn_whether_it_only_reads(
        self: &Arc<Self>,
        tool: &str,
        errand: &PreparedMessage<'_>,
    ) -> Result<bool, Error> {
        let (conversation, client) = (Arc::clone(self), client_meta(errand.message));
        let known = self.listings.get(
            errand.deadline,
            errand.cancel,
            |is_done| self.tools.only_reads(tool).or(is_done.then_some(false)),
            move || {
                let deliver = &mut |other| conversation.deliver_aside(other);
                let (client, cancel) = (client.as_deref(), &conversation.closing);
                let limit = Instant::now().checked_add(LEARNING_LIMIT);
                for _ in 0..MOST_LISTINGS {
                    conversation.learn_tools(client, limit, cancel, deliver)?;
                    if conversation.tools.is_whole() {
                        break;
                    }
                }
                Ok(())
            },
        );
        known.map_err(|error| match error.kind() {
            Kind::Cancelled => error,
            _ => error.context("the tools cannot be listed, which --read-only needs"),
        })
    }

    /// Lists the server's tools, as the client would; `client`: what it says of itself.
    pub(crate) fn learn_tools(
        self: &Arc<Self>,
        client: Option<&str>,
        deadline: Option<Instant>,
        cancel: &Cancel,
        deliver: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut cursor: Option<String> = None;
        let mut list = None;
        let limit = Instant::now().checked_add(LEARNING_LIMIT);
        for _ in 0..MOST_PAGES {
            let message = list_tools(client, cursor.as_deref());
            let message = self.tools.policy().metadata().added_to(&message)?.unwrap_or(message);
            let deadline = [limit, deadline].into_iter().flatten().min();
            let page = self.errand(&message, deadline, cancel);
            let mut listed = Listed::Nothing;
            self.run(&page, &mut |delivery| match delivery {
                Relayed::Line(line) if !line.answers.is_empty() => {
                    listed = Listed::read(&line.bytes);
                    Ok(())
                }
                other => deliver(other),
            })?;
            let next = match listed {
                Listed::Page { next } => next,
                Listed::HttpStatus(error) => return Err(error),
                Listed::Nothing => None,
            };
            list.get_or_insert_with(|| self.tools.list());
            if next.is_none() {
                return Ok(());
            }
            if next == cursor {
                break;
            }
            cursor = next;
        }
        self.tools.cut_off(list.unwrap_or_default());
        Ok(())
    }
}

/// What a `tools/list` of our own was answered with.
enum Listed {
    Nothing,
    /// Where it goes on, as JSON.
    Page {
        next: Option<String>,
    },
    HttpStatus(Error),
}

impl Listed {
    fn read(line: &[u8]) -> Listed {
        #[derive(serde::Deserialize)]
        struct Answer<'a> {
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
            let what = format!("error {} of the server: {}", body.code, body.message);
            return Listed::HttpStatus(Error::new(Kind::InvalidResponse, what));
        }
        match serde_json::from_str::<Answer<'_>>(&text) {
            Ok(Answer { result: Some(OnlyObject(Page { next_cursor })) }) => {
                let next = next_cursor.map(|next| next.get().to_owned());
                Listed::Page { next: next.filter(|next| next != "null") }
            }
            _ => Listed::Nothing,
        }
    }
}

/// What a call of 2026-07-28 says of its client, as JSON. Its progress token is not ours to use.
pub(crate) fn client_meta(call: &Message) -> Option<String> {
    call.request_meta()?;
    let call = Object::parse(str::from_utf8(call.body()).ok()?)?;
    let meta = Object::parse(Object::parse(call.get("params")?.get())?.get("_meta")?.get())?;
    let meta: Vec<String> = ["protocolVersion", "clientInfo", "clientCapabilities"]
        .iter()
        .filter_map(|name| {
            let name = format!("io.modelcontextprotocol/{name}");
            Some(format!("\"{name}\":{}", meta.get(name.as_str())?.get()))
        })
        .collect();
    Some(format!("{{{}}}", meta.join(",")))
}

/// A `tools/list` of our own, with what a client says of itself if it says anything.
fn list_tools(client: Option<&str>, cursor: Option<&str>) -> Message {
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
