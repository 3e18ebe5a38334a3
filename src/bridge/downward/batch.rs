//! Batches of a legacy client (2025-03-26): a modern server has none, so each message goes alone.

use crate::error::{Error, Kind};
use crate::log::Log;
use crate::mcp::error_response::error_line;
use crate::mcp::id::Id;
use crate::mcp::message::{Message, split_batch};
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::lock;
use crate::sync::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// Maximum number of requests of a batch that are sent at once.
const MAX_CONCURRENT: usize = 16;

/// The requests of batches that have no response yet.
#[derive(Debug, Default)]
pub(crate) struct BatchedRequests(Mutex<Vec<(Id, Arc<Cancel>)>>);

/// A request that can be cancelled until this is dropped.
pub(crate) struct Listed<'a>(&'a BatchedRequests, &'a Arc<Cancel>);

impl BatchedRequests {
    pub(crate) fn list<'a>(&'a self, message: &Message, cancel: &'a Arc<Cancel>) -> Listed<'a> {
        let ids = message.ids().iter();
        lock(&self.0).extend(ids.map(|id| (id.clone(), Arc::clone(cancel))));
        Listed(self, cancel)
    }

    pub(crate) fn cancel(&self, id: &Id) {
        let found = lock(&self.0).iter().find(|(known, _)| known == id).cloned();
        if let Some((_, cancel)) = found {
            cancel.cancel();
        }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).retain(|(_, cancel)| !Arc::ptr_eq(cancel, self.1));
    }
}

/// Sends each message of the batch by `send`, requests concurrently, and relays their responses as one array after
/// the last has arrived. Everything else is relayed at once.
pub(crate) fn exchange_batch(
    batch: &Message,
    log: &Log,
    cancel: &Cancel,
    send: impl Fn(&Message, &mut Sink<'_>) -> Result<(), Error> + Sync,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let messages = split_batch(batch.body()).unwrap_or_default().into_iter();
    let messages = messages.filter_map(|text| Message::parse(text.as_bytes().to_vec()).ok());
    let (requests, others): (Vec<Message>, Vec<Message>) =
        messages.partition(|message| !message.ids().is_empty());
    for message in others {
        send(&message, sink)?;
    }
    let mut responses: Vec<Option<Vec<u8>>> = requests.iter().map(|_| None).collect();
    for (chunk, responses) in
        requests.chunks(MAX_CONCURRENT).zip(responses.chunks_mut(MAX_CONCURRENT))
    {
        let (sender, relayed) = channel();
        thread::scope(|scope| {
            for (index, request) in chunk.iter().enumerate() {
                let (sender, send) = (sender.clone(), &send);
                let run = move || send_one(index, request, send, &sender, log);
                let spawned = thread::Builder::new().name("batch".to_owned());
                // Without a thread the request has no response, and the batch fails.
                let _ = spawned.spawn_scoped(scope, run);
            }
            drop(sender);
            relayed.into_iter().try_for_each(|(index, relayed)| match relayed {
                Relayed::Line(line) if line.is_response() => {
                    responses[index] = Some(line.bytes);
                    Ok(())
                }
                // A batch keeps its place: its other requests continue.
                Relayed::AwaitsClient(_) => Ok(()),
                other => sink(other),
            })
        })?;
    }
    let is_cut_short = cancel.is_cancelled() && responses.iter().any(Option::is_none);
    let answers = (0..responses.len()).filter(|index| responses[*index].is_some()).collect();
    let lines: Vec<Vec<u8>> = responses.into_iter().flatten().collect();
    if lines.is_empty() || is_cut_short {
        return if is_cut_short { Err(cancelled()) } else { Ok(()) };
    }
    let bytes = [b"[".to_vec(), lines.join(&b","[..]), b"]".to_vec()].concat();
    let is_last = true;
    sink(Relayed::Line(Line { is_last, ..Line::responses(bytes, answers) }))
}

fn send_one(
    index: usize,
    request: &Message,
    send: impl Fn(&Message, &mut Sink<'_>) -> Result<(), Error>,
    sender: &Sender<(usize, Relayed)>,
    log: &Log,
) {
    let relay = |relayed| {
        // The receiver is gone when the client is.
        let _ = sender.send((index, relayed));
    };
    let result = send(request, &mut |relayed| {
        relay(relayed);
        Ok(())
    });
    // A cancelled request has no response.
    if let Err(error) = result
        && error.kind() != Kind::Cancelled
    {
        let line = error_line(&request.ids()[0], &error, log.redactor());
        relay(Relayed::Line(Line::response(line.into_bytes(), 0, true)));
    }
}
