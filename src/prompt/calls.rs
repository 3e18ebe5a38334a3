//! `SignInCall`: one call while the user signs in.

use crate::error::{Error, Kind, SignIn};
use crate::log::Log;
use crate::mcp::message::Message;
use crate::prompt::client_view::{ClientView, takes_urls};
use crate::prompt::link::Link;
use crate::prompt::round::Round;
use crate::prompt::shared_sign_in::{Ending, SharedSignIn, Waited};
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::WaitError;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum time that a call waits for the user; many clients abort calls without progress after a longer time.
pub(crate) const CALL_WAIT: Duration = Duration::from_secs(300);

/// Maximum time of one round of 2026-07-28, and of a call of the tool: the official SDKs give up after 60 s.
pub(crate) const ROUND_WAIT: Duration = Duration::from_secs(50);

pub(crate) struct SignInCall<'a> {
    pub(crate) sign_in: &'a Arc<SharedSignIn>,
    /// The sign-in that this call needs; another profile with the same session may have started it.
    pub(crate) need: &'a SignIn,
    pub(crate) message: &'a Message,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: &'a Cancel,
    pub(crate) view: &'a ClientView,
    pub(crate) log: &'a Log,
}

/// The outcome for the call.
pub(crate) enum Outcome {
    SignedIn,
    /// The user has to sign in first. `is_required`: reported as the error that requires a URL elicitation.
    Link {
        link: Link,
        is_required: bool,
    },
    /// The client is to repeat the request after asking the user.
    Repeat(Value),
    Failed(Error),
}

impl SignInCall<'_> {
    /// Shows the link as the client can, and waits for the user, `limit` at most, if that keeps the call alive.
    ///
    /// # Errors
    /// The call was cancelled.
    pub(crate) fn begin(&self, limit: Duration) -> Result<Outcome, Error> {
        let link = match self.sign_in.wait_for_link(self.deadline, self.cancel) {
            Ok(Ok(link)) => link,
            Ok(Err(ending)) => return Ok(self.ended(ending)),
            Err(WaitError::Cancelled) => return Err(cancelled()),
            Err(WaitError::TimedOut) => {
                let what = "the request timed out while waiting for the sign-in service";
                let error = Error::new(Kind::TimedOut, what);
                return Ok(Outcome::Failed(error.hint(format!("run {}", self.command()))));
            }
        };
        if !self.sign_in.note_logged() {
            self.log.warn(link.instruction(self.need));
        }
        let profile = &self.need.profile;
        if self.message.request_meta().is_some() {
            if takes_urls(self.message) && self.sign_in.may_ask() {
                let round = Round::first(&self.sign_in.id);
                return Ok(Outcome::Repeat(round.result(self.message, profile, Some(&link))));
            }
        } else if self.view.takes_elicitations() {
            let elicitation = link.elicitation(profile, Some(&self.sign_in.id));
            let waited = self.sign_in.wait(Some(&elicitation), self.until(limit), self.cancel);
            return match waited.map_err(|_| cancelled())? {
                Waited::Ended(ending) => Ok(self.ended(ending)),
                Waited::Dismissed => Ok(Outcome::Link { link, is_required: false }),
                Waited::TimedOut => {
                    self.sign_in.note_announced();
                    Ok(Outcome::Link { link, is_required: self.view.takes_required_error() })
                }
            };
        }
        Ok(Outcome::Link { link, is_required: false })
    }

    /// Waits for a user who has the link.
    ///
    /// # Errors
    /// The call was cancelled.
    pub(crate) fn wait(&self) -> Result<Outcome, Error> {
        let waited = self.sign_in.wait(None, self.until(ROUND_WAIT), self.cancel);
        Ok(match (waited.map_err(|_| cancelled())?, self.sign_in.link()) {
            (Waited::Ended(ending), _) => self.ended(ending),
            (_, Some(link)) => Outcome::Link { link, is_required: false },
            (_, None) => Outcome::SignedIn,
        })
    }

    /// Continues from the state of a repeated request of 2026-07-28.
    ///
    /// # Errors
    /// The call was cancelled.
    pub(crate) fn resume(&self, round: &Round) -> Result<Outcome, Error> {
        let repeat = |round: &Round, link| {
            Outcome::Repeat(round.result(self.message, &self.need.profile, link))
        };
        let is_accepted = match &round.action {
            Some(action) => self.sign_in.take_action(action),
            None => round.waits > 0,
        };
        if let (false, Some(link)) = (is_accepted, self.sign_in.link()) {
            return Ok(match round.action {
                Some(_) => Outcome::Link { link, is_required: false },
                None => repeat(round, Some(&link)),
            });
        }
        let outcome = self.wait()?;
        Ok(match (&outcome, round.next()) {
            (Outcome::Link { .. }, Some(next)) => repeat(&next, None),
            _ => outcome,
        })
    }

    fn until(&self, limit: Duration) -> Option<Instant> {
        [Instant::now().checked_add(limit), self.deadline].into_iter().flatten().min()
    }

    fn ended(&self, ending: Ending) -> Outcome {
        let SignIn { profile, problem, .. } = self.need;
        let failed =
            |what: &str| Error::new(Kind::Credentials, format!("profile {profile:?}: {what}"));
        Outcome::Failed(match ending {
            Ending::SignedIn => return Outcome::SignedIn,
            Ending::Expired => {
                let what = "the sign-in was not completed before its code expired";
                failed(what).hint("try again for a new code")
            }
            Ending::Lost => {
                let what = "the sign-in was cancelled by another process";
                failed(what).hint("try again for a new code")
            }
            Ending::Denied => failed("access was denied in the browser"),
            Ending::Declined => {
                let what = format!("{problem}, and the sign-in was declined");
                failed(&what).hint(format!("run {}", self.command()))
            }
            Ending::Failed(error) => error,
        })
    }

    fn command(&self) -> String {
        self.need.command()
    }
}
