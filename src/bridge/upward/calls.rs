//! `Calls`: the requests in progress at an older server, and the client's requests that wait for them.
//!
//! A client of 2026-07-28 does not get questions during a call: it gets them as the result, and repeats the
//! call with the answers. Each repetition is a *leg*; the one call at the server continues from leg to leg. Between two of them
//! it is *parked*, under a state that only the client has.
//!
//! No I/O and no clock: the caller sends the returned messages.

use crate::bridge::level::Level;
use crate::bridge::upward::notification::{Notification, with_progress_token};
use crate::bridge::upward::question::{Declared, Question};
use crate::error::Error;
use crate::json::object::Object;
use crate::mcp::id::Id;
use crate::random;
use crate::sync::cancel::Cancel;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of calls that are parked.
const MAX_PARKED: usize = 64;

/// Time after which a parked call without a new leg is abandoned.
const PARKED_TIMEOUT: Duration = Duration::from_secs(600);

/// Maximum number of questions that wait for a call to carry them, and how long they wait.
const MAX_WAITING: usize = 16;
const WAITING_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum number of questions of one call that wait for answers.
const MAX_QUESTIONS: usize = 32;

/// Maximum number of lines, and of bytes in them, that a call keeps for its leg. One line is always kept.
const MAX_LINES: usize = 100;
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// The oldest first.
    all: Vec<Call>,
    /// Questions that no call can carry yet, with the time at which they came.
    waiting: Vec<(Question, Instant)>,
    /// The last id that a request to the server had.
    last_id: i64,
    /// The key of the last call.
    last_key: u64,
    /// Maximum size of all questions of a call together.
    max_bytes: usize,
}

/// The client's data in a leg.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leg {
    pub(crate) declared: Declared,
    /// As JSON.
    pub(crate) progress_token: Option<String>,
    pub(crate) level: Option<Level>,
}

#[derive(Debug)]
struct Call {
    key: u64,
    method: String,
    /// The tool, prompt or resource.
    target: Option<String>,
    /// Its client can be asked something in place of the response.
    may_be_asked: bool,
    /// The newest one.
    leg: Leg,
    /// The newest leg still waits.
    is_open: bool,
    /// The id and the progress token of the request at the server.
    sent_as: Option<i64>,
    /// With their keys.
    questions: Vec<(String, Question)>,
    /// How many questions there have been.
    asked: usize,
    /// For the newest leg.
    lines: VecDeque<String>,
    /// The latest progress that came while no leg was open.
    progress: Option<String>,
    outcome: Option<Outcome>,
    /// Its leg has taken the outcome.
    is_finished: bool,
    parked: Option<Parked>,
    /// Ends the exchange with the server.
    cancel: Arc<Cancel>,
}

#[derive(Debug)]
struct Parked {
    state: String,
    since: Instant,
}

/// How the exchange with the server ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// As the server sent it.
    Response(String),
    Failed(Error),
}

/// The next step of a leg.
#[derive(Debug)]
pub(crate) enum Step {
    /// Relays a notification.
    Relay(String),
    /// Sends the request under this id.
    Send(i64, Arc<Cancel>),
    /// Responds with this result; the call is parked.
    Ask(String),
    /// Responds with an error: too many calls are parked.
    Refuse,
    /// Responds with the outcome, unless it has to be asked something and sent again. Messages may still follow it, until
    /// the exchange is cancelled.
    Finish(Outcome, Arc<Cancel>),
}

/// A call that no leg waits for any longer.
#[derive(Debug)]
pub(crate) struct Abandoned {
    /// The id of the request, if the server works on it.
    pub(crate) sent_as: Option<i64>,
    /// Responses to its questions.
    pub(crate) responses: Vec<String>,
    pub(crate) cancel: Arc<Cancel>,
}

/// Result of placing a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// A leg relays it, now or later, or it is no longer wanted.
    Taken,
    /// No call is there to relay it.
    Unclaimed,
    /// The leg has too much to relay: once more when that has changed.
    Full,
}

impl Calls {
    /// `max_bytes`: of one message.
    pub(crate) fn new(max_bytes: usize) -> Calls {
        Calls { max_bytes, ..Calls::default() }
    }

    /// An id that no request to the server had.
    pub(crate) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Starts a call with its first leg, and with waiting questions that it can carry. Returns its key.
    pub(crate) fn begin(
        &mut self,
        method: &str,
        target: Option<String>,
        may_be_asked: bool,
        leg: Leg,
    ) -> u64 {
        self.last_key += 1;
        let declared = leg.declared;
        let mut call = Call {
            key: self.last_key,
            method: method.to_owned(),
            target,
            may_be_asked,
            leg,
            is_open: true,
            sent_as: None,
            questions: Vec::new(),
            asked: 0,
            lines: VecDeque::new(),
            progress: None,
            outcome: None,
            is_finished: false,
            parked: None,
            cancel: Cancel::new(),
        };
        let is_carried =
            |(question, _): &mut (Question, Instant)| may_be_asked && declared.admits(question);
        self.waiting.extract_if(.., is_carried).for_each(|(question, _)| call.add(question));
        self.all.push(call);
        self.last_key
    }

    /// Whether a call is parked under this state.
    pub(crate) fn has_parked(&self, state: &str) -> bool {
        self.all.iter().any(|call| call.parked.as_ref().is_some_and(|parked| parked.state == state))
    }

    /// Continues the call that is parked under this state with another leg. `None`: there is none of this method and target.
    pub(crate) fn take_over(
        &mut self,
        state: &str,
        method: &str,
        target: Option<&str>,
        leg: Leg,
    ) -> Option<u64> {
        let call = self.all.iter_mut().find(|call| {
            call.parked.as_ref().is_some_and(|parked| parked.state == state)
                && call.method == method
                && call.target.as_deref() == target
        })?;
        call.parked = None;
        call.is_open = true;
        call.leg = leg;
        // Those that came for the previous leg.
        let leg = &call.leg;
        call.lines.retain(|line| match Notification::read(line) {
            Notification::Log(level) => leg.wants(level),
            _ => true,
        });
        if let Some(progress) = call.progress.take() {
            call.relay_progress(&progress);
        }
        Some(call.key)
    }

    /// Takes the client's answers to questions of a call. Returns the responses to the server: those, and refusals of what the
    /// leg cannot be asked.
    pub(crate) fn answer(&mut self, key: u64, answers: Option<&Object<'_>>) -> Vec<String> {
        let Some(call) = self.call(key) else { return Vec::new() };
        let mut responses = Vec::new();
        let declared = call.leg.declared;
        call.questions.retain(|(key, question)| {
            let answer = answers.and_then(|answers| answers.get(key)).map(RawValue::get);
            match answer.filter(|answer| answer.starts_with('{')) {
                Some(answer) => responses.extend(question.answer(answer)),
                None if !declared.admits(question) => responses.extend(question.refusal()),
                None => return true,
            }
            false
        });
        responses
    }

    /// The next step of this call's leg. `None`: it waits.
    pub(crate) fn step(&mut self, key: u64, now: Instant) -> Option<Step> {
        let is_full = self.all.iter().filter(|call| call.parked.is_some()).count() >= MAX_PARKED;
        let at = self.all.iter().position(|call| call.key == key)?;
        let next_id = self.last_id + 1;
        let call = &mut self.all[at];
        if let Some(line) = call.lines.pop_front() {
            return Some(Step::Relay(line));
        }
        if let Some(outcome) = call.outcome.take() {
            // The server does not wait for answers to its remaining questions.
            call.questions.clear();
            call.sent_as = None;
            call.is_finished = true;
            return Some(Step::Finish(outcome, mem::take(&mut call.cancel)));
        }
        if !call.questions.is_empty() {
            if is_full {
                return Some(Step::Refuse);
            }
            let state = random::unguessable();
            let result = call.input_required(&state);
            call.parked = Some(Parked { state, since: now });
            call.is_open = false;
            return Some(Step::Ask(result));
        }
        if call.sent_as.is_none() {
            call.sent_as = Some(next_id);
            let cancel = Arc::clone(&call.cancel);
            self.last_id = next_id;
            return Some(Step::Send(next_id, cancel));
        }
        None
    }

    /// Has a call that is finished ask its client something, after which it is sent again.
    pub(crate) fn ask_again(&mut self, key: u64, questions: Vec<Question>) {
        if let Some(call) = self.call(key) {
            call.is_finished = false;
            questions.into_iter().take(MAX_QUESTIONS).for_each(|question| call.add(question));
        }
    }

    /// Removes a call whose leg is still open.
    pub(crate) fn abandon(&mut self, key: u64) -> Option<Abandoned> {
        let at = self.all.iter().position(|call| call.key == key && call.is_open)?;
        Some(self.all.remove(at).abandoned())
    }

    /// A question of the server, on the stream of this call if one is named. Otherwise it belongs to the newest call that can
    /// carry it, or waits for one.
    ///
    /// # Errors
    /// The question: there are too many, or the client cannot be asked it.
    pub(crate) fn ask(
        &mut self,
        own: Option<u64>,
        question: Question,
        now: Instant,
    ) -> Result<(), Question> {
        let can_carry = |call: &Call| {
            call.may_be_asked
                && call.outcome.is_none()
                && !call.is_finished
                && call.leg.declared.admits(&question)
        };
        let at = self.all.iter().position(|call| Some(call.key) == own);
        let at = match at {
            None if own.is_some() => return Err(question),
            Some(at) if self.all[at].may_be_asked => {
                // Of a parked call, the leg that comes next is judged when it comes.
                if self.all[at].is_open && !can_carry(&self.all[at]) {
                    return Err(question);
                }
                Some(at)
            }
            _ => self.all.iter().rposition(can_carry),
        };
        let max_bytes = self.max_bytes;
        match at.map(|at| &mut self.all[at]) {
            Some(call) if call.has_room_for(&question, max_bytes) => call.add(question),
            None if self.waiting.len() < MAX_WAITING => self.waiting.push((question, now)),
            _ => return Err(question),
        }
        Ok(())
    }

    /// The server no longer waits for the response to its request.
    pub(crate) fn withdraw(&mut self, id: &Id) {
        for call in &mut self.all {
            call.questions.retain(|(_, question)| !question.has_id(id));
        }
        self.waiting.retain(|(question, _)| !question.has_id(id));
    }

    /// The exchange of this call with the server has ended. Only the first outcome counts.
    pub(crate) fn finish(&mut self, key: u64, outcome: Outcome) {
        if let Some(call) = self.call(key) {
            call.outcome.get_or_insert(outcome);
        }
    }

    /// Progress of the call with this token.
    pub(crate) fn progress(&mut self, token: &Id, line: &str) -> Placed {
        // Some servers make a string of a number.
        let is_its = |id: i64| token.is(&id.to_string()) || token.is(&format!("\"{id}\""));
        let call = self.all.iter_mut().find(|call| call.sent_as.is_some_and(is_its));
        let Some(call) = call else { return Placed::Unclaimed };
        if !call.is_open {
            call.progress = Some(line.to_owned());
            return Placed::Taken;
        }
        if call.is_full(line) {
            return Placed::Full;
        }
        call.relay_progress(line);
        Placed::Taken
    }

    /// A log message, on the stream of the call `own` if one is named. Otherwise it belongs to the newest call that wants it.
    pub(crate) fn log(&mut self, own: Option<u64>, level: Level, line: &str) -> Placed {
        let may_be_its = |call: &&mut Call| own.is_none_or(|own| call.key == own);
        let mut calls = self.all.iter_mut().filter(may_be_its).peekable();
        if calls.peek().is_none() {
            return Placed::Unclaimed;
        }
        let wanting = calls.filter(|call| call.leg.wants(level));
        let call = wanting.max_by_key(|call| (call.is_open, call.key));
        call.map_or(Placed::Taken, |call| call.place(line))
    }

    /// Any other notification, on the stream of this call.
    pub(crate) fn other(&mut self, own: u64, line: &str) -> Placed {
        self.call(own).map_or(Placed::Unclaimed, |call| call.place(line))
    }

    /// The lowest level that any call requests.
    pub(crate) fn lowest_level(&self) -> Option<Level> {
        self.all.iter().filter_map(|call| call.leg.level).min()
    }

    /// Removes the parked calls and the waiting questions whose time is over.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> (Vec<Abandoned>, Vec<String>) {
        let is_over = |call: &mut Call| {
            call.parked.as_ref().is_some_and(|parked| parked.since + PARKED_TIMEOUT <= now)
        };
        let over = self.all.extract_if(.., is_over).map(Call::abandoned).collect();
        let mut refusals = Vec::new();
        self.waiting.retain(|(question, since)| {
            let is_over = *since + WAITING_TIMEOUT <= now;
            refusals.extend(question.refusal().filter(|_| is_over));
            !is_over
        });
        (over, refusals)
    }

    /// When something is overdue at the earliest.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let parked = self.all.iter().filter_map(|call| call.parked.as_ref());
        let parked = parked.map(|parked| parked.since + PARKED_TIMEOUT);
        let waiting = self.waiting.iter().map(|(_, since)| *since + WAITING_TIMEOUT);
        parked.chain(waiting).min()
    }

    /// Removes the parked calls, and every question: the session is over.
    pub(crate) fn end_session(&mut self) -> Vec<Abandoned> {
        self.waiting.clear();
        let parked = self.all.extract_if(.., |call| call.parked.is_some());
        let parked = parked.map(Call::abandoned).collect();
        for call in &mut self.all {
            call.questions.clear();
        }
        parked
    }

    fn call(&mut self, key: u64) -> Option<&mut Call> {
        self.all.iter_mut().find(|call| call.key == key)
    }
}

impl Leg {
    fn wants(&self, level: Level) -> bool {
        self.level.is_some_and(|from| from <= level)
    }
}

impl Call {
    fn add(&mut self, question: Question) {
        self.asked += 1;
        self.questions.push((format!("q{}", self.asked), question));
    }

    fn has_room_for(&self, question: &Question, max_bytes: usize) -> bool {
        let open = self.questions.iter().map(|(_, question)| question.entry().len());
        self.questions.len() < MAX_QUESTIONS
            && open.sum::<usize>() + question.entry().len() <= max_bytes
    }

    /// The result with all open questions.
    fn input_required(&self, state: &str) -> String {
        let entries: Vec<String> = self
            .questions
            .iter()
            .map(|(key, question)| format!(r#""{key}":{}"#, question.entry()))
            .collect();
        format!(
            r#"{{"resultType":"input_required","inputRequests":{{{}}},"requestState":{}}}"#,
            entries.join(","),
            Value::from(state)
        )
    }

    /// Keeps progress for the leg, if it requested progress.
    fn relay_progress(&mut self, line: &str) {
        let token = self.leg.progress_token.as_deref();
        self.lines.extend(token.and_then(|token| with_progress_token(line, token)));
    }

    /// Keeps a line for the leg. Between two legs, lines beyond the limits are dropped.
    fn place(&mut self, line: &str) -> Placed {
        match (self.is_full(line), self.is_open) {
            (true, true) => return Placed::Full,
            (true, false) => {}
            (false, _) => self.lines.push_back(line.to_owned()),
        }
        Placed::Taken
    }

    fn is_full(&self, line: &str) -> bool {
        let bytes = self.lines.iter().map(String::len).sum::<usize>() + line.len();
        !self.lines.is_empty() && (self.lines.len() >= MAX_LINES || bytes > MAX_LINE_BYTES)
    }

    fn abandoned(self) -> Abandoned {
        Abandoned {
            sent_as: self.sent_as.filter(|_| self.outcome.is_none()),
            responses: self
                .questions
                .iter()
                .filter_map(|(_, question)| question.no_answer())
                .collect(),
            cancel: self.cancel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{"elicitation":{},"sampling":{},"roots":{}}"#;

    fn calls() -> Calls {
        Calls::new(1000)
    }

    fn leg(capabilities: &str, token: Option<&str>) -> Leg {
        let declared = Declared::read(capabilities);
        Leg { declared, progress_token: token.map(str::to_owned), level: None }
    }

    fn question(id: u32, method: &str) -> Question {
        let text = format!(r#"{{"id":{id},"method":"{method}","params":{{"n":{id}}}}}"#);
        Question::read(&text).expect("a question")
    }

    fn begun(calls: &mut Calls, leg: Leg) -> u64 {
        let key = calls.begin("tools/call", Some("t".to_owned()), true, leg);
        assert!(matches!(calls.step(key, Instant::now()), Some(Step::Send(..))));
        key
    }

    /// The state under which the call is parked, and the questions to its client.
    fn parked(calls: &mut Calls, key: u64, now: Instant) -> (String, Value) {
        let Some(Step::Ask(result)) = calls.step(key, now) else { panic!("nothing is asked") };
        let result: Value = serde_json::from_str(&result).expect("JSON");
        assert_eq!(result["resultType"], "input_required");
        let state = result["requestState"].as_str().expect("a state");
        (state.to_owned(), result["inputRequests"].clone())
    }

    fn answer(calls: &mut Calls, key: u64, answers: &str) -> Vec<String> {
        calls.answer(key, Object::parse(answers).as_ref())
    }

    #[test]
    fn a_call_goes_on_from_leg_to_leg() {
        let (mut calls, now) = (calls(), Instant::now());
        let key = begun(&mut calls, leg(ALL, Some("1")));
        assert!(calls.step(key, now).is_none());
        calls.ask(Some(key), question(7, "elicitation/create"), now).expect("room");
        calls.ask(Some(key), question(8, "roots/list"), now).expect("room");
        let (state, asked) = parked(&mut calls, key, now);
        assert_eq!(asked["q1"]["params"]["n"], 7);
        assert_eq!(asked["q2"]["method"], "roots/list");
        // Only the same call takes it over, and once.
        for (method, target) in
            [("tools/call", Some("u")), ("prompts/get", Some("t")), ("tools/call", None)]
        {
            assert_eq!(calls.take_over(&state, method, target, Leg::default()), None);
        }
        assert_eq!(calls.take_over("guess", "tools/call", Some("t"), Leg::default()), None);
        let again = calls.take_over(&state, "tools/call", Some("t"), leg(ALL, Some("2")));
        assert_eq!(again, Some(key));
        assert_eq!(calls.take_over(&state, "tools/call", Some("t"), Leg::default()), None);
        // Unanswered questions are asked again, under their keys; newer ones follow.
        calls.ask(Some(key), question(9, "roots/list"), now).expect("room");
        let responses = answer(&mut calls, key, r#"{"q1":{"action": "accept"},"q2":null,"q7":{}}"#);
        assert_eq!(responses, [r#"{"jsonrpc":"2.0","id":7,"result":{"action": "accept"}}"#]);
        let (state, asked) = parked(&mut calls, key, now);
        assert_eq!(
            (&asked["q2"]["params"]["n"], &asked["q3"]["params"]["n"]),
            (&8.into(), &9.into())
        );
        // A final response that came meanwhile is given at once.
        calls.finish(key, Outcome::Response("first".to_owned()));
        calls.finish(key, Outcome::Response("second".to_owned()));
        calls.take_over(&state, "tools/call", Some("t"), leg(ALL, None)).expect("parked");
        let step = calls.step(key, now);
        assert!(matches!(step, Some(Step::Finish(Outcome::Response(text), _)) if text == "first"));
    }

    #[test]
    fn a_call_that_is_finished_may_ask_and_is_sent_again_under_a_new_id() {
        let (mut calls, now) = (calls(), Instant::now());
        let key = begun(&mut calls, leg(ALL, None));
        calls.finish(key, Outcome::Response("first".to_owned()));
        assert!(matches!(calls.step(key, now), Some(Step::Finish(..))));
        // Before it is known to be over, it is no longer there for others.
        calls.ask(None, question(9, "roots/list"), now).expect("room");
        assert_eq!(calls.waiting.len(), 1);
        calls.ask_again(key, vec![question(1, "elicitation/create")]);
        let (state, _) = parked(&mut calls, key, now);
        calls.take_over(&state, "tools/call", Some("t"), leg(ALL, None)).expect("parked");
        answer(&mut calls, key, r#"{"q1":{}}"#);
        assert!(matches!(calls.step(key, now), Some(Step::Send(2, _))));
        let abandoned = calls.abandon(key).expect("it is open");
        assert_eq!((abandoned.sent_as, abandoned.responses.len()), (Some(2), 0));
    }

    #[test]
    fn a_question_that_the_leg_cannot_be_asked_is_refused() {
        let (mut calls, now) = (calls(), Instant::now());
        let key = begun(&mut calls, leg(r#"{"roots":{}}"#, None));
        assert!(calls.ask(Some(key), question(1, "elicitation/create"), now).is_err());
        calls.ask(Some(key), question(2, "roots/list"), now).expect("room");
        let (state, _) = parked(&mut calls, key, now);
        // While no leg is there it waits for the next, which decides.
        calls.ask(Some(key), question(3, "sampling/createMessage"), now).expect("room");
        calls.take_over(&state, "tools/call", Some("t"), leg("{}", None)).expect("parked");
        let refused = answer(&mut calls, key, "{}");
        let all = refused.len() == 2 && refused.iter().all(|line| line.contains("-32601"));
        assert!(all, "{refused:?}");
        assert!(calls.step(key, now).is_none());
        // Nothing is asked for a call that is gone.
        calls.abandon(key).expect("it is open");
        let other = begun(&mut calls, leg(ALL, None));
        assert!(calls.ask(Some(key), question(4, "roots/list"), now).is_err());
        assert!(calls.step(other, now).is_none());
    }

    #[test]
    fn a_question_outside_calls_belongs_to_the_newest_that_can_carry_it() {
        let (mut calls, now) = (calls(), Instant::now());
        let first = begun(&mut calls, leg(ALL, None));
        let second = begun(&mut calls, leg(r#"{"roots":{}}"#, None));
        let list = calls.begin("tools/list", None, false, leg(ALL, None));
        calls.ask(None, question(1, "roots/list"), now).expect("room");
        calls.ask(None, question(2, "elicitation/create"), now).expect("room");
        calls.ask(Some(list), question(3, "roots/list"), now).expect("room");
        let (_, asked) = parked(&mut calls, second, now);
        assert_eq!(
            (&asked["q1"]["params"]["n"], &asked["q2"]["params"]["n"]),
            (&1.into(), &3.into())
        );
        let (_, asked) = parked(&mut calls, first, now);
        assert_eq!(asked["q1"]["params"]["n"], 2);
    }

    #[test]
    fn a_question_waits_for_a_call_and_is_put_before_it_is_sent() {
        let (mut calls, now) = (calls(), Instant::now());
        calls.ask(None, question(1, "roots/list"), now).expect("room");
        let other = begun(&mut calls, leg("{}", None));
        let key = calls.begin("tools/call", Some("t".to_owned()), true, leg(ALL, Some("1")));
        let (state, asked) = parked(&mut calls, key, now);
        assert_eq!(asked["q1"]["method"], "roots/list");
        calls.take_over(&state, "tools/call", Some("t"), leg(ALL, Some("2"))).expect("parked");
        assert_eq!(answer(&mut calls, key, r#"{"q1":{"roots":[]}}"#).len(), 1);
        assert!(matches!(calls.step(key, now), Some(Step::Send(2, _))), "after the other, 1");
        assert!(calls.step(other, now).is_none());
        calls.ask(None, question(5, "sampling/createMessage"), now).expect("room");
        calls.abandon(key).expect("it is open");
        calls.ask(None, question(6, "sampling/createMessage"), now).expect("room");
        calls.withdraw(&Id::from_json("6").expect("an id"));
        assert!(calls.waiting.is_empty());
    }

    #[test]
    fn waiting_questions_and_parked_calls_are_given_up_in_time() {
        let (mut calls, now) = (calls(), Instant::now());
        for id in 0..20 {
            let taken = calls.ask(None, question(id, "roots/list"), now);
            assert_eq!(taken.is_ok(), id < 16);
        }
        assert_eq!(calls.next_due(), Some(now + WAITING_TIMEOUT));
        let key = begun(&mut calls, leg(r#"{"elicitation":{}}"#, None));
        calls.ask(Some(key), question(30, "elicitation/create"), now).expect("room");
        let (state, _) = parked(&mut calls, key, now);
        let (over, refusals) = calls.take_overdue(now + WAITING_TIMEOUT / 2);
        assert!(over.is_empty() && refusals.is_empty());
        let (over, refusals) = calls.take_overdue(now + WAITING_TIMEOUT);
        assert!(over.is_empty() && refusals.len() == 16);
        assert_eq!(calls.next_due(), Some(now + PARKED_TIMEOUT));
        let (over, _) = calls.take_overdue(now + PARKED_TIMEOUT);
        assert_eq!(over.len(), 1);
        assert_eq!((over[0].sent_as, over[0].responses.len()), (Some(1), 1));
        assert!(over[0].responses[0].contains(r#""action":"cancel""#));
        assert_eq!(calls.take_over(&state, "tools/call", Some("t"), leg(ALL, None)), None);
        assert_eq!(calls.next_due(), None);
    }

    #[test]
    fn calls_and_their_questions_are_bounded() {
        let (mut calls, now) = (calls(), Instant::now());
        let mut states = Vec::new();
        for id in 0..64 {
            let key = begun(&mut calls, leg(ALL, None));
            calls.ask(Some(key), question(id, "roots/list"), now).expect("room");
            states.push(parked(&mut calls, key, now).0);
        }
        let key = begun(&mut calls, leg(ALL, None));
        calls.ask(Some(key), question(70, "roots/list"), now).expect("room");
        assert!(matches!(calls.step(key, now), Some(Step::Refuse)));
        assert_eq!(calls.abandon(key).map(|call| call.responses.len()), Some(1));
        states.sort_unstable();
        states.dedup();
        assert_eq!(states.len(), 64);
        let ended = calls.end_session();
        assert!(ended.len() == 64 && calls.all.is_empty());
        for (max_bytes, expected) in [(100_000, MAX_QUESTIONS), (100, 2)] {
            let mut calls = Calls::new(max_bytes);
            let key = begun(&mut calls, leg(ALL, None));
            let mut ask = |id| calls.ask(Some(key), question(id, "roots/list"), now).is_ok();
            assert_eq!((0..40).filter(|id| ask(*id)).count(), expected);
        }
    }

    #[test]
    fn progress_comes_with_the_token_of_the_newest_leg() {
        let (mut calls, now) = (calls(), Instant::now());
        let key = begun(&mut calls, leg(ALL, Some(r#""\u0061""#)));
        let other = begun(&mut calls, leg(ALL, Some(r#""\u0061""#)));
        let progress = |token: &str, n: u32| {
            format!(r#"{{"params":{{"progressToken":{token},"progress":{n}}}}}"#)
        };
        let place = |calls: &mut Calls, token: &str, n| {
            calls.progress(&Id::from_json(token).expect("a token"), &progress(token, n))
        };
        // The server's spelling does not matter, and that of the client is kept.
        for token in ["1", "1.0", r#""1""#] {
            assert_eq!(place(&mut calls, token, 1), Placed::Taken);
            let Some(Step::Relay(line)) = calls.step(key, now) else { panic!("progress") };
            assert_eq!(line, progress(r#""\u0061""#, 1));
        }
        assert!(calls.step(other, now).is_none(), "two calls may have one token");
        assert_eq!(place(&mut calls, r#""a""#, 1), Placed::Unclaimed);
        calls.ask(Some(key), question(1, "roots/list"), now).expect("room");
        let (state, _) = parked(&mut calls, key, now);
        for n in 2..5 {
            assert_eq!(place(&mut calls, "1", n), Placed::Taken);
        }
        calls.take_over(&state, "tools/call", Some("t"), leg(ALL, Some("7"))).expect("parked");
        let Some(Step::Relay(line)) = calls.step(key, now) else { panic!("the latest progress") };
        assert_eq!(line, progress("7", 4));
        assert!(matches!(calls.step(key, now), Some(Step::Ask(_))), "only the latest");
    }

    #[test]
    fn log_messages_pass_if_a_call_wants_them() {
        let level = |name: &str| {
            Level::from_json(serde_json::from_str(&format!("\"{name}\"")).expect("JSON"))
                .expect("a level")
        };
        let (info, error) = (level("info"), level("error"));
        let (mut calls, now) = (calls(), Instant::now());
        assert_eq!(calls.log(None, error, "x"), Placed::Unclaimed);
        let quiet = begun(&mut calls, leg(ALL, None));
        assert_eq!(calls.log(Some(quiet), error, "x"), Placed::Taken);
        let loud = begun(&mut calls, Leg { level: Some(error), ..leg(ALL, None) });
        assert_eq!(calls.lowest_level(), Some(error));
        assert_eq!(calls.log(None, info, "x"), Placed::Taken);
        assert!(calls.step(quiet, now).is_none() && calls.step(loud, now).is_none());
        let newest = begun(&mut calls, leg(ALL, None));
        assert_eq!(calls.log(Some(quiet), error, "of the quiet one"), Placed::Taken);
        assert_eq!(calls.log(Some(loud), error, "one"), Placed::Taken);
        assert_eq!(calls.log(None, error, "two"), Placed::Taken);
        assert_eq!(calls.log(Some(newest + 1), error, "of a call that is over"), Placed::Unclaimed);
        for expected in ["one", "two"] {
            let step = calls.step(loud, now);
            assert!(matches!(step, Some(Step::Relay(line)) if line == expected));
        }
        assert!([quiet, loud, newest].iter().all(|key| calls.step(*key, now).is_none()));
        // An open leg is waited for; between two of them a bounded number is kept.
        let placed: Vec<Placed> = (0..101).map(|_| calls.log(Some(loud), error, "x")).collect();
        assert_eq!((placed[99], placed[100]), (Placed::Taken, Placed::Full));
        while let Some(Step::Relay(_)) = calls.step(loud, now) {}
        calls.ask(Some(loud), question(1, "roots/list"), now).expect("room");
        let (state, _) = parked(&mut calls, loud, now);
        assert_eq!(calls.other(loud, r#"{"method":"x/y"}"#), Placed::Taken);
        let line = r#"{"method":"notifications/message","params":{"level":"error"}}"#;
        assert!((0..300).all(|_| calls.log(Some(loud), error, line) == Placed::Taken));
        assert_eq!(calls.call(loud).map(|call| call.lines.len()), Some(100));
        // The next leg may not want them.
        calls.take_over(&state, "tools/call", Some("t"), leg(ALL, None)).expect("parked");
        assert!(matches!(calls.step(loud, now), Some(Step::Relay(line)) if line.contains("x/y")));
        assert!(matches!(calls.step(loud, now), Some(Step::Ask(_))));
    }
}
