//! `Recovery`: acts between two attempts, without sending another message to the server.

use crate::error::Error;
use crate::streamable_http::failed_attempt::FailedAttempt;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::relayed::{Relayed, Sink};
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry::{self, MAX_RETRY_AFTER, Next, RetryState};
use crate::sync::cancel::cancelled;
use std::time::{Duration, Instant};

/// Minimum wait for which the client of a notification is not kept waiting.
const NOTICEABLE_WAIT: Duration = Duration::from_millis(250);

/// The recovery of one message from its failed attempts.
pub(crate) struct Recovery<'a> {
    server: &'a RemoteServer,
    message: &'a PreparedMessage<'a>,
    state: RetryState,
    /// What the last retry took from the quota.
    cost: u32,
}

impl<'a> Recovery<'a> {
    pub(crate) fn new(server: &'a RemoteServer, message: &'a PreparedMessage<'a>) -> Recovery<'a> {
        Recovery { server, message, state: RetryState::default(), cost: 0 }
    }

    /// Waits until the message may be sent, if the server has refused others for their rate.
    pub(crate) fn wait_for_turn(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if !self.server.pacer.knows_rate() {
            return Ok(());
        }
        let now = Instant::now();
        let turn = self.server.pacer.turn(now);
        if turn.is_zero() {
            return Ok(());
        }
        // At the deadline the attempt fails by itself.
        let left = self.message.deadline.map(|deadline| deadline.saturating_duration_since(now));
        self.wait(left.map_or(turn, |left| turn.min(left)), sink)
    }

    fn wait(&self, wait: Duration, sink: &mut Sink<'_>) -> Result<(), Error> {
        if wait >= NOTICEABLE_WAIT && self.message.message.ids().is_empty() {
            sink(Relayed::Delayed)?;
        }
        if self.message.cancel.sleep(wait) { Err(cancelled()) } else { Ok(()) }
    }

    /// An attempt succeeded.
    pub(crate) fn succeeded(&self) {
        self.server.quota.release(self.cost);
    }

    /// What to do about a failed attempt.
    pub(crate) fn decide(&mut self, failed: &FailedAttempt) -> Next {
        let Some(failure) = &failed.failure else { return Next::GiveUp };
        let Recovery { server, message, .. } = *self;
        let mut request = retry::Request {
            is_idempotent: message.is_idempotent(server),
            has_param_headers: message.has_param_headers(),
            is_agentcore: server.is_agentcore,
            left: message
                .deadline
                .map(|deadline| deadline.saturating_duration_since(Instant::now())),
            retries: server.retries,
            turn: None,
        };
        let asks_for_too_long = failure.retry_after.is_some_and(|asked| asked > MAX_RETRY_AFTER);
        if retry::is_throttled(failure, &request) && !asks_for_too_long {
            request.turn = server.pacer.turn_after_refusal(Instant::now(), failure.retry_after);
        }
        retry::decide(failure, &request, &mut self.state)
    }

    /// Does what was decided. False: another attempt would end in the same way.
    pub(crate) fn recover(
        &mut self,
        next: &Next,
        failed: &FailedAttempt,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Error> {
        let Recovery { server, message, .. } = *self;
        let (client, log) = (&server.client, &server.log);
        match next {
            // A session and the list of tools take messages of their own.
            Next::GiveUp | Next::NewSession | Next::LearnParamHeaders => Ok(false),
            Next::Retry { after, cost } => {
                self.cost = *cost;
                let (delay, why) = (after.as_millis(), failed.error.message());
                log.debug(format_args!("retrying in {delay} ms: {why}"));
                if !server.quota.take(*cost) {
                    return Ok(false);
                }
                self.wait(*after, sink).map(|()| true)
            }
            Next::NewCredentials => {
                let Some(refused) = &failed.credentials else { return Ok(false) };
                log.debug(format_args!("reloading credentials: {}", failed.error));
                client.replace_credentials(refused, message.deadline, message.cancel)
            }
            Next::NewRuntimeSession => {
                log.debug(format_args!("the runtime session has expired: {}", failed.error));
                server.affinity.forget(&failed.sent.runtime_ids);
                Ok(true)
            }
            Next::SetClock(server_time) => {
                let behind = client.set_clock(*server_time);
                let (seconds, side) =
                    (behind.abs(), if behind < 0 { "ahead of" } else { "behind" });
                log.warn(format_args!(
                    "local clock is {seconds} s {side} AWS; signing with AWS time (sync the clock with NTP)"
                ));
                Ok(true)
            }
            Next::SignForService(service) => {
                let signed = &client.scope().current().service;
                let is_corrected = client.scope().correct_service(service);
                if is_corrected && service != signed {
                    log.warn(format_args!(
                        "AWS expects service {service}, not {signed}; signing for {service} from now on (set --service-name {service})"
                    ));
                }
                // Otherwise the error says what to set.
                Ok(is_corrected)
            }
            Next::SignForRegion => {
                let signed = &client.scope().current().region;
                let is_corrected = client.scope().correct_region();
                let region = &client.scope().current().region;
                if region != signed {
                    log.warn(format_args!(
                        "AWS does not accept region {signed}; signing for {region}, the region of the URL, from now on (set --region {region})"
                    ));
                }
                Ok(is_corrected)
            }
        }
    }
}
