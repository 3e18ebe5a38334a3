//! `Discovers`: the client's `server/discover` requests, which it abandons when it sends `initialize`.

use crate::scheduler::{After, InFlight};
use crate::stdio::context::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time after which a slow response is logged.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Discovers {
    is_slow_logged: Arc<AtomicBool>,
}

impl Discovers {
    /// Logs once how to avoid the wait, if the response takes long.
    pub(crate) fn watch(&self, context: &Context, call: &Arc<InFlight>) {
        let (call, log) = (Arc::downgrade(call), context.log.clone());
        let is_slow_logged = Arc::clone(&self.is_slow_logged);
        context.scheduler.run_at(Instant::now() + SLOW, move || {
            let is_open = call.upgrade().is_some_and(|call| !call.is_completed());
            if is_open && !is_slow_logged.swap(true, Ordering::Relaxed) {
                log.info("no response to server/discover for 5 s; some clients wait 10 s, and --lazy responds immediately");
            }
        });
    }
}

/// Handles an `initialize`: a client that sends it no longer waits for the response to its `server/discover`, and some end
/// when that comes. It is still read, for what it says of the server.
pub(crate) fn give_up(context: &Context) {
    for call in context.scheduler.give_up_discovers() {
        context.conversation.bridge.note_legacy_client();
        context.log.debug("the client no longer waits for the response to server/discover");
        for id in &call.ids {
            call.cancel_id(id);
        }
        context.scheduler.complete(&call, After::Nothing);
    }
    // Their lines that wait for stdout are not written any more.
    context.output.reconsider();
}
