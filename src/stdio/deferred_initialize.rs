//! `DeferredInitialize`: sends a deferred `initialize` (`--lazy`) again after a failure.
//!
//! The client may never send another request after the first has failed; once the session exists, it is notified.

use crate::conversation::Conversation;
use crate::stdio::context::Context;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Backoff between attempts: the first wait, doubled up to the last.
const FIRST_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct DeferredInitialize {
    /// Cancels the attempts that are being made.
    attempts: Arc<Mutex<Option<Arc<Cancel>>>>,
}

impl DeferredInitialize {
    /// Starts attempts on a thread of their own, if `initialize` is still deferred and none are being made.
    pub(crate) fn retry(&self, context: &Arc<Context>) {
        if !context.conversation.profiles.first().is_initialize_deferred() {
            return;
        }
        let cancel = Cancel::new();
        {
            let mut attempts = lock(&self.attempts);
            if attempts.is_some() {
                return;
            }
            *attempts = Some(Arc::clone(&cancel));
        }
        let (over, refused) = (Arc::clone(&self.attempts), Arc::clone(&self.attempts));
        let scheduler = Arc::clone(&context.scheduler);
        let context = Arc::clone(context);
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| attempt(&context, &cancel))).is_err() {
                context.log.error("a bug in sigv4-proxy ended the attempts to start a session");
            }
            *lock(&over) = None;
        };
        scheduler.spawn(run, move || *lock(&refused) = None);
    }

    pub(crate) fn stop(&self) {
        let attempts = lock(&self.attempts).take();
        if let Some(attempts) = attempts {
            attempts.cancel();
        }
    }
}

/// Sends `initialize` until it succeeds or is cancelled.
fn attempt(context: &Context, cancel: &Cancel) {
    let Conversation { bridge, profiles, .. } = &*context.conversation;
    let mut backoff = FIRST_BACKOFF;
    while !cancel.sleep(backoff) {
        match bridge.initialize_now(profiles.first(), cancel) {
            Ok(()) => return,
            Err(error) => context.log.debug(format_args!("not yet: {error}")),
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}
