//! `StandingStream`: the GET stream of the client's session, on which servers before 2026-07-28 send messages of their own.

use crate::stdio::context::Context;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

pub(crate) struct StandingStream {
    is_enabled: bool,
    /// Cancels the current stream.
    current: Mutex<Option<Arc<Cancel>>>,
}

impl StandingStream {
    pub(crate) fn new(is_enabled: bool) -> StandingStream {
        StandingStream { is_enabled, current: Mutex::default() }
    }

    /// Opens the stream of a new session, on a thread of its own, and closes that of the session before.
    pub(crate) fn open(&self, context: &Arc<Context>) {
        if !self.is_enabled {
            return;
        }
        let cancel = Cancel::new();
        let old = lock(&self.current).replace(Arc::clone(&cancel));
        if let Some(old) = old {
            old.cancel();
            context.output.reconsider();
        }
        let context = Arc::clone(context);
        let scheduler = Arc::clone(&context.scheduler);
        let listen = move || {
            let listened = catch_unwind(AssertUnwindSafe(|| listen(&context, &cancel)));
            if listened.is_err() {
                context.log.error("a bug in sigv4-proxy ended the GET stream");
            }
        };
        scheduler.spawn(listen, || ());
    }

    pub(crate) fn close(&self) {
        let current = lock(&self.current).take();
        if let Some(current) = current {
            current.cancel();
        }
    }
}

fn listen(context: &Arc<Context>, cancel: &Cancel) {
    let is_wanted = || !cancel.is_cancelled();
    let profiles = &context.conversation.profiles;
    profiles.first().listen(cancel, &mut |relayed| context.deliver(0, relayed, is_wanted));
}
