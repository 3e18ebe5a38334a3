//! `Queue`: what waits for what. Values and decisions only; threads and locks are the proxy's.
//!
//! `initialize` and notifications are barriers: what was read after them starts when they are answered.
//! Requests run side by side, up to a number. What never waits is only counted.

use crate::error::{Error, Kind};
use crate::mcp::message::{Id, Message};
use crate::scheduler::admission::{Admission, Tick};
use crate::sync::cancel::Cancel;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many messages may wait.
const MAX_WAITING: usize = 10_000;

/// Maximum number of subscriptions (2026-07-28) that are open or wait.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Maximum number of streams that stay open although their calls need nothing more of them. Beyond it the oldest are closed.
const MAX_OPEN_STREAMS: usize = 16;

/// Most servers end a stream right after the response. One that is younger than this may be about to end by itself.
pub(crate) const STREAM_END_DELAY: Duration = Duration::from_millis(10);

/// What waits is looked through so often at least, so that nothing has to be called off once it no longer waits.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// And they may be as large as so many of the largest messages.
const MAX_WAITING_MESSAGES_WORTH: usize = 2;

#[derive(Debug)]
pub(crate) struct Queue {
    max_in_flight: usize,
    max_waiting_bytes: usize,
    /// Requests and notifications in the order in which they were read.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// When `take_overdue` will be asked.
    next_look: Option<Instant>,
    /// `initialize` or a notification is on its way; nothing is started.
    barrier: bool,
    /// Requests on their way and not yet answered.
    unanswered: usize,
    /// Threads that have written the last line of their call and take the next message in a moment.
    finishing: usize,
    /// Messages on their way that wait for nothing and hold up nothing.
    aside: usize,
    /// Subscriptions that wait or are open.
    subscriptions: usize,
    /// Calls that need nothing more, and since when, the oldest first. Their streams are open, or about to end.
    lingering: VecDeque<(Instant, Arc<Call>)>,
    /// `sweep` will be asked.
    is_sweep_due: bool,
    crowd: Admission,
    /// Every call whose exchange is not over, answered or not.
    calls: BTreeMap<u64, Arc<Call>>,
    next_serial: u64,
    /// Nothing new is started.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    /// When it must be answered, whether or not its turn has come.
    deadline: Option<Instant>,
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) serial: u64,
    /// One, or those of a batch.
    pub(crate) ids: Vec<Id>,
    pub(crate) is_initialize: bool,
    /// It stays open as long as both sides like; it does not count as in flight.
    pub(crate) is_subscription: bool,
    /// It needs no session, and the end of its connection takes it back (2026-07-28).
    pub(crate) is_sessionless: bool,
    pub(crate) started: Instant,
    /// When it must be answered; the wait for its turn counts.
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: Cancel,
    /// Places of the ids that the client took back: nothing more of them is written.
    taken_back: Mutex<Vec<usize>>,
    /// It no longer counts as in flight. Changed by the lane alone, as the next one.
    settled: AtomicBool,
    /// Its thread counts as `finishing`.
    finishing: AtomicBool,
}

impl Call {
    /// Takes back this id. True if nothing is left that the client waits for.
    pub(crate) fn take_back(&self, id: &Id) -> bool {
        let mut taken_back = self.taken_back();
        for (place, its_id) in self.ids.iter().enumerate() {
            if its_id == id && !taken_back.contains(&place) {
                taken_back.push(place);
            }
        }
        taken_back.len() == self.ids.len()
    }

    /// Whether lines that are no response may still be written.
    pub(crate) fn is_wanted(&self) -> bool {
        self.taken_back().len() < self.ids.len() && !self.cancel.is_cancelled()
    }

    pub(crate) fn is_taken_back(&self, place: usize) -> bool {
        self.taken_back().contains(&place)
    }

    fn taken_back(&self) -> MutexGuard<'_, Vec<usize>> {
        self.taken_back.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes after a call's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Its thread comes for the next message at once.
    NextMessage,
    /// What its stream may still bring.
    OpenStream,
    Nothing,
}

/// What may start.
#[derive(Debug)]
pub(crate) enum Runnable {
    Call(Arc<Call>, Message),
    Notification(Message),
}

impl Queue {
    pub(crate) fn new(max_in_flight: usize, max_message_bytes: usize) -> Queue {
        Queue {
            max_in_flight,
            max_waiting_bytes: max_message_bytes.saturating_mul(MAX_WAITING_MESSAGES_WORTH),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            next_look: None,
            barrier: false,
            unanswered: 0,
            finishing: 0,
            aside: 0,
            subscriptions: 0,
            lingering: VecDeque::new(),
            is_sweep_due: false,
            crowd: Admission::default(),
            calls: BTreeMap::new(),
            next_serial: 0,
            closed: false,
        }
    }

    /// Whether one more message may wait.
    pub(crate) fn room_for(&self, message: &Message) -> Result<(), Error> {
        if message.is_subscription() && self.subscriptions >= MAX_SUBSCRIPTIONS {
            let what = format!("{MAX_SUBSCRIPTIONS} subscriptions are open already");
            return Err(Error::new(Kind::TooLarge, what).hint("cancel one that is not needed"));
        }
        let bytes = self.waiting_bytes.saturating_add(message.body().len());
        if self.waiting.len() < MAX_WAITING && bytes <= self.max_waiting_bytes {
            return Ok(());
        }
        let what = format!("{} messages are waiting already", self.waiting.len());
        Err(Error::new(Kind::TooLarge, what).hint("wait for answers, or raise --max-in-flight"))
    }

    /// Puts the message at the end of what waits. `deadline`: of a request.
    pub(crate) fn enter(&mut self, message: Message, deadline: Option<Instant>) {
        self.waiting_bytes += message.body().len();
        self.subscriptions += usize::from(message.is_subscription());
        self.waiting.push_back(Waiting { message, deadline });
    }

    /// When the caller must have `take_overdue` asked for the message that came last, if that is not to be done anyway.
    pub(crate) fn next_look(&mut self, now: Instant) -> Option<Instant> {
        let deadline = self.waiting.back()?.deadline?;
        let due = deadline.min(now + LONGEST_LOOK);
        if self.next_look.is_some_and(|planned| planned <= due) {
            return None;
        }
        self.next_look = Some(due);
        self.next_look
    }

    /// There is no thread for that.
    pub(crate) fn nobody_looks(&mut self) {
        self.next_look = None;
    }

    /// Takes the requests out whose time has passed before their turn came, and says when to ask again.
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
        self.next_look = earliest.map(|deadline| deadline.min(now + LONGEST_LOOK));
        (overdue, self.next_look)
    }

    /// Whether something waits that a thread should be woken for.
    pub(crate) fn wants_a_thread(&self) -> bool {
        self.waiting.len() > self.finishing && !self.is_crowded()
    }

    /// The same, or something is put off and nobody looks at the clock.
    pub(crate) fn wants_somebody(&self) -> bool {
        self.wants_a_thread() || (self.is_putting_off() && !self.crowd.is_watched())
    }

    /// Whether the caller must see to it that `tick` is called from now on.
    pub(crate) fn wants_a_watcher(&mut self) -> bool {
        let is_wanted = self.is_putting_off() && !self.crowd.is_watched();
        if is_wanted {
            self.crowd.watch();
        }
        is_wanted
    }

    /// There is no thread for that.
    pub(crate) fn is_unwatched(&mut self) {
        self.crowd.is_unwatched();
    }

    /// A tick of the clock has passed.
    pub(crate) fn tick(&mut self, is_busy: bool) -> Tick {
        self.crowd.tick(self.is_putting_off(), is_busy)
    }

    fn is_putting_off(&self) -> bool {
        let is_held_up = self.barrier || self.closed;
        self.waiting.len() > self.finishing && !is_held_up && self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.crowd.is_one(self.unanswered + self.finishing)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_calm(&self) -> bool {
        self.unanswered == 0 && self.finishing == 0 && self.aside == 0 && !self.barrier
    }

    /// Takes the first that waits, if it may start now.
    pub(crate) fn start_next(&mut self) -> Option<Runnable> {
        let next = &self.waiting.front()?.message;
        let is_request = !next.ids().is_empty();
        let (is_initialize, is_subscription) = (next.is_initialize(), next.is_subscription());
        let takes_no_room = !is_request || is_initialize || is_subscription;
        // Streams that are too many have threads, too. Those that end soon come for what waits.
        let is_free = self.unanswered < self.max_in_flight && self.too_many_streams() == 0;
        let has_room = takes_no_room || (is_free && !self.is_crowded());
        if self.barrier || self.closed || !has_room {
            return None;
        }
        let Waiting { message, deadline } = self.take_waiting_at(0)?;
        self.barrier = !is_request || is_initialize;
        if !is_request {
            return Some(Runnable::Notification(message));
        }
        let call = Arc::new(Call {
            serial: self.next_serial,
            ids: message.ids().to_vec(),
            is_initialize,
            is_subscription,
            is_sessionless: message.request_meta().is_some(),
            started: Instant::now(),
            deadline,
            cancel: Cancel::default(),
            taken_back: Mutex::default(),
            settled: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
        });
        self.next_serial += 1;
        self.crowd.one_starts();
        self.unanswered += usize::from(!is_subscription);
        self.calls.insert(call.serial, Arc::clone(&call));
        Some(Runnable::Call(call, message))
    }

    /// The call is answered, or needs no answer any more.
    pub(crate) fn settle(&mut self, call: &Arc<Call>, after: After) {
        if call.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        if call.is_subscription {
            self.subscriptions -= 1;
        } else {
            self.unanswered -= 1;
            self.crowd.one_is_done();
        }
        match after {
            After::NextMessage => {
                call.finishing.store(true, Ordering::Relaxed);
                self.finishing += 1;
            }
            After::OpenStream => self.lingering.push_back((Instant::now(), Arc::clone(call))),
            After::Nothing => {}
        }
        if call.is_initialize {
            self.barrier = false;
        }
    }

    /// The call's exchange is over.
    pub(crate) fn end_call(&mut self, call: &Arc<Call>) {
        self.settle(call, After::Nothing);
        self.calls.remove(&call.serial);
        let its_place = self.lingering.iter().rposition(|(_, other)| Arc::ptr_eq(other, call));
        if let Some(at) = its_place {
            self.lingering.remove(at);
        }
        if call.finishing.swap(false, Ordering::Relaxed) {
            self.finishing -= 1;
        }
    }

    /// The calls whose streams are too many, but for those that may be about to end. True: the caller must see to it that
    /// `sweep` is asked in a moment.
    pub(crate) fn calls_to_close(&mut self, now: Instant) -> (Vec<Arc<Call>>, bool) {
        let too_many = self.too_many_streams();
        let oldest = self.lingering.iter().take(too_many);
        let to_close: Vec<Arc<Call>> = oldest
            .take_while(|(since, _)| now.saturating_duration_since(*since) >= STREAM_END_DELAY)
            .map(|(_, call)| Arc::clone(call))
            .collect();
        let again = to_close.len() < too_many;
        (to_close, again && !std::mem::replace(&mut self.is_sweep_due, true))
    }

    /// The same, when the moment has passed.
    pub(crate) fn sweep(&mut self, now: Instant) -> (Vec<Arc<Call>>, bool) {
        self.is_sweep_due = false;
        self.calls_to_close(now)
    }

    pub(crate) fn too_many_streams(&self) -> usize {
        self.lingering.len().saturating_sub(MAX_OPEN_STREAMS)
    }

    pub(crate) fn end_notification(&mut self) {
        self.barrier = false;
    }

    pub(crate) fn begin_aside(&mut self) {
        self.aside += 1;
    }

    pub(crate) fn end_aside(&mut self) {
        self.aside -= 1;
    }

    /// Takes a request out that has not left yet, alone or from its batch. False if there is none.
    pub(crate) fn take_waiting(&mut self, id: &Id) -> bool {
        let is_it = |waiting: &Waiting| waiting.message.ids().contains(id);
        let Some(at) = self.waiting.iter().position(is_it) else { return false };
        let Some(Waiting { message: whole, deadline }) = self.take_waiting_at(at) else {
            return false;
        };
        self.subscriptions -= usize::from(whole.is_subscription());
        if let Some(message) = whole.without(id) {
            self.waiting_bytes += message.body().len();
            self.waiting.insert(at, Waiting { message, deadline });
        }
        true
    }

    /// The unanswered call of this id; of two the later.
    pub(crate) fn running(&self, id: &Id) -> Option<Arc<Call>> {
        let is_it =
            |call: &&Arc<Call>| !call.settled.load(Ordering::Relaxed) && call.ids.contains(id);
        self.calls.values().rev().find(is_it).cloned()
    }

    /// Whether nothing waits and nothing is owed.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.barrier && self.unanswered == 0 && self.aside == 0
    }

    /// Starts nothing more. What waited, and what is still on its way.
    pub(crate) fn close(&mut self) -> (Vec<Message>, Vec<Arc<Call>>) {
        self.closed = true;
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        (waiting.map(|waiting| waiting.message).collect(), self.calls.values().cloned().collect())
    }

    fn take_waiting_at(&mut self, at: usize) -> Option<Waiting> {
        let waiting = self.waiting.remove(at)?;
        self.waiting_bytes -= waiting.message.body().len();
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::admission::FEW;

    const INITIALIZE: &str = r#"{"id":0,"method":"initialize"}"#;
    const INITIALIZED: &str = r#"{"method":"notifications/initialized"}"#;

    fn message(line: &str) -> Message {
        Message::parse(line.as_bytes().to_vec()).expect("a message")
    }

    fn ping(id: u32) -> String {
        format!(r#"{{"id":{id},"method":"ping"}}"#)
    }

    fn lane(max_in_flight: usize, lines: &[&str]) -> Queue {
        let mut lane = Queue::new(max_in_flight, 1000);
        for line in lines {
            lane.enter(message(line), None);
        }
        lane
    }

    fn start_call(lane: &mut Queue) -> Arc<Call> {
        match lane.start_next() {
            Some(Runnable::Call(call, _)) => call,
            other => panic!("a call should start, not {other:?}"),
        }
    }

    #[test]
    fn nothing_overtakes_a_barrier() {
        let mut lane =
            lane(9, &[INITIALIZE, INITIALIZED, &ping(1), &ping(2), INITIALIZED, &ping(3)]);
        let initialize = start_call(&mut lane);
        assert!(lane.start_next().is_none(), "initialize holds up everything");
        lane.settle(&initialize, After::NextMessage);
        lane.end_call(&initialize);
        assert!(matches!(lane.start_next(), Some(Runnable::Notification(_))));
        assert!(lane.start_next().is_none(), "a notification holds up what follows");
        lane.end_notification();
        let (_one, _two) = (start_call(&mut lane), start_call(&mut lane));
        assert!(
            matches!(lane.start_next(), Some(Runnable::Notification(_))),
            "but waits for no request"
        );
        lane.end_notification();
        start_call(&mut lane);
    }

    #[test]
    fn an_answer_makes_room_and_the_end_of_its_stream_does_not_make_more() {
        let mut lane = lane(1, &[&ping(1), &ping(2), &ping(3)]);
        let one = start_call(&mut lane);
        assert!(lane.start_next().is_none());
        lane.settle(&one, After::OpenStream);
        let two = start_call(&mut lane);
        lane.end_call(&one);
        assert!(lane.start_next().is_none(), "two is still on its way");
        lane.end_call(&two);
        let three = start_call(&mut lane);
        lane.end_call(&three);
        assert!(lane.is_idle());
    }

    #[test]
    fn a_finishing_thread_takes_the_next_itself() {
        let mut lane = lane(2, &[&ping(1), &ping(2), &ping(3)]);
        let one = start_call(&mut lane);
        lane.settle(&one, After::NextMessage);
        assert!(lane.wants_a_thread(), "two wait, and one thread comes for one of them");
        start_call(&mut lane);
        assert!(!lane.wants_a_thread());
        lane.end_call(&one);
        assert!(lane.wants_a_thread());
    }

    #[test]
    fn more_than_a_few_wait_for_a_thread_that_is_done() {
        let pings: Vec<String> = (0..20).map(ping).collect();
        let mut lane = lane(64, &pings.iter().map(String::as_str).collect::<Vec<_>>());
        let mut calls = Vec::new();
        while lane.wants_a_thread() {
            calls.push(start_call(&mut lane));
        }
        assert_eq!(calls.len(), FEW);
        assert!(lane.wants_a_watcher() && !lane.wants_a_watcher(), "one is enough");
        lane.settle(&calls[0], After::NextMessage);
        lane.end_call(&calls[0]);
        calls.push(start_call(&mut lane));
        assert!(!lane.wants_a_thread());
        let ticks = (0..9).find(|_| lane.tick(false) == Tick::Start);
        assert_eq!(ticks, Some(2));
        while lane.wants_a_thread() {
            calls.push(start_call(&mut lane));
        }
        assert_eq!(calls.len(), 20);
    }

    #[test]
    fn what_is_taken_back_while_it_waits_never_starts() {
        let mut lane = lane(1, &[&ping(1), &ping(2), &ping(3)]);
        let one = start_call(&mut lane);
        let two = message(&ping(2));
        let two = &two.ids()[0];
        assert!(lane.running(two).is_none());
        assert!(lane.take_waiting(two) && !lane.take_waiting(two));
        assert!(lane.running(&one.ids[0]).is_some());
        lane.end_call(&one);
        assert!(lane.running(&one.ids[0]).is_none());
        assert_eq!(start_call(&mut lane).ids[0].as_json(), "3");
    }

    #[test]
    fn a_subscription_takes_no_place_and_can_be_taken_back() {
        let subscription = r#"{"id":9,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let mut lane = lane(1, &[subscription, &ping(1), &ping(2)]);
        let subscription = start_call(&mut lane);
        let one = start_call(&mut lane);
        assert!(lane.start_next().is_none(), "one is in flight");
        lane.end_call(&one);
        let two = start_call(&mut lane);
        lane.end_call(&two);
        assert!(lane.is_idle(), "an open subscription keeps nobody waiting");
        assert!(lane.running(&subscription.ids[0]).is_some());
        lane.end_call(&subscription);
        assert!(lane.is_idle() && lane.running(&subscription.ids[0]).is_none());
    }

    #[test]
    fn one_subscription_too_many_is_refused_until_another_ends() {
        let subscription = |id: usize| {
            message(&format!(
                r#"{{"id":{id},"method":"subscriptions/listen","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
            ))
        };
        let mut lane = Queue::new(1, 100_000);
        for id in 0..MAX_SUBSCRIPTIONS {
            lane.room_for(&subscription(id)).expect("there is room");
            lane.enter(subscription(id), None);
        }
        let first = start_call(&mut lane);
        lane.room_for(&subscription(99)).expect_err("that is one too many");
        lane.room_for(&message(&ping(1))).expect("others are not concerned");
        lane.settle(&first, After::OpenStream);
        lane.room_for(&subscription(99)).expect("one is cancelled");
        lane.enter(subscription(99), None);
        lane.end_call(&first);
        lane.room_for(&subscription(100)).expect_err("it counts once");
        assert!(!lane.take_waiting(&first.ids[0]));
        assert!(lane.take_waiting(&subscription(99).ids()[0]));
        lane.room_for(&subscription(100)).expect("one has never started");
    }

    #[test]
    fn of_too_many_open_streams_the_oldest_are_closed_and_hold_up_calls_until_then() {
        let pings: Vec<String> = (0..19).map(ping).collect();
        let mut lane = lane(64, &pings.iter().map(String::as_str).collect::<Vec<_>>());
        let calls: Vec<_> = (0..18)
            .map(|_| {
                let call = start_call(&mut lane);
                lane.settle(&call, After::OpenStream);
                if lane.too_many_streams() == 1 {
                    lane.end_call(&call);
                }
                call
            })
            .collect();
        assert_eq!((lane.lingering.len(), lane.too_many_streams()), (16, 0));
        for call in &calls[16..] {
            lane.lingering.push_back((Instant::now(), Arc::clone(call)));
        }
        assert!(lane.start_next().is_none(), "two streams are too many");
        let long_ago = calls[0].started;
        let (none, again) = lane.calls_to_close(long_ago);
        assert!(none.is_empty() && again, "they may be about to end");
        assert!(!lane.calls_to_close(long_ago).1, "one sweep is enough");
        let (to_close, again) = lane.sweep(Instant::now() + STREAM_END_DELAY);
        assert!(to_close.len() == 2 && !again);
        assert!(Arc::ptr_eq(&to_close[0], &calls[0]) && Arc::ptr_eq(&to_close[1], &calls[1]));
        for call in &to_close {
            lane.end_call(call);
        }
        start_call(&mut lane);
    }

    #[test]
    fn a_batch_is_taken_back_id_by_id() {
        let mut lane = lane(1, &[r#"[{"id":1,"method":"a"},{"id":"1","method":"b"}]"#]);
        let batch = start_call(&mut lane);
        assert!(!batch.take_back(&batch.ids[1]) && batch.is_taken_back(1));
        assert!(batch.take_back(&batch.ids[0]));
    }

    #[test]
    fn what_waits_is_bounded_in_size() {
        let mut lane = Queue::new(1, 60);
        let large = format!(r#"{{"id":1,"method":"{}"}}"#, "x".repeat(70));
        lane.enter(message(&large), None);
        let large = message(&large);
        lane.room_for(&large).expect_err("two do not fit");
        start_call(&mut lane);
        lane.room_for(&large).expect("there is room again");
    }

    #[test]
    fn a_request_whose_time_passes_before_its_turn_is_taken_out() {
        let mut lane = lane(1, &[&ping(1), INITIALIZED]);
        let now = Instant::now();
        let (soon, far_off) = (now + Duration::from_secs(1), now + Duration::from_secs(60));
        let one = start_call(&mut lane);
        assert_eq!(lane.next_look(now), None, "a notification has all the time");
        lane.enter(message(&ping(2)), Some(far_off));
        assert_eq!(lane.next_look(now), Some(now + LONGEST_LOOK));
        lane.enter(message(&ping(3)), Some(soon));
        assert_eq!(lane.next_look(now), Some(soon), "earlier than planned");
        lane.enter(message(&ping(4)), Some(far_off));
        assert_eq!(lane.next_look(now), None, "it is planned already");
        let (overdue, again) = lane.take_overdue(soon);
        assert_eq!(overdue.iter().map(|m| m.ids()[0].as_json()).collect::<Vec<_>>(), ["3"]);
        assert_eq!(again, Some(soon + LONGEST_LOOK));
        lane.end_call(&one);
        assert!(matches!(lane.start_next(), Some(Runnable::Notification(_))));
        lane.end_notification();
        let two = start_call(&mut lane);
        assert_eq!((two.ids[0].as_json(), two.deadline), ("2", Some(far_off)));
        let (overdue, again) = lane.take_overdue(far_off);
        assert_eq!((overdue.len(), again), (1, None));
        lane.end_call(&two);
        assert!(lane.is_idle() && lane.waiting_bytes == 0);
    }

    #[test]
    fn a_closed_lane_starts_nothing() {
        let mut lane = lane(2, &[&ping(1), &ping(2)]);
        start_call(&mut lane);
        let (waiting, calls) = lane.close();
        assert_eq!((waiting.len(), calls.len()), (1, 1));
        lane.enter(message(&ping(3)), None);
        assert!(lane.start_next().is_none());
    }
}
