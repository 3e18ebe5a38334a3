//! `Timer`: entries due at a later time, handled by one thread, which exists only while there are entries.

use crate::sync::{lock, wait_timeout};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

pub(crate) struct Timer<T> {
    state: Mutex<State<T>>,
    /// An entry was added.
    added: Condvar,
}

struct State<T> {
    /// Unsorted, since there are few.
    entries: Vec<(Instant, T)>,
    has_thread: bool,
}

impl<T> Timer<T> {
    pub(crate) fn new() -> Timer<T> {
        let state = State { entries: Vec::new(), has_thread: false };
        Timer { state: Mutex::new(state), added: Condvar::new() }
    }

    /// Adds an entry. True: the caller starts a thread that calls `next`.
    #[must_use]
    pub(crate) fn add(&self, due: Instant, entry: T) -> bool {
        let mut state = lock(&self.state);
        state.entries.push((due, entry));
        let needs_thread = !std::mem::replace(&mut state.has_thread, true);
        drop(state);
        self.added.notify_one();
        needs_thread
    }

    /// The next entry, once it is due. `None`: no entries are left and the calling thread ends.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            let earliest = (0..state.entries.len()).min_by_key(|at| state.entries[*at].0);
            let Some(at) = earliest else {
                state.has_thread = false;
                return None;
            };
            let left = state.entries[at].0.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(state.entries.swap_remove(at).1);
            }
            state = wait_timeout(&self.added, state, left);
        }
    }

    /// Takes all entries, due or not, for lack of a thread that would wait for them.
    pub(crate) fn take_all(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        state.has_thread = false;
        std::mem::take(&mut state.entries).into_iter().map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn entries_are_returned_when_due_in_any_order_of_adding() {
        let timer = Timer::new();
        let now = Instant::now();
        let due = now + Duration::from_millis(20);
        assert!(timer.add(due, "late") && !timer.add(now, "early"), "one thread is enough");
        assert_eq!(timer.next(), Some("early"));
        assert_eq!(timer.next(), Some("late"));
        assert!(Instant::now() >= due);
        assert_eq!(timer.next(), None);
        assert!(timer.add(now, "again"));
        assert_eq!(timer.take_all(), ["again"]);
        assert!(timer.add(now, "and once more"), "the thread never came");
    }
}
