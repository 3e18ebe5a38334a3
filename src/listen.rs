//! The standing GET stream of servers before 2026-07-28: opened, kept open, given up.

use crate::error::Kind;
use crate::http::Cancel;
use crate::log::Log;
use crate::relay::Deliver;
use crate::upstream::{Listened, Upstream};
use std::time::Duration;

/// The wait before the stream is opened again, unless the server asks for another; it doubles up to the limit.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so many streams in a row without a single event the server is left alone: someone pays for them.
const PATIENCE: u32 = 5;

/// Listens until the session ends or the server shows that it has nothing to say.
pub(crate) fn run(upstream: &Upstream, cancel: &Cancel, log: &Log, deliver: &mut Deliver<'_>) {
    let mut last_id: Option<String> = None;
    let mut in_vain = 0;
    let mut wait = FIRST_WAIT;
    loop {
        match upstream.listen(last_id.as_deref(), cancel, deliver) {
            // No conclusion about the session: many servers answer 404 to a GET they do not know.
            Ok(Listened::NotOffered) => return,
            Ok(Listened::Ended { last_id: last, retry, any_event }) => {
                last_id = last;
                if any_event {
                    in_vain = 0;
                    wait = FIRST_WAIT;
                }
                wait = retry.map_or(wait, |retry| retry.min(LONGEST_WAIT));
            }
            Err(error) if error.kind() == Kind::Cancelled => return,
            Err(error) => log.debug(format_args!("GET stream: {error}")),
        }
        in_vain += 1;
        if in_vain > PATIENCE {
            log.debug("GET stream: given up, it brought nothing");
            return;
        }
        if cancel.sleep(wait) {
            return;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
