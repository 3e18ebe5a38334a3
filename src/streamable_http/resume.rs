//! Resuming the event stream of a request that ended before the response came (before 2026-07-28). A server may end it
//! on purpose and have the rest polled for.

use crate::error::{Error, Kind};
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::reconnect::{Backoff, NotOpened, open};
use crate::streamable_http::relay::Relay;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::response_body::{ResumePoint, Unanswered, relay_stream};
use crate::streamable_http::server_state::ServerSession;
use crate::sync::cancel::cancelled;
use std::sync::Arc;
use std::time::Instant;

/// Maximum number of empty streams in a row.
const MAX_FRUITLESS: u32 = 5;

/// Resumes the stream until the response has come, or cannot come any more. `unanswered` is how the stream ended.
pub(crate) fn resume(
    server: &RemoteServer,
    message: &PreparedMessage<'_>,
    mut session: Arc<ServerSession>,
    relay: &mut Relay<'_, '_>,
    mut unanswered: Unanswered,
) -> Result<(), Unanswered> {
    let PreparedMessage { deadline, cancel, .. } = *message;
    let Some(ResumePoint { mut last_id, retry, .. }) = unanswered.resume_at.take() else {
        return Err(unanswered);
    };
    let mut backoff = Backoff::default();
    backoff.set_wait(retry);
    let mut wait = backoff.after_success();
    let mut not_opened = None;
    while backoff.fruitless() < MAX_FRUITLESS {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left <= wait) {
            let what = "the request timed out before its event stream was resumed";
            let error = Error::new(Kind::TimedOut, what);
            return Err(error.hint("raise --timeout, or --tool-timeout for tools/call").into());
        }
        if cancel.sleep(wait) {
            return Err(cancelled().into());
        }
        // Another call may have learned another id meanwhile.
        session = server.state.latest(session);
        wait = match open(server, &mut session, Some(&last_id), deadline, false, cancel) {
            Ok(response) => {
                not_opened = None;
                let Err(ended) = relay_stream(response, relay, Some(last_id.clone())) else {
                    return Ok(());
                };
                unanswered = ended;
                let Some(point) = unanswered.resume_at.take() else { return Err(unanswered) };
                backoff.set_wait(point.retry);
                let is_new = point.last_id != last_id;
                last_id = point.last_id;
                if is_new || point.was_alive {
                    backoff.after_success()
                } else {
                    backoff.after_failure(None)
                }
            }
            Err(NotOpened::Final(error)) if error.kind() == Kind::Cancelled => {
                return Err(error.into());
            }
            Err(NotOpened::Final(error)) => {
                server.log.debug(format_args!("the event stream cannot be resumed: {error}"));
                not_opened = Some(error);
                break;
            }
            Err(NotOpened::Later { error, retry_after }) => {
                server.log.debug(format_args!("resuming the event stream later: {error}"));
                not_opened = Some(error);
                backoff.after_failure(retry_after)
            }
        };
    }
    if let Some(why) = not_opened {
        unanswered.error = unanswered.error.followed_by(&why);
    }
    Err(unanswered)
}
