//! `Queue`: the messages that wait, those in flight, and the choice of the next one to start.
//!
//! `initialize` and notifications are barriers: messages read after them start once they are done. Other requests run
//! concurrently, up to `--max-in-flight`. Detached messages are only counted here. Makes decisions only; the scheduler
//! has the threads and locks.

use crate::error::{Error, Kind};
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::scheduler::admission::{Admission, Tick};
use crate::scheduler::in_flight::{CallKind, InFlight};
use crate::scheduler::open_streams::{Excess, OpenStreams};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of messages that wait.
const MAX_WAITING: usize = 10_000;

/// Maximum total size of the messages that wait, as a multiple of the largest message.
const MAX_WAITING_MESSAGES_WORTH: usize = 2;

/// Maximum number of subscriptions (2026-07-28) that are open or wait.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Maximum interval between two checks of the deadlines of waiting requests.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Queue {
    max_in_flight: usize,
    max_waiting_bytes: usize,
    /// Requests and notifications in the order in which they were read.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Time of the next call of `take_overdue`.
    next_check: Option<Instant>,
    /// `initialize` or a notification is in flight; nothing starts.
    barrier: bool,
    /// Number of requests in flight without a response, subscriptions not counted.
    unanswered: usize,
    /// Number of calls without a response that wait for the client.
    awaiting_client: usize,
    /// Number of threads that have written the last line of their call and are about to take the next message.
    finishing: usize,
    /// Number of detached messages, and of lines for the client, that are not sent yet.
    detached: usize,
    /// Number of subscriptions that wait or are open.
    subscriptions: usize,
    open_streams: OpenStreams,
    admission: Admission,
    /// Calls by serial number, until the end of their exchange.
    calls: BTreeMap<u64, Arc<InFlight>>,
    next_serial: u64,
    /// The process is shutting down; nothing starts.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    /// Time by which it must have its response, started or not.
    deadline: Option<Instant>,
}

/// Action of a thread after the response of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Takes the next message immediately.
    NextMessage,
    /// Reads the rest of the call's stream.
    OpenStream,
    Nothing,
}

/// A message that may start.
#[derive(Debug)]
pub(crate) enum Runnable {
    Call(Arc<InFlight>, Message),
    Notification(Message),
}

impl Queue {
    pub(crate) fn new(max_in_flight: usize, max_message_bytes: usize) -> Queue {
        Queue {
            max_in_flight,
            max_waiting_bytes: max_message_bytes.saturating_mul(MAX_WAITING_MESSAGES_WORTH),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            next_check: None,
            barrier: false,
            unanswered: 0,
            awaiting_client: 0,
            finishing: 0,
            detached: 0,
            subscriptions: 0,
            open_streams: OpenStreams::default(),
            admission: Admission::default(),
            calls: BTreeMap::new(),
            next_serial: 0,
            closed: false,
        }
    }

    /// Checks whether one more message may wait.
    ///
    /// # Errors
    /// `TooMany`: too many messages or subscriptions wait already.
    pub(crate) fn check_room(&self, message: &Message) -> Result<(), Error> {
        if message.is_subscription() && self.subscriptions >= MAX_SUBSCRIPTIONS {
            let what = format!("{MAX_SUBSCRIPTIONS} subscriptions are already open");
            return Err(Error::new(Kind::TooMany, what).hint("cancel one that is no longer needed"));
        }
        let bytes = self.waiting_bytes.saturating_add(message.body().len());
        if self.waiting.len() < MAX_WAITING && bytes <= self.max_waiting_bytes {
            return Ok(());
        }
        let what = format!("{} messages are already queued", self.waiting.len());
        Err(Error::new(Kind::TooMany, what).hint("wait for responses, or raise --max-in-flight"))
    }

    /// Adds a message at the end. Notifications have no deadline.
    pub(crate) fn push(&mut self, message: Message, deadline: Option<Instant>) {
        self.waiting_bytes += message.body().len();
        self.subscriptions += usize::from(message.is_subscription());
        self.waiting.push_back(Waiting { message, deadline });
    }

    /// Time at which the caller must call `take_overdue` for the last message; `None` if a call is planned already or not needed.
    pub(crate) fn plan_check(&mut self, now: Instant) -> Option<Instant> {
        let deadline = self.waiting.back()?.deadline?;
        let due = deadline.min(now + MAX_CHECK_INTERVAL);
        if self.next_check.is_some_and(|planned| planned <= due) {
            return None;
        }
        self.next_check = Some(due);
        self.next_check
    }

    /// Records that the planned `take_overdue` is not called, for lack of a thread.
    pub(crate) fn check_failed(&mut self) {
        self.next_check = None;
    }

    /// Removes and returns the waiting requests whose deadline has passed, and the time of the next call.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> (Vec<Message>, Option<Instant>) {
        let mut overdue = Vec::new();
        let mut earliest = None;
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.deadline {
                Some(deadline) if deadline <= now => {
                    self.waiting_bytes -= waiting.message.body().len();
                    self.subscriptions -= usize::from(waiting.message.is_subscription());
                    overdue.push(waiting.message);
                    continue;
                }
                Some(deadline) => earliest = Some(earliest.map_or(deadline, |e| deadline.min(e))),
                None => {}
            }
            self.waiting.push_back(waiting);
        }
        self.next_check = earliest.map(|deadline| deadline.min(now + MAX_CHECK_INTERVAL));
        (overdue, self.next_check)
    }

    /// Whether `start_next` may have a message for another thread.
    pub(crate) fn needs_thread(&self) -> bool {
        self.waiting.len() > self.finishing && !self.is_full()
    }

    /// Whether a message may start, or messages are held back and no thread calls `tick`.
    pub(crate) fn needs_attention(&self) -> bool {
        self.needs_thread() || (self.is_holding_back() && !self.admission.has_clock())
    }

    /// Whether messages are held back and no thread calls `tick`. If so, the caller starts one, or calls `clock_failed`.
    pub(crate) fn claim_clock(&mut self) -> bool {
        let is_needed = self.is_holding_back() && !self.admission.has_clock();
        if is_needed {
            self.admission.start_clock();
        }
        is_needed
    }

    /// No thread calls `tick`; nothing is held back for some time.
    pub(crate) fn clock_failed(&mut self) {
        self.admission.clock_failed();
    }

    /// Decides after each tick of the clock whether messages are still held back.
    pub(crate) fn tick(&mut self, is_busy: bool) -> Tick {
        self.admission.tick(self.is_holding_back(), is_busy)
    }

    fn is_holding_back(&self) -> bool {
        let is_blocked = self.barrier || self.closed;
        self.waiting.len() > self.finishing && !is_blocked && self.is_full()
    }

    fn is_full(&self) -> bool {
        self.admission.is_full(self.unanswered + self.finishing)
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unanswered == 0 && self.finishing == 0 && self.detached == 0 && !self.barrier
    }

    /// Takes the first waiting message, if it may start now.
    pub(crate) fn start_next(&mut self) -> Option<Runnable> {
        let next = &self.waiting.front()?.message;
        let is_request = !next.ids().is_empty();
        let (is_initialize, is_subscription) = (next.is_initialize(), next.is_subscription());
        let is_uncounted = !is_request || is_initialize || is_subscription;
        // Streams beyond their limit also hold threads. When one ends, its thread takes the waiting messages.
        let is_free = self.unanswered < self.max_in_flight && self.open_streams.excess_count() == 0;
        let has_room = is_uncounted || (is_free && !self.is_full());
        if self.barrier || self.closed || !has_room {
            return None;
        }
        let Waiting { message, deadline } = self.take_waiting(0)?;
        self.barrier = !is_request || is_initialize;
        if !is_request {
            return Some(Runnable::Notification(message));
        }
        let call = Arc::new(InFlight::new(self.next_serial, &message, deadline));
        self.next_serial += 1;
        self.admission.call_started();
        self.unanswered += usize::from(!is_subscription);
        self.calls.insert(call.serial, Arc::clone(&call));
        Some(Runnable::Call(call, message))
    }

    /// Records that the call waits for the client, or no longer. Meanwhile it counts as unanswered, and not as in flight.
    pub(crate) fn set_awaits_client(&mut self, call: &InFlight, awaits: bool) {
        if call.is_completed()
            || call.kind == CallKind::Subscription
            || call.set_awaits_client(awaits) == awaits
        {
            return;
        }
        if awaits {
            self.awaiting_client += 1;
            self.unanswered -= 1;
        } else {
            self.awaiting_client -= 1;
            self.unanswered += 1;
        }
    }

    /// Records that the call has its response, or no longer needs one. Further calls have no effect.
    pub(crate) fn complete(&mut self, call: &Arc<InFlight>, after: After) {
        self.set_awaits_client(call, false);
        if !call.complete() {
            return;
        }
        if call.kind == CallKind::Subscription {
            self.subscriptions -= 1;
        } else {
            self.unanswered -= 1;
            self.admission.call_completed();
        }
        match after {
            After::NextMessage => {
                call.set_finishing(true);
                self.finishing += 1;
            }
            After::OpenStream => self.open_streams.add(call),
            After::Nothing => {}
        }
        if call.kind == CallKind::Initialize {
            self.barrier = false;
        }
    }

    /// Records the end of the call's exchange.
    pub(crate) fn end_call(&mut self, call: &Arc<InFlight>) {
        self.complete(call, After::Nothing);
        self.calls.remove(&call.serial);
        self.open_streams.remove(call);
        if call.set_finishing(false) {
            self.finishing -= 1;
        }
    }

    pub(crate) fn end_notification(&mut self) {
        self.barrier = false;
    }

    /// The open streams beyond their limit.
    pub(crate) fn excess_streams(&mut self, now: Instant) -> Excess {
        self.open_streams.excess(now)
    }

    /// The open streams beyond their limit, in a scheduled sweep.
    pub(crate) fn sweep_streams(&mut self, now: Instant) -> Excess {
        self.open_streams.sweep(now)
    }

    pub(crate) fn has_excess_streams(&self) -> bool {
        self.open_streams.excess_count() > 0
    }

    pub(crate) fn begin_detached(&mut self) {
        self.detached += 1;
    }

    pub(crate) fn end_detached(&mut self) {
        self.detached -= 1;
    }

    /// Removes a waiting request, alone or from its batch. False: no such request waits.
    pub(crate) fn remove_waiting(&mut self, id: &Id) -> bool {
        let has_id = |waiting: &Waiting| waiting.message.ids().contains(id);
        let Some(index) = self.waiting.iter().position(has_id) else { return false };
        let Some(Waiting { message: whole, deadline }) = self.take_waiting(index) else {
            return false;
        };
        self.subscriptions -= usize::from(whole.is_subscription());
        if let Some(message) = whole.without_request(id) {
            self.waiting_bytes += message.body().len();
            self.waiting.insert(index, Waiting { message, deadline });
        }
        true
    }

    /// The latest call with this id that has no response yet.
    pub(crate) fn in_flight(&self, id: &Id) -> Option<Arc<InFlight>> {
        let is_wanted = |call: &&Arc<InFlight>| !call.is_completed() && call.ids.contains(id);
        self.calls.values().rev().find(is_wanted).cloned()
    }

    /// Whether every request has its response, every message is sent, and no thread still logs what became of its call.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.detached == 0
            && !self.barrier
            && self.unanswered + self.awaiting_client + self.finishing == 0
    }

    /// Removes every `server/discover` that waits and returns those in flight that have no response yet.
    pub(crate) fn give_up_discovers(&mut self) -> Vec<Arc<InFlight>> {
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.message.is_discover()) {
            self.take_waiting(at);
        }
        let calls = self.calls.values();
        calls
            .filter(|call| call.kind == CallKind::Discover && !call.is_completed())
            .cloned()
            .collect()
    }

    /// Starts nothing from now on. Returns the waiting messages and the calls in flight.
    pub(crate) fn close(&mut self) -> (Vec<Message>, Vec<Arc<InFlight>>) {
        self.closed = true;
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        (waiting.map(|waiting| waiting.message).collect(), self.calls.values().cloned().collect())
    }

    fn take_waiting(&mut self, index: usize) -> Option<Waiting> {
        let waiting = self.waiting.remove(index)?;
        self.waiting_bytes -= waiting.message.body().len();
        Some(waiting)
    }
}

/// The error of a request whose deadline passed before it could start.
pub(crate) fn timed_out_in_queue() -> Error {
    Error::new(Kind::TimedOut, "the request timed out while it was queued after others")
        .hint("raise --timeout, --tool-timeout for tools/call, or --max-in-flight")
        .unsent()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::admission::QUICK_CALLS;

    const INITIALIZE: &str = r#"{"id":0,"method":"initialize"}"#;
    const INITIALIZED: &str = r#"{"method":"notifications/initialized"}"#;

    fn message(line: &str) -> Message {
        Message::parse(line.as_bytes().to_vec()).expect("a message")
    }

    fn ping(id: u32) -> String {
        format!(r#"{{"id":{id},"method":"ping"}}"#)
    }

    fn queue(max_in_flight: usize, lines: &[&str]) -> Queue {
        let mut queue = Queue::new(max_in_flight, 1000);
        for line in lines {
            queue.push(message(line), None);
        }
        queue
    }

    fn start_call(queue: &mut Queue) -> Arc<InFlight> {
        match queue.start_next() {
            Some(Runnable::Call(call, _)) => call,
            other => panic!("a call should start, not {other:?}"),
        }
    }

    #[test]
    fn no_message_overtakes_a_barrier() {
        let mut queue =
            queue(9, &[INITIALIZE, INITIALIZED, &ping(1), &ping(2), INITIALIZED, &ping(3)]);
        let initialize = start_call(&mut queue);
        assert!(queue.start_next().is_none(), "initialize holds up everything");
        queue.complete(&initialize, After::NextMessage);
        queue.end_call(&initialize);
        assert!(matches!(queue.start_next(), Some(Runnable::Notification(_))));
        assert!(queue.start_next().is_none(), "a notification holds up what follows");
        queue.end_notification();
        let (_one, _two) = (start_call(&mut queue), start_call(&mut queue));
        assert!(
            matches!(queue.start_next(), Some(Runnable::Notification(_))),
            "but waits for no request"
        );
        queue.end_notification();
        start_call(&mut queue);
    }

    #[test]
    fn a_discover_is_given_up_whether_it_waits_or_not() {
        let discover = |id: u32| format!(r#"{{"id":{id},"method":"server/discover"}}"#);
        let mut queue = queue(2, &[&discover(1), &ping(2), &discover(3)]);
        let first = start_call(&mut queue);
        start_call(&mut queue);
        let given_up = queue.give_up_discovers();
        assert!(matches!(&given_up[..], [call] if Arc::ptr_eq(call, &first)));
        queue.complete(&first, After::Nothing);
        assert!(queue.start_next().is_none() && queue.give_up_discovers().is_empty());
    }

    #[test]
    fn a_response_makes_room_and_the_end_of_its_stream_does_not_make_more() {
        let mut queue = queue(1, &[&ping(1), &ping(2), &ping(3)]);
        let one = start_call(&mut queue);
        assert!(queue.start_next().is_none());
        queue.complete(&one, After::OpenStream);
        let two = start_call(&mut queue);
        queue.end_call(&one);
        assert!(queue.start_next().is_none(), "two is still on its way");
        queue.end_call(&two);
        let three = start_call(&mut queue);
        queue.end_call(&three);
        assert!(queue.is_idle());
    }

    #[test]
    fn a_call_that_waits_for_the_client_makes_room() {
        let mut queue = queue(1, &[&ping(1), &ping(2)]);
        let one = start_call(&mut queue);
        queue.set_awaits_client(&one, true);
        let two = start_call(&mut queue);
        queue.end_call(&two);
        assert!(!queue.is_idle(), "one has no response");
        queue.set_awaits_client(&one, false);
        queue.set_awaits_client(&one, true);
        queue.end_call(&one);
        assert!(queue.is_idle());
    }

    #[test]
    fn a_finishing_thread_takes_the_next_message() {
        let mut queue = queue(2, &[&ping(1), &ping(2), &ping(3)]);
        let one = start_call(&mut queue);
        queue.complete(&one, After::NextMessage);
        assert!(queue.needs_thread(), "two wait, and one thread comes for one of them");
        start_call(&mut queue);
        assert!(!queue.needs_thread());
        queue.end_call(&one);
        assert!(queue.needs_thread());
    }

    #[test]
    fn more_than_a_few_wait_for_a_thread_that_is_done() {
        let pings: Vec<String> = (0..20).map(ping).collect();
        let mut queue = queue(64, &pings.iter().map(String::as_str).collect::<Vec<_>>());
        let mut calls = Vec::new();
        while queue.needs_thread() {
            calls.push(start_call(&mut queue));
        }
        assert_eq!(calls.len(), QUICK_CALLS);
        assert!(queue.claim_clock() && !queue.claim_clock(), "one is enough");
        queue.complete(&calls[0], After::NextMessage);
        queue.end_call(&calls[0]);
        calls.push(start_call(&mut queue));
        assert!(!queue.needs_thread());
        let ticks = (0..9).find(|_| queue.tick(false) == Tick::Start);
        assert_eq!(ticks, Some(2));
        while queue.needs_thread() {
            calls.push(start_call(&mut queue));
        }
        assert_eq!(calls.len(), 20);
    }

    #[test]
    fn a_waiting_request_that_is_cancelled_never_starts() {
        let mut queue = queue(1, &[&ping(1), &ping(2), &ping(3)]);
        let one = start_call(&mut queue);
        let two = message(&ping(2));
        let two = &two.ids()[0];
        assert!(queue.in_flight(two).is_none());
        assert!(queue.remove_waiting(two) && !queue.remove_waiting(two));
        assert!(queue.in_flight(&one.ids[0]).is_some());
        queue.end_call(&one);
        assert!(queue.in_flight(&one.ids[0]).is_none());
        assert_eq!(start_call(&mut queue).ids[0].as_json(), "3");
    }

    #[test]
    fn a_subscription_does_not_count_as_in_flight_and_can_be_cancelled() {
        let subscription = r#"{"id":9,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let mut queue = queue(1, &[subscription, &ping(1), &ping(2)]);
        let subscription = start_call(&mut queue);
        let one = start_call(&mut queue);
        assert!(queue.start_next().is_none(), "one is in flight");
        queue.end_call(&one);
        let two = start_call(&mut queue);
        queue.end_call(&two);
        assert!(queue.is_idle(), "an open subscription does not keep the process from ending");
        assert!(queue.in_flight(&subscription.ids[0]).is_some());
        queue.end_call(&subscription);
        assert!(queue.is_idle() && queue.in_flight(&subscription.ids[0]).is_none());
    }

    #[test]
    fn a_subscription_beyond_the_limit_is_refused_until_another_ends() {
        let subscription = |id: usize| {
            message(&format!(
                r#"{{"id":{id},"method":"subscriptions/listen","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
            ))
        };
        let mut queue = Queue::new(1, 100_000);
        for id in 0..MAX_SUBSCRIPTIONS {
            queue.check_room(&subscription(id)).expect("there is room");
            queue.push(subscription(id), None);
        }
        let first = start_call(&mut queue);
        queue.check_room(&subscription(99)).expect_err("that is one too many");
        queue.check_room(&message(&ping(1))).expect("other requests are not limited");
        queue.complete(&first, After::OpenStream);
        queue.check_room(&subscription(99)).expect("one is cancelled");
        queue.push(subscription(99), None);
        queue.end_call(&first);
        queue.check_room(&subscription(100)).expect_err("it counts once");
        assert!(!queue.remove_waiting(&first.ids[0]));
        assert!(queue.remove_waiting(&subscription(99).ids()[0]));
        queue.check_room(&subscription(100)).expect("one has never started");
    }

    #[test]
    fn streams_beyond_their_limit_hold_up_calls() {
        let pings: Vec<String> = (0..19).map(ping).collect();
        let mut queue = queue(64, &pings.iter().map(String::as_str).collect::<Vec<_>>());
        let calls: Vec<_> = (0..16)
            .map(|_| {
                let call = start_call(&mut queue);
                queue.complete(&call, After::OpenStream);
                call
            })
            .collect();
        let last = start_call(&mut queue);
        queue.complete(&last, After::OpenStream);
        assert!(queue.waiting.len() > 1);
        assert!(queue.has_excess_streams() && queue.start_next().is_none());
        queue.end_call(&calls[0]);
        start_call(&mut queue);
    }

    #[test]
    fn waiting_messages_are_bounded_in_size() {
        let mut queue = Queue::new(1, 60);
        let large = format!(r#"{{"id":1,"method":"{}"}}"#, "x".repeat(70));
        queue.push(message(&large), None);
        let large = message(&large);
        queue.check_room(&large).expect_err("two do not fit");
        start_call(&mut queue);
        queue.check_room(&large).expect("there is room again");
    }

    #[test]
    fn a_request_whose_deadline_passes_in_the_queue_is_removed() {
        let mut queue = queue(1, &[&ping(1), INITIALIZED]);
        let now = Instant::now();
        let (soon, far_off) = (now + Duration::from_millis(500), now + Duration::from_secs(60));
        let one = start_call(&mut queue);
        assert_eq!(queue.plan_check(now), None, "a notification has no deadline");
        queue.push(message(&ping(2)), Some(far_off));
        assert_eq!(queue.plan_check(now), Some(now + MAX_CHECK_INTERVAL));
        queue.push(message(&ping(3)), Some(soon));
        assert_eq!(queue.plan_check(now), Some(soon), "earlier than planned");
        queue.push(message(&ping(4)), Some(far_off));
        assert_eq!(queue.plan_check(now), None, "it is planned already");
        let (overdue, again) = queue.take_overdue(soon);
        assert_eq!(overdue.iter().map(|m| m.ids()[0].as_json()).collect::<Vec<_>>(), ["3"]);
        assert_eq!(again, Some(soon + MAX_CHECK_INTERVAL));
        queue.end_call(&one);
        assert!(matches!(queue.start_next(), Some(Runnable::Notification(_))));
        queue.end_notification();
        let two = start_call(&mut queue);
        assert_eq!((two.ids[0].as_json(), two.deadline), ("2", Some(far_off)));
        let (overdue, again) = queue.take_overdue(far_off);
        assert_eq!((overdue.len(), again), (1, None));
        queue.end_call(&two);
        assert!(queue.is_idle() && queue.waiting_bytes == 0);
    }

    #[test]
    fn a_closed_queue_starts_nothing() {
        let mut queue = queue(2, &[&ping(1), &ping(2)]);
        start_call(&mut queue);
        let (waiting, calls) = queue.close();
        assert_eq!((waiting.len(), calls.len()), (1, 1));
        queue.push(message(&ping(3)), None);
        assert!(queue.start_next().is_none());
    }
}
