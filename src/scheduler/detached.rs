//! `DetachedQueue`: messages that wait for no request and hold up none, and how many of them are sent at a time.
//!
//! A server may take its time over any of them. Each kind has places of its own, so that what matters is never stuck
//! behind what does not. Decisions only; threads are the proxy's.

use std::collections::VecDeque;

/// Maximum number of messages of a kind that wait.
const MAX_WAITING: usize = 1000;

/// And maximum size of all of them, in messages of the largest size.
const MAX_WAITING_MESSAGES_WORTH: usize = 2;

/// What a message is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The client cancels a request.
    Cancellation,
    /// The client responds to a request of the server.
    Response,
    /// The same, where the request was a `ping`.
    Pong,
    /// A request of the server is refused by this program.
    Refusal,
}

impl Purpose {
    /// Maximum number of messages that are sent at a time.
    fn places(self) -> usize {
        match self {
            Purpose::Cancellation => 16,
            Purpose::Response => 32,
            Purpose::Pong | Purpose::Refusal => 8,
        }
    }
}

#[derive(Debug)]
pub(crate) struct DetachedQueue<T> {
    max_bytes: usize,
    kinds: [Queue<T>; 4],
}

#[derive(Debug)]
struct Queue<T> {
    under_way: usize,
    /// With their sizes.
    waiting: VecDeque<(usize, T)>,
    waiting_bytes: usize,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Push<T> {
    /// It is sent now, on a thread that calls `next` afterwards.
    Send(T),
    Waits,
    /// There is no room.
    Dropped,
}

impl<T> DetachedQueue<T> {
    pub(crate) fn new(max_message_bytes: usize) -> DetachedQueue<T> {
        let queue = || Queue { under_way: 0, waiting: VecDeque::new(), waiting_bytes: 0 };
        let max_bytes = max_message_bytes.saturating_mul(MAX_WAITING_MESSAGES_WORTH);
        DetachedQueue { max_bytes, kinds: [queue(), queue(), queue(), queue()] }
    }

    pub(crate) fn push(&mut self, purpose: Purpose, bytes: usize, message: T) -> Push<T> {
        let queue = &mut self.kinds[purpose as usize];
        if queue.under_way < purpose.places() {
            queue.under_way += 1;
            return Push::Send(message);
        }
        let waiting_bytes = queue.waiting_bytes.saturating_add(bytes);
        if queue.waiting.len() == MAX_WAITING || waiting_bytes > self.max_bytes {
            return Push::Dropped;
        }
        queue.waiting_bytes = waiting_bytes;
        queue.waiting.push_back((bytes, message));
        Push::Waits
    }

    /// There is no thread for the message that was to be sent.
    pub(crate) fn give_up(&mut self, purpose: Purpose) {
        // Where messages wait, all other places have threads that will send them.
        self.kinds[purpose as usize].under_way -= 1;
    }

    /// The next message for a thread that has sent one of its kind; `None`: its place is free.
    pub(crate) fn next(&mut self, purpose: Purpose) -> Option<T> {
        let queue = &mut self.kinds[purpose as usize];
        let Some((bytes, message)) = queue.waiting.pop_front() else {
            queue.under_way -= 1;
            return None;
        };
        queue.waiting_bytes -= bytes;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_places_of_its_own_and_keeps_its_order() {
        let mut queue = DetachedQueue::new(1000);
        for number in 0..8 {
            assert_eq!(queue.push(Purpose::Pong, 10, number), Push::Send(number));
        }
        assert_eq!(queue.push(Purpose::Pong, 10, 8), Push::Waits);
        assert_eq!(queue.push(Purpose::Pong, 10, 9), Push::Waits);
        assert_eq!(queue.push(Purpose::Cancellation, 10, 10), Push::Send(10));
        assert_eq!(queue.next(Purpose::Pong), Some(8));
        assert_eq!(queue.next(Purpose::Pong), Some(9));
        assert_eq!(queue.next(Purpose::Pong), None);
        assert_eq!(queue.push(Purpose::Pong, 10, 11), Push::Send(11));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_size() {
        let mut queue = DetachedQueue::new(1000);
        let waiting = (0..).take_while(|at| queue.push(Purpose::Pong, 1, *at) != Push::Dropped);
        assert_eq!(waiting.count(), 8 + MAX_WAITING);
        for number in 0..32 {
            assert_eq!(queue.push(Purpose::Response, 1500, number), Push::Send(number));
        }
        assert_eq!(queue.push(Purpose::Response, 1500, 32), Push::Waits);
        assert_eq!(queue.push(Purpose::Response, 1500, 33), Push::Dropped);
        assert_eq!(queue.push(Purpose::Response, 500, 34), Push::Waits);
    }
}
