//! `DetachedQueue`: messages independent of the order of requests, with limits on how many are sent concurrently.
//!
//! A server may accept any of them slowly. Each kind has its own limit, so that no kind delays another. Makes decisions only;
//! the scheduler has the threads.

use std::collections::VecDeque;

/// Maximum number of messages of one kind that wait.
const MAX_WAITING: usize = 1000;

/// Maximum total size of the waiting messages of one kind, as a multiple of the largest message.
const MAX_WAITING_MESSAGES_WORTH: usize = 2;

/// Kind of a detached message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The client cancels a request.
    Cancellation,
    /// The client responds to a request of the server.
    Response,
    /// The client responds to a `ping` of the server.
    Pong,
    /// sigv4-proxy refuses a request of the server.
    Refusal,
}

impl Purpose {
    /// Maximum number of messages of this kind that are sent concurrently.
    fn max_concurrent(self) -> usize {
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
    /// Indexed by `Purpose`.
    queues: [PurposeQueue<T>; 4],
}

#[derive(Debug)]
struct PurposeQueue<T> {
    /// Messages that are being sent.
    in_flight: usize,
    /// Waiting messages with their sizes in bytes.
    waiting: VecDeque<(usize, T)>,
    waiting_bytes: usize,
}

/// Result of `push`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Push<T> {
    /// The caller sends the message now, on a thread that calls `next` afterwards.
    Send(T),
    Waits,
    /// The queue is full.
    Dropped,
}

impl<T> DetachedQueue<T> {
    pub(crate) fn new(max_message_bytes: usize) -> DetachedQueue<T> {
        let queue = || PurposeQueue { in_flight: 0, waiting: VecDeque::new(), waiting_bytes: 0 };
        let max_bytes = max_message_bytes.saturating_mul(MAX_WAITING_MESSAGES_WORTH);
        DetachedQueue { max_bytes, queues: [queue(), queue(), queue(), queue()] }
    }

    pub(crate) fn push(&mut self, purpose: Purpose, bytes: usize, message: T) -> Push<T> {
        let queue = &mut self.queues[purpose as usize];
        if queue.in_flight < purpose.max_concurrent() {
            queue.in_flight += 1;
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

    /// Records that the message of `Push::Send` was not sent for lack of a thread.
    pub(crate) fn send_failed(&mut self, purpose: Purpose) {
        // No message is stranded: if some wait, the limit is reached, and the other threads send them.
        self.queues[purpose as usize].in_flight -= 1;
    }

    /// The next message for a thread that has sent one of this kind. `None`: none waits, and the thread stops sending.
    pub(crate) fn next(&mut self, purpose: Purpose) -> Option<T> {
        let queue = &mut self.queues[purpose as usize];
        let Some((bytes, message)) = queue.waiting.pop_front() else {
            queue.in_flight -= 1;
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
    fn each_kind_has_its_own_limit_and_keeps_its_order() {
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
    fn waiting_messages_are_bounded_in_number_and_size() {
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
