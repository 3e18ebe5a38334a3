//! The retry loop: a message is attempted until it succeeds or another attempt would be no better. Each attempt has the
//! credentials and the session of its moment.

use crate::credentials::Credentials;
use crate::error::Error;
use crate::mcp::message::MessageKind;
use crate::streamable_http::attempt::{AttemptContext, attempt};
use crate::streamable_http::failed_attempt::FailedAttempt;
use crate::streamable_http::prepared_message::PreparedMessage;
use crate::streamable_http::reinitialize::live_session;
use crate::streamable_http::relayed::Sink;
use crate::streamable_http::remedies::Recovery;
use crate::streamable_http::remote_server::RemoteServer;
use crate::streamable_http::retry::Next;
use crate::streamable_http::server_state::{OnInitialized, ServerSession};
use crate::sync::cancel::cancelled;
use std::sync::Arc;

/// Calls `attempt` until it succeeds or `retry` gives up; then the server's own errors are relayed, or the last error is
/// returned. `learn_param_headers` is called after the server missed a header; false: the call would have the same headers
/// again.
pub(crate) fn attempt_until_done<'s>(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    sink: &mut Sink<'s>,
    attempt: impl Fn(&mut Sink<'s>) -> Result<(), Box<FailedAttempt>>,
    learn_param_headers: impl Fn(&FailedAttempt, &mut Sink<'s>) -> bool,
) -> Result<(), Error> {
    let mut recovery = Recovery::new(server, message);
    recovery.wait_for_turn(sink)?;
    loop {
        let Err(failed) = attempt(sink) else {
            recovery.succeeded();
            return Ok(());
        };
        let is_worth_retrying = match recovery.decide(&failed) {
            Next::NewSession => replace_session(server, message, &failed)?,
            Next::LearnParamHeaders => learn_param_headers(&failed, sink),
            next => recovery.recover(&next, &failed, sink)?,
        };
        if !is_worth_retrying {
            return failed.give_up(message, &server.log, sink);
        }
    }
}

/// One attempt. Initializes a session first if the message needs one that is deferred, that has ended, or that belongs to
/// another AWS account. `check` has the last word on the message, after the session is known.
pub(crate) fn attempt_now(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    check: impl Fn() -> Result<(), Error>,
    on_initialized: OnInitialized<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), Box<FailedAttempt>> {
    let context = context_for(server, message, check).map_err(FailedAttempt::permanent)?;
    attempt(server, message, context, on_initialized, sink)
}

fn context_for(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    check: impl Fn() -> Result<(), Error>,
) -> Result<AttemptContext, Error> {
    let credentials = server.client.credentials_for_request(message.deadline, message.cancel)?;
    let needs_session = message.needs_session();
    loop {
        let session = if needs_session {
            session_for(server, message, &credentials)?
        } else {
            Arc::default()
        };
        // While it waited for credentials, for a session, or to be sent again.
        if message.cancel.is_withdrawn() {
            return Err(cancelled());
        }
        // What is known of the tools ends with the session, so each attempt is checked again.
        check()?;
        let page = message.page(server);
        let depends_on_session = needs_session && (message.tool.is_some() || page.is_some());
        if !depends_on_session || server.state.session().number() == session.number() {
            return Ok(AttemptContext { credentials, session, page });
        }
    }
}

/// The session to send a message in, as soon as it can be used.
fn session_for(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    credentials: &Credentials,
) -> Result<Arc<ServerSession>, Error> {
    let PreparedMessage { deadline, cancel, .. } = *message;
    if matches!(message.message.kind(), MessageKind::Response) {
        return Ok(server.state.offer().unwrap_or_else(|| server.state.session()));
    }
    let mut session = server.state.session();
    if server.awaits_session() {
        session = live_session(server, None, deadline, cancel)?;
    }
    if !message.survives_session() {
        return Ok(session);
    }
    let why = if session.has_ended() {
        "the session's event stream ended"
    } else if session.can_be_lost() && session.is_of_another(credentials.account.as_deref()) {
        "the AWS account has changed"
    } else {
        return Ok(session);
    };
    server.log.debug(format_args!("starting a new session: {why}"));
    live_session(server, Some(&session), deadline, cancel)
}

/// After an attempt whose session was lost: initializes another one. True, for another attempt.
fn replace_session(
    server: &Arc<RemoteServer>,
    message: &PreparedMessage<'_>,
    failed: &FailedAttempt,
) -> Result<bool, Error> {
    server.log.debug(format_args!("the session has expired: {}", failed.error));
    live_session(server, Some(&failed.sent.session), message.deadline, message.cancel)?;
    Ok(true)
}
