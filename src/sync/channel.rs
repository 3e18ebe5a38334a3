//! `channel`: a queue between threads.
//!
//! The standard library's has three kinds of queues, and a copy of each for every type that is sent: 76 kB of the static binary
//! where this has 8 (goal: 3.5 MB).

use crate::sync::{lock, wait, wait_timeout_while};
use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Creates a queue without a limit.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    bounded_channel(usize::MAX)
}

/// Creates a queue for at most `limit` values.
pub(crate) fn bounded_channel<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { values: VecDeque::new(), senders: 1, has_receiver: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender { shared: Arc::clone(&shared), limit }, Receiver { shared })
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    values: VecDeque<T>,
    senders: usize,
    has_receiver: bool,
}

impl<T> State<T> {
    fn is_waiting(&mut self) -> bool {
        self.values.is_empty() && self.senders > 0
    }
}

/// The end of a channel that values go into. Clones are further ends of the same channel.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    limit: usize,
}

impl<T> Sender<T> {
    /// Never waits. Fails if the receiver is gone, or the queue is full.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = lock(&self.shared.state);
        if !state.has_receiver || state.values.len() >= self.limit {
            return Err(SendError(value));
        }
        state.values.push_back(value);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.shared.state).senders += 1;
        Sender { shared: Arc::clone(&self.shared), limit: self.limit }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.senders -= 1;
        let was_last = state.senders == 0;
        drop(state);
        if was_last {
            self.shared.changed.notify_all();
        }
    }
}

/// The end of a channel that values come out of, in their order.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for a value. Fails if none is left and no sender, either.
    pub fn recv(&self) -> Result<T, RecvError> {
        let mut state = lock(&self.shared.state);
        while state.is_waiting() {
            state = wait(&self.shared.changed, state);
        }
        state.values.pop_front().ok_or(RecvError)
    }

    /// As `recv`, and fails after `timeout`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let state = lock(&self.shared.state);
        let mut state = wait_timeout_while(&self.shared.changed, state, timeout, State::is_waiting);
        state.values.pop_front().ok_or(match state.senders {
            0 => RecvTimeoutError::Disconnected,
            _ => RecvTimeoutError::Timeout,
        })
    }

    /// As `recv`, and fails immediately if no value is there.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recv_timeout(Duration::ZERO).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T> Drop for Receiver<T> {
    /// Values that nothing receives any more are dropped without the lock: they may be senders themselves.
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.has_receiver = false;
        let values = std::mem::take(&mut state.values);
        drop(state);
        drop(values);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn values_arrive_in_their_order_and_the_end_after_the_last_sender() {
        let (sender, receiver) = channel();
        let other = sender.clone();
        thread::scope(|scope| {
            scope.spawn(move || {
                for value in 0..1000 {
                    sender.send(value).expect("it is received");
                }
                drop(sender);
                other.send(1000).expect("it is received");
            });
            assert!(receiver.eq(0..=1000));
        });
    }

    #[test]
    fn a_wait_ends_in_time() {
        let (sender, receiver) = channel::<u8>();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let late = receiver.recv_timeout(Duration::from_millis(20));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        drop(sender);
        assert_eq!(receiver.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Disconnected));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn the_end_wakes_every_thread_that_waits() {
        let (sender, receiver) = channel::<u8>();
        let begun = Instant::now();
        let limit = Duration::from_secs(20);
        thread::scope(|scope| {
            let waiting = [0; 2].map(|_| scope.spawn(|| receiver.recv_timeout(limit)));
            thread::park_timeout(Duration::from_millis(50));
            drop(sender);
            for wait in waiting {
                assert_eq!(wait.join().expect("it waits"), Err(RecvTimeoutError::Disconnected));
            }
        });
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    }

    #[test]
    fn what_cannot_be_received_is_given_back() {
        let (sender, receiver) = bounded_channel(1);
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.send(2), Err(SendError(2)), "it is full");
        assert_eq!(receiver.recv(), Ok(1));
        drop(receiver);
        assert_eq!(sender.send(3), Err(SendError(3)), "nothing receives");
    }
}
