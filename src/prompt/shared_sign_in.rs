//! `SharedSignIn`: a sign-in in progress, shared by all calls that need the same token.

use crate::client::{ClientRequests, ClientResponse, SentRequest};
use crate::error::{Error, SignIn};
use crate::prompt::link::Link;
use crate::random;
use crate::sync::cancel::Cancel;
use crate::sync::monitor::{Monitor, WaitError};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A `decline` or `cancel` that comes sooner was not given by a person.
const FIRST_HUMAN_RESPONSE: Duration = Duration::from_secs(1);

/// Time after a `cancel`, and after a `decline`, in which the user is not asked again.
const PAUSE_AFTER_CANCEL: Duration = Duration::from_secs(60);
const PAUSE_AFTER_DECLINE: Duration = Duration::from_secs(5 * 60);

/// State that all sign-ins of a process share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audience {
    client: ClientRequests,
    /// The client responds to elicitations without showing them, so no more are sent.
    is_blind: Arc<AtomicBool>,
}

/// A sign-in under way.
pub(crate) struct SharedSignIn {
    /// Names it to the client: `elicitationId` and, since 2026-07-28, part of `requestState`.
    pub(crate) id: String,
    /// The sign-in that the call which started it needs.
    pub(crate) need: SignIn,
    audience: Audience,
    /// Ends this process's part in it.
    pub(crate) cancel: Arc<Cancel>,
    state: Arc<Monitor<State>>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// Number of calls that wait for the user.
    waiting: usize,
    /// The elicitation that was sent last, and its response.
    request: Option<SentRequest>,
    answer: Option<Answer>,
    /// No elicitation is sent before this time.
    quiet_until: Option<Instant>,
    /// The client has its id, and is notified when it has succeeded.
    is_announced: bool,
    is_logged: bool,
    is_shown_by_tool: bool,
    /// Until when its failure is that of later calls, too.
    fails_until: Option<Instant>,
}

#[derive(Clone, Default)]
enum Stage {
    #[default]
    Starting,
    Pending(Link),
    Ended(Ending),
}

/// How a sign-in ended for this process.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    SignedIn,
    /// The code expired.
    Expired,
    /// Refused in the browser.
    Denied,
    /// Declined in the client.
    Declined,
    /// Ended by another process, which has not signed in.
    Lost,
    Failed(Error),
}

/// The response to an elicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accepted,
    Declined,
    Cancelled,
    /// The client responded without the user, or has ended its input.
    Unseen,
}

/// Result of waiting for the user.
#[derive(Clone, Debug)]
pub(crate) enum Waited {
    Ended(Ending),
    /// The user was not asked, or does not want to sign in now.
    Dismissed,
    TimedOut,
}

impl Audience {
    pub(crate) fn new(client: ClientRequests) -> Audience {
        Audience { client, is_blind: Arc::default() }
    }
}

impl SharedSignIn {
    /// `last`: the sign-in for the same token before this one.
    pub(crate) fn new(
        need: SignIn,
        audience: Audience,
        last: Option<&SharedSignIn>,
    ) -> Arc<SharedSignIn> {
        let quiet_until = last.and_then(|last| last.state.lock().quiet_until);
        let state = Monitor::new(State { quiet_until, ..State::default() });
        Arc::new(SharedSignIn { id: random::uuid(), need, audience, cancel: Cancel::new(), state })
    }

    // ---- The worker's side

    /// Shows a link, in place of the one before.
    pub(crate) fn show(&self, link: Link) {
        self.state.update(|state| {
            if !matches!(state.stage, Stage::Ended(_)) {
                state.stage = Stage::Pending(link);
            }
        });
    }

    /// Ends it, once. The client is notified before any call continues.
    pub(crate) fn end(&self, ending: Ending) {
        self.state.update(|state| {
            if matches!(state.stage, Stage::Ended(_)) {
                return;
            }
            state.request = None;
            if state.is_announced && matches!(ending, Ending::SignedIn) {
                let params = format!(r#"{{"elicitationId":"{}"}}"#, self.id);
                self.audience.client.notify("notifications/elicitation/complete", &params);
            }
            state.stage = Stage::Ended(ending);
        });
        self.cancel.cancel();
    }

    /// Ends it with an error that calls within `pause` get as well, without further requests to the service.
    pub(crate) fn fail(&self, error: Error, pause: Duration) {
        self.state.lock().fails_until = Instant::now().checked_add(pause);
        self.end(Ending::Failed(error));
    }

    // ---- The calls' side

    /// The link, unless there is none yet or it has ended.
    pub(crate) fn link(&self) -> Option<Link> {
        match &self.state.lock().stage {
            Stage::Pending(link) => Some(link.clone()),
            Stage::Starting | Stage::Ended(_) => None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Ended(_))
    }

    /// Whether calls that need its token join it: it has not ended, or failed a moment ago.
    pub(crate) fn is_current(&self) -> bool {
        let state = self.state.lock();
        let fails = state.fails_until.is_some_and(|until| Instant::now() < until);
        fails || !matches!(state.stage, Stage::Ended(_))
    }

    /// Notes that the link is in the log. Returns whether it was before.
    pub(crate) fn note_logged(&self) -> bool {
        std::mem::replace(&mut self.state.lock().is_logged, true)
    }

    /// Notes that the tool has returned the link. Returns whether it had before.
    pub(crate) fn note_shown_by_tool(&self) -> bool {
        std::mem::replace(&mut self.state.lock().is_shown_by_tool, true)
    }

    /// Records that the client has the id of the sign-in.
    pub(crate) fn note_announced(&self) {
        self.state.lock().is_announced = true;
    }

    /// Waits until there is a link or the sign-in has ended. The outer error is the end of the waiting.
    pub(crate) fn wait_for_link(
        &self,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Result<Link, Ending>, WaitError> {
        self.state.wait(deadline, cancel, |state| match &state.stage {
            Stage::Starting => None,
            Stage::Pending(link) => Some(Ok(link.clone())),
            Stage::Ended(ending) => Some(Err(ending.clone())),
        })
    }

    /// Waits for the end of the sign-in. With `elicitation`, the parameters of a request to the client, the user is asked
    /// first, unless that has happened.
    ///
    /// # Errors
    /// The call was cancelled.
    pub(crate) fn wait(
        self: &Arc<Self>,
        elicitation: Option<&Value>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Waited, WaitError> {
        let _waiting = Waiting::new(self);
        if elicitation.is_some_and(|params| !self.ask(params)) {
            return Ok(Waited::Dismissed);
        }
        let waited =
            self.state.wait(deadline, cancel, |state| match (&state.stage, state.answer) {
                (Stage::Ended(ending), _) => Some(Waited::Ended(ending.clone())),
                (_, None | Some(Answer::Accepted)) => None,
                (_, Some(Answer::Declined)) => Some(Waited::Ended(Ending::Declined)),
                (_, Some(_)) => elicitation.map(|_| Waited::Dismissed),
            });
        match waited {
            Err(WaitError::TimedOut) => Ok(Waited::TimedOut),
            waited => waited,
        }
    }

    /// Takes the `action` with which a client of 2026-07-28 repeats its request. True: the user has accepted.
    pub(crate) fn take_action(&self, action: &str) -> bool {
        self.take_answer(match action {
            "accept" => Answer::Accepted,
            "decline" => Answer::Declined,
            _ => Answer::Cancelled,
        })
    }

    /// Whether the user may be asked now.
    pub(crate) fn may_ask(&self) -> bool {
        self.may_ask_in(&self.state.lock())
    }

    fn may_ask_in(&self, state: &State) -> bool {
        let is_quiet = state.quiet_until.is_some_and(|until| Instant::now() < until);
        !is_quiet && !self.audience.is_blind.load(Ordering::Relaxed)
    }

    /// Sends an elicitation, unless one waits for its response or was accepted. False: the user cannot be asked now.
    fn ask(self: &Arc<Self>, params: &Value) -> bool {
        self.state.update(|state| {
            if !matches!(state.stage, Stage::Pending(_))
                || state.request.is_some()
                || state.answer == Some(Answer::Accepted)
            {
                return true;
            }
            if !self.may_ask_in(state) {
                return false;
            }
            let (shared, sent_at) = (Arc::downgrade(self), Instant::now());
            let on_response = move |response| {
                if let Some(shared) = Weak::upgrade(&shared) {
                    shared.take_answer(Answer::of(&response, sent_at.elapsed()));
                }
            };
            let (client, params) = (&self.audience.client, params.to_string());
            let sent = client.send("sign-in", "elicitation/create", &params, on_response);
            state.answer = None;
            state.is_announced |= sent.is_ok();
            state.request = sent.ok();
            state.request.is_some()
        })
    }

    /// Applies the user's answer.
    fn take_answer(&self, answer: Answer) -> bool {
        let now = Instant::now();
        self.state.update(|state| {
            state.request = None;
            state.answer = Some(answer);
            match answer {
                Answer::Accepted => {}
                Answer::Declined => state.quiet_until = now.checked_add(PAUSE_AFTER_DECLINE),
                Answer::Cancelled => state.quiet_until = now.checked_add(PAUSE_AFTER_CANCEL),
                Answer::Unseen => self.audience.is_blind.store(true, Ordering::Relaxed),
            }
        });
        if answer == Answer::Declined {
            self.end(Ending::Declined);
        }
        answer == Answer::Accepted
    }
}

impl Answer {
    fn of(response: &ClientResponse, after: Duration) -> Answer {
        let ClientResponse::Result(result) = response else { return Answer::Unseen };
        let result: Value = serde_json::from_str(result).unwrap_or_default();
        match result["action"].as_str() {
            Some("accept") => Answer::Accepted,
            Some("decline" | "cancel") if after < FIRST_HUMAN_RESPONSE => Answer::Unseen,
            Some("decline") => Answer::Declined,
            Some("cancel") => Answer::Cancelled,
            _ => Answer::Unseen,
        }
    }
}

/// A call that waits. When none does any more, an elicitation without a response is withdrawn.
struct Waiting<'a>(&'a SharedSignIn);

impl<'a> Waiting<'a> {
    fn new(shared: &'a SharedSignIn) -> Waiting<'a> {
        shared.state.lock().waiting += 1;
        Waiting(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let withdrawn = {
            let mut state = self.0.state.lock();
            state.waiting -= 1;
            if state.waiting == 0 { state.request.take() } else { None }
        };
        drop(withdrawn);
    }
}
