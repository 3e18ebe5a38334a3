//! The stream of the server's own notifications (`subscriptions/listen`), in place of the legacy GET stream and of
//! `resources/subscribe`. At most one is in use.
//!
//! A changed filter opens the new stream first, and closes the old one when the new one is acknowledged, so that no event
//! falls between the two. A stream that ended is opened again; the client is then notified that everything may have changed.
//! If a filter with several new resources is refused, they are added one by one, since the refusal may be of any of them.

use crate::bridge::downward::handshake::Offers;
use crate::bridge::downward::response::notification_to_legacy;
use crate::error::{Error, Kind};
use crate::json::members::Members;
use crate::json::object::Object;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::streamable_http::Exchanger;
use crate::streamable_http::relayed::{Line, Relayed};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::{Monitor, WaitError};
use crate::sync::spawn;
use serde_json::Value;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of resources that are subscribed to.
const MAX_RESOURCES: usize = 1024;

/// Time that the server gets to acknowledge a subscription.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Backoff before a stream that ended is opened again: the first wait, doubled up to the last.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Maximum number of streams in a row that end before `SHORT_LIFE` and bring nothing.
const MAX_FRUITLESS: u32 = 5;
const SHORT_LIFE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct ListenStream {
    state: Arc<Monitor<State>>,
    log: Log,
}

#[derive(Default)]
struct State {
    source: Option<Source>,
    /// The resources that the client subscribed to, each with the number of the first filter that it is in.
    resources: Vec<(u64, String)>,
    /// The number of the wanted filter, and of the last one with a response of the server, with the resources in it.
    wanted: u64,
    answered: u64,
    honored: Vec<String>,
    /// The number of the last refused filter with several new resources.
    doubted: u64,
    /// A thread opens a stream.
    is_opening: bool,
    /// The stream in use.
    current: Option<Arc<Cancel>>,
    /// A stream that is not acknowledged yet.
    opening: Option<Arc<Cancel>>,
    /// The wait before a stream is opened again.
    pause: Option<Arc<Cancel>>,
    /// A stream ended, so events may be lost.
    may_have_missed: bool,
    is_closed: bool,
}

/// The source of the stream, and the notifications in it.
#[derive(Clone)]
struct Source {
    exchanger: Arc<Exchanger>,
    offers: Offers,
    /// Members of `_meta`.
    envelope: Arc<str>,
}

/// A filter and its number.
struct Filter {
    number: u64,
    lists: Vec<&'static str>,
    resources: Vec<String>,
}

impl Filter {
    /// JSON.
    fn text(&self) -> String {
        let lists = self.lists.iter().map(|list| format!("\"{list}ListChanged\":true"));
        let resources = (!self.resources.is_empty())
            .then(|| format!("\"resourceSubscriptions\":{}", Value::from(self.resources.clone())));
        format!("{{{}}}", lists.chain(resources).collect::<Vec<_>>().join(","))
    }

    fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.resources.is_empty()
    }
}

impl ListenStream {
    pub(crate) fn new(log: Log) -> ListenStream {
        ListenStream { state: Monitor::new(State::default()), log }
    }

    /// Starts over with this server: ends the stream and forgets all subscriptions.
    pub(crate) fn begin(&self, exchanger: &Arc<Exchanger>, offers: Offers, envelope: &str) {
        let source = Source { exchanger: Arc::clone(exchanger), offers, envelope: envelope.into() };
        self.state.update(|state| {
            state.source = Some(source);
            state.resources.clear();
            state.cancel();
        });
    }

    /// Opens a stream for the lists that the server announces.
    pub(crate) fn open(&self) {
        self.state.update(|state| self.change(state));
    }

    /// Ends the stream, and every wait for it.
    pub(crate) fn close(&self) {
        self.state.update(|state| {
            state.is_closed = true;
            state.cancel();
        });
    }

    /// Forgets the server: another era is spoken from now on.
    pub(crate) fn end(&self) {
        self.state.update(|state| {
            state.source = None;
            state.resources.clear();
            state.cancel();
        });
    }

    /// Subscribes to a resource. Returns whether the server acknowledged it.
    ///
    /// # Errors
    /// `TooMany`: there are too many already. `Cancelled`: so was the request.
    pub(crate) fn subscribe(
        &self,
        uri: &str,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<bool, Error> {
        let number = self.state.update(|state| {
            if let Some((number, _)) = state.resources.iter().find(|(_, known)| known == uri) {
                return Ok(*number);
            }
            if state.resources.len() == MAX_RESOURCES {
                let what = format!("{MAX_RESOURCES} resource subscriptions exist already");
                return Err(Error::new(Kind::TooMany, what).hint("unsubscribe from one"));
            }
            self.change(state);
            state.resources.push((state.wanted, uri.to_owned()));
            Ok(state.wanted)
        })?;
        let is_honored = self.wait_for(number, deadline, cancel, |state| {
            state.honored.iter().any(|known| known == uri)
        });
        if !matches!(is_honored, Ok(true)) {
            // The stream may stay: it does not have the resource, or its events do no harm.
            self.state.update(|state| state.resources.retain(|(known, _)| *known != number));
        }
        is_honored
    }

    /// Ends the subscription to a resource, once the server acknowledged that or the time for it is over.
    pub(crate) fn unsubscribe(
        &self,
        uri: &str,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let number = self.state.update(|state| {
            let before = state.resources.len();
            state.resources.retain(|(_, known)| known != uri);
            if state.resources.len() < before {
                self.change(state);
            }
            state.wanted
        });
        self.wait_for(number, deadline, cancel, |_| true).map(|_| ())
    }

    /// Waits for the server's response to the filter of this number, and reads it. False: it did not come in time.
    fn wait_for(
        &self,
        number: u64,
        deadline: Option<Instant>,
        cancel: &Cancel,
        read: impl Fn(&State) -> bool,
    ) -> Result<bool, Error> {
        let limit = Instant::now().checked_add(ACKNOWLEDGE_TIMEOUT);
        let deadline = [deadline, limit].into_iter().flatten().min();
        let found = self.state.wait(deadline, cancel, |state| {
            (state.answered >= number || state.is_closed).then(|| read(state))
        });
        match found {
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Cancelled) => Err(cancelled()),
            Ok(found) => Ok(found),
        }
    }

    /// Opens a stream for the filter that is wanted now, unless a thread is about to.
    fn change(&self, state: &mut State) {
        state.wanted += 1;
        if !state.is_opening {
            state.is_opening = true;
            self.spawn(state);
        } else if let Some(pause) = &state.pause {
            pause.cancel();
        }
    }

    fn spawn(&self, state: &mut State) {
        let stream = self.clone();
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| stream.run())).is_err() {
                stream.log.error("a bug in sigv4-proxy ended the notification stream");
                stream.state.update(|state| state.is_opening = false);
            }
        };
        if spawn("listen", run).is_err() {
            state.is_opening = false;
            state.answered = state.wanted;
        }
    }

    /// Keeps one stream after another open, until it is superseded, refused or abandoned.
    fn run(&self) {
        let mut backoff = FIRST_BACKOFF;
        let mut fruitless = 0;
        loop {
            let Some((source, filter, cancel)) = self.next() else { return };
            let started = Instant::now();
            let held = self.hold(&source, &filter, &cancel);
            let pause = Cancel::new();
            let is_over = self.state.update(|state| {
                let is_mine = |one: &Option<Arc<Cancel>>| {
                    one.as_ref().is_some_and(|one| Arc::ptr_eq(one, &cancel))
                };
                let was_current = is_mine(&state.current);
                if was_current {
                    state.current = None;
                }
                if is_mine(&state.opening) {
                    state.opening = None;
                }
                if cancel.is_cancelled() {
                    // Superseded, or closed. The opening continues elsewhere.
                    return true;
                }
                if held.end == End::Refused {
                    state.refuse(filter.number);
                    state.is_opening = state.wanted > state.answered;
                    return !state.is_opening;
                }
                state.may_have_missed |= was_current;
                // Another thread opens the next one already.
                if was_current && state.is_opening {
                    return true;
                }
                state.is_opening = true;
                state.pause = Some(Arc::clone(&pause));
                false
            });
            if is_over {
                if held.end == End::Refused {
                    self.log.info("the server refuses notification streams: the next attempt is made when the client subscribes to something else");
                }
                return;
            }
            if held.end == End::Refused {
                continue;
            }
            if held.brought_event || started.elapsed() >= SHORT_LIFE {
                (backoff, fruitless) = (FIRST_BACKOFF, 0);
            } else if held.end == End::Ended {
                fruitless += 1;
            }
            if fruitless == MAX_FRUITLESS {
                self.log.info("the server closes every notification stream: no further attempts");
                self.state.update(|state| {
                    if state.end_pause(&pause) {
                        state.is_opening = false;
                        state.answered = state.wanted;
                    }
                });
                return;
            }
            pause.sleep(backoff);
            if !self.state.update(|state| state.end_pause(&pause)) {
                return;
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// The filter to open a stream for; `None` if none is needed.
    fn next(&self) -> Option<(Source, Filter, Arc<Cancel>)> {
        self.state.update(|state| {
            let source = state.source.clone().filter(|_| !state.is_closed);
            let next = source.map(|source| {
                let filter = state.filter(&source);
                (source, filter, Cancel::new())
            });
            match next {
                Some((source, filter, cancel)) if !filter.is_empty() => {
                    state.opening = Some(Arc::clone(&cancel));
                    Some((source, filter, cancel))
                }
                _ => {
                    state.answered = state.wanted;
                    state.honored.clear();
                    state.is_opening = false;
                    if let Some(current) = state.current.take() {
                        current.cancel();
                    }
                    None
                }
            }
        })
    }

    /// Holds one stream open.
    fn hold(&self, source: &Source, filter: &Filter, cancel: &Arc<Cancel>) -> Held {
        let mut held = Held::default();
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":"sigv4-proxy-listen-{}","method":"subscriptions/listen","params":{{"_meta":{{{}}},"notifications":{}}}}}"#,
            filter.number,
            source.envelope,
            filter.text()
        );
        let Ok(request) = Message::parse(request.into_bytes()) else { return held };
        let exchanger = &source.exchanger;
        let result = exchanger.exchange(&request, None, cancel, &mut |relayed| {
            let Relayed::Line(line) = relayed else { return Ok(()) };
            if line.is_response() {
                let is_error = Members::parse(&line.bytes).is_ok_and(|all| all.error.is_some());
                if is_error && !held.was_acknowledged {
                    held.end = End::Refused;
                }
                return Ok(());
            }
            if let Some(honored) = acknowledged(&line.bytes) {
                held.was_acknowledged = true;
                if self.acknowledge(filter, honored, cancel) {
                    announce_changes(exchanger, filter)?;
                }
                return Ok(());
            }
            held.brought_event = true;
            let text = str::from_utf8(&line.bytes).ok().and_then(notification_to_legacy);
            let bytes = text.map_or(line.bytes, String::into_bytes);
            if cancel.is_cancelled() {
                return Err(cancelled());
            }
            exchanger.relay_for_session(Relayed::Line(Line::notification(bytes)))
        });
        if let Err(error) = result {
            match error.kind() {
                _ if held.was_acknowledged => {}
                Kind::InvalidResponse => {}
                Kind::HttpStatus(401 | 403 | 408 | 429 | 500..) => held.end = End::Outage,
                Kind::HttpStatus(_) => held.end = End::Refused,
                _ => held.end = End::Outage,
            }
            self.log.debug(format_args!("notification stream: {error}"));
        }
        held
    }

    /// The server has acknowledged a stream: it is the one in use now. True: events may be lost.
    fn acknowledge(&self, filter: &Filter, honored: Vec<String>, cancel: &Arc<Cancel>) -> bool {
        self.state.update(|state| {
            if cancel.is_cancelled() {
                return false;
            }
            state.answered = filter.number;
            state.honored = honored;
            state.opening = None;
            if let Some(old) = state.current.replace(Arc::clone(cancel)) {
                old.cancel();
            }
            state.is_opening = state.wanted > filter.number;
            if state.is_opening {
                self.spawn(state);
            }
            std::mem::take(&mut state.may_have_missed)
        })
    }
}

/// How a stream was.
#[derive(Default)]
struct Held {
    was_acknowledged: bool,
    brought_event: bool,
    end: End,
}

/// Why a stream ended.
#[derive(Default, PartialEq, Eq)]
enum End {
    #[default]
    Ended,
    /// The server does not want it.
    Refused,
    /// The server could not be reached.
    Outage,
}

impl State {
    fn filter(&self, source: &Source) -> Filter {
        let Offers { tools_list_changed, prompts_list_changed, resources_list_changed, .. } =
            source.offers;
        let lists = [
            ("tools", tools_list_changed),
            ("prompts", prompts_list_changed),
            ("resources", resources_list_changed),
        ];
        let lists = lists.into_iter().filter(|(_, is_offered)| *is_offered);
        let number = self.new_resources(self.doubted).next().unwrap_or(self.wanted);
        let resources = self.resources.iter().filter(|(first, _)| *first <= number);
        Filter {
            number,
            lists: lists.map(|(list, _)| list).collect(),
            resources: resources.map(|(_, uri)| uri.clone()).collect(),
        }
    }

    /// The numbers of the resources in the filter of this number about which the server has not responded.
    fn new_resources(&self, number: u64) -> impl Iterator<Item = u64> {
        let numbers = self.resources.iter().map(|(first, _)| *first);
        numbers.filter(move |first| (self.answered + 1..=number).contains(first))
    }

    /// The server refuses the filter of this number.
    fn refuse(&mut self, number: u64) {
        if self.new_resources(number).count() > 1 {
            self.doubted = number;
            return;
        }
        let answered = self.answered;
        self.resources.retain(|(first, _)| *first <= answered || *first > number);
        self.answered = answered.max(number);
    }

    /// Ends this wait before a stream is opened. False: the wait was cancelled, and with it the opening.
    fn end_pause(&mut self, pause: &Arc<Cancel>) -> bool {
        self.pause.take_if(|current| Arc::ptr_eq(current, pause)).is_some()
    }

    fn cancel(&mut self) {
        let waits = [self.current.take(), self.opening.take(), self.pause.take()];
        for stream in waits.into_iter().flatten() {
            stream.cancel();
        }
        self.is_opening = false;
        self.may_have_missed = false;
        self.answered = self.wanted;
        self.honored.clear();
    }
}

/// The resources that the server acknowledges; `None` if this is another message.
fn acknowledged(message: &[u8]) -> Option<Vec<String>> {
    let text = str::from_utf8(message).ok()?;
    let members = Members::parse(message).ok()?;
    if members.method.as_deref() != Some("notifications/subscriptions/acknowledged") {
        return None;
    }
    let resources = || {
        let params = Object::parse(text)?.get("params")?;
        let filter = Object::parse(params.get())?.get("notifications")?;
        let resources = Object::parse(filter.get())?.get("resourceSubscriptions")?;
        serde_json::from_str(resources.get()).ok()
    };
    Some(resources().unwrap_or_default())
}

/// Notifies the client that everything in the filter may have changed.
fn announce_changes(exchanger: &Exchanger, filter: &Filter) -> Result<(), Error> {
    let lists = filter
        .lists
        .iter()
        .map(|list| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#));
    let resources = filter.resources.iter().map(|uri| {
        let uri = Value::from(uri.as_str());
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
        )
    });
    lists.chain(resources).try_for_each(|line| {
        exchanger.relay_for_session(Relayed::Line(Line::notification(line.into_bytes())))
    })
}

impl fmt::Debug for ListenStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ListenStream")
    }
}
