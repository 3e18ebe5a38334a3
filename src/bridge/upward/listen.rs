//! `subscriptions/listen` with an older server: subscriptions of its one session, and the client's subscriptions to them.

use crate::bridge::upward::request::ModernRequest;
use crate::bridge::upward::session::LegacySession;
use crate::bridge::upward::subscriptions::{Filter, MAX_URIS};
use crate::error::{Error, Kind};
use crate::http::event_stream::{EventFields, KEEP_ALIVE};
use crate::streamable_http::relayed::{Line, Relayed, Sink};
use crate::sync::cancel::Cancel;
use crate::sync::monitor::WaitError;
use crate::sync::spawn;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit of a subscription to a resource.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The server's subscriptions, while this thread alone changes them.
struct Changing<'a>(&'a Arc<LegacySession>);

impl<'a> Changing<'a> {
    fn begin(session: &'a Arc<LegacySession>, cancel: &Cancel) -> Result<Changing<'a>, Error> {
        session
            .subscriptions
            .wait(None, cancel, |known| (!known.is_changing).then(|| known.is_changing = true))
            .map_err(WaitError::into_error)?;
        Ok(Changing(session))
    }

    /// Sends `resources/subscribe` or `resources/unsubscribe`.
    fn send(&self, method: &str, uri: &str, cancel: &Cancel) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(SUBSCRIBE_TIMEOUT);
        self.0.request(method, &json!({ "uri": uri }).to_string(), deadline, cancel)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.subscriptions.update(|known| known.is_changing = false);
    }
}

/// Acknowledges what the server announces, and relays it until the client cancels the subscription or it ends.
pub(crate) fn run(
    session: &Arc<LegacySession>,
    request: &ModernRequest<'_>,
    is_over_http: bool,
    deadline: Option<Instant>,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    session.begin(request, deadline, cancel)?;
    session.await_stream(cancel);
    let asked = request.param("notifications").map_or("{}", |filter| filter.get());
    let filter = if session.hears_server() {
        Filter::read(asked).offered_by(&session.server())
    } else {
        Filter::default()
    };
    let changing = Changing::begin(session, cancel)?;
    let (key, new) = session.subscriptions.update(|known| {
        let new = known.unknown(filter.uris());
        if known.uris().len() + new.len() > MAX_URIS {
            let what = format!("{MAX_URIS} resource subscriptions exist already");
            return Err(Error::new(Kind::TooMany, what).hint("cancel a subscription first"));
        }
        Ok((known.add(request.id, filter), new))
    })?;
    let result = listen(session, key, (changing, &new), request, is_over_http, cancel, sink);
    let unknown = session.subscriptions.update(|known| known.remove(key));
    // The end of the session ends its subscriptions, silently at the end of the process.
    if session.closing.is_cancelled() {
        return result.or_else(|error| match error.kind() {
            Kind::Cancelled => Ok(()),
            _ => Err(error),
        });
    }
    if !unknown.is_empty()
        && let Ok(changing) = Changing::begin(session, &session.closing)
    {
        let unknown = session.subscriptions.lock().unknown(&unknown);
        for uri in unknown {
            let _ = changing.send("resources/unsubscribe", &uri, &session.closing);
        }
    }
    result
}

fn listen(
    session: &Arc<LegacySession>,
    key: u64,
    (changing, new): (Changing<'_>, &[String]),
    request: &ModernRequest<'_>,
    is_over_http: bool,
    cancel: &Cancel,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    for uri in new {
        if let Err(error) = changing.send("resources/subscribe", uri, cancel) {
            if cancel.is_cancelled() {
                return Err(error);
            }
            session.log.debug(format_args!("cannot subscribe to a resource: {error}"));
            session.subscriptions.update(|known| known.leave_out(key, uri));
        }
    }
    drop(changing);
    let acknowledgement = session.subscriptions.lock().acknowledgement(key, request.id);
    let line = |text: String| Relayed::Line(Line::notification(text.into_bytes()));
    sink(line(acknowledgement))?;
    loop {
        let limit = Instant::now().checked_add(KEEP_ALIVE).filter(|_| is_over_http);
        let next = session.subscriptions.wait(limit, cancel, |known| known.next(key));
        sink(match next {
            Ok(next) => line(next?),
            Err(WaitError::TimedOut) => {
                let comment = EventFields { is_commented: true, ..EventFields::default() };
                Relayed::Event(Box::new(comment), Vec::new())
            }
            Err(error) => return Err(error.into_error()),
        })?;
    }
}

/// In a new session: subscribes to everything that is listened for, and notifies that all of it may have changed. On a thread of
/// its own, because the session is not in use before this returns.
pub(crate) fn subscribe_again(session: &Arc<LegacySession>) {
    if session.subscriptions.lock().is_empty() {
        return;
    }
    let subscriber = Arc::clone(session);
    let subscribe = move || {
        let session = &subscriber;
        let Ok(changing) = Changing::begin(session, &session.closing) else { return };
        let uris = session.subscriptions.lock().uris();
        let is_refused =
            |uri: &String| changing.send("resources/subscribe", uri, &session.closing).is_err();
        let refused: Vec<String> = uris.into_iter().filter(is_refused).collect();
        let what = "the server started a new session and refused the subscription in it";
        let error = Error::new(Kind::InvalidResponse, what);
        session.subscriptions.update(|known| {
            known.notify_all();
            known.end(Some(&refused), &error);
        });
    };
    if spawn("subscribe-again", subscribe).is_err() {
        end_all(session, "out of threads");
    }
}

/// Ends all subscriptions: the server has no session any more.
pub(crate) fn end_all(session: &LegacySession, why: &str) {
    let error = Error::new(Kind::InvalidResponse, format!("the subscription has ended: {why}"));
    session.subscriptions.update(|known| known.end(None, &error));
}
