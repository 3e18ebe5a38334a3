//! Lists fetched whole (`--merge-lists`): the pages of a list are requested one after another and relayed as one response.

use crate::error::{Error, Kind};
use crate::mcp::list_pages::{PagedList, request_for_page};
use crate::mcp::server_message::ErrorBody;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry_loop::{attempt_now, attempt_until_done};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of pages of a list.
const MAX_PAGES: usize = 1000;

/// Time after which no further page is requested.
const MERGING_TIME: Duration = Duration::from_secs(60);

const TURN_OFF: &str = "report this to the server's operator, or omit --merge-lists";

/// Relays the whole list that `request` begins, whose items are in this member of the result. Where a bound is reached, the
/// list so far and the cursor with which the client may continue.
pub(crate) fn relay_whole_list(
    server: &Arc<RemoteServer>,
    request: &PreparedMessage<'_>,
    items: &'static str,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let started = Instant::now();
    let Some(mut list) = first_page(server, request, items, sink)? else { return Ok(()) };
    let mut cursors = HashSet::new();
    let ended_by = loop {
        let Some(cursor) = list.next().map(str::to_owned) else { break None };
        if list.pages() >= MAX_PAGES {
            break Some("more are not merged");
        }
        if started.elapsed() >= MERGING_TIME {
            break Some("the time limit passed");
        }
        if !cursors.insert(cursor.clone()) {
            list.end();
            break Some("the server returned the same page twice");
        }
        let response = match further_page(server, request, &cursor, sink)? {
            Ok(response) => response,
            Err(error) => {
                let line = error.with_id(&request.message.ids()[0]);
                return sink(Relayed::Line(Line::response(line.into_bytes(), 0, true)));
            }
        };
        match list.add(&response, server.max_message_bytes) {
            Some(true) => {}
            Some(false) => break Some("it is larger than --max-message-bytes"),
            None => {
                let what = format!("page {} of the list has no {items}", list.pages() + 1);
                return Err(Error::new(Kind::InvalidResponse, what).hint(TURN_OFF));
            }
        }
    };
    if let Some(why) = ended_by {
        let (method, pages) = (request.message.method().unwrap_or_default(), list.pages());
        server.log.warn(format_args!("{method} ends after {pages} pages: {why}"));
    }
    sink(Relayed::Line(Line::response(list.into_response().into_bytes(), 0, true)))
}

/// Requests the first page, and relays it if no page follows: then `None`.
fn first_page(
    server: &Arc<RemoteServer>,
    request: &PreparedMessage<'_>,
    items: &'static str,
    sink: &mut Sink<'_>,
) -> Result<Option<PagedList>, Error> {
    let mut list = None;
    send(server, request, &mut |relayed| match relayed {
        Relayed::Line(line) if line.is_response() => {
            match PagedList::begin(text_of(&line), items) {
                Ok(begun) => {
                    list = Some(begun);
                    Ok(())
                }
                Err(text) => sink(Relayed::Line(Line { bytes: text.into_bytes(), ..line })),
            }
        }
        relayed => sink(relayed),
    })?;
    Ok(list)
}

/// Requests the page with this cursor: its response, or the server's error.
fn further_page(
    server: &Arc<RemoteServer>,
    first: &PreparedMessage<'_>,
    cursor: &str,
    sink: &mut Sink<'_>,
) -> Result<Result<String, ErrorBody>, Error> {
    let Some(message) = request_for_page(first.message, cursor) else {
        let what = "the server's cursor cannot be sent back";
        return Err(Error::new(Kind::InvalidResponse, what).hint(TURN_OFF));
    };
    let mut response = None;
    let page =
        PreparedMessage::new(server, &message, first.deadline, first.cancel).into_page_of_list();
    send(server, &page, &mut |relayed| match relayed {
        Relayed::Line(line) if line.is_response() => {
            response = Some(text_of(&line));
            Ok(())
        }
        relayed => sink(relayed),
    })?;
    // `send` has failed if there was none.
    let response = response.unwrap_or_default();
    Ok(ErrorBody::parse(&response).map_or(Ok(response), Err))
}

fn send<'s>(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    sink: &mut Sink<'s>,
) -> Result<(), Error> {
    let attempt = |sink: &mut Sink<'s>| attempt_now(server, message, || Ok(()), &|_| (), sink);
    attempt_until_done(server, message, sink, attempt, |_, _| false)
}

fn text_of(line: &Line) -> String {
    String::from_utf8_lossy(&line.bytes).into_owned()
}
