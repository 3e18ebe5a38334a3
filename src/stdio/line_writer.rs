//! `LineWriter`: whole lines to stdout, one after another.
//!
//! The client may stop reading, and a write then blocks indefinitely. So no lock is held across a write, and a thread that
//! waits for its turn can give up: its line may no longer be wanted.

use crate::sync::{lock, wait};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard};

/// Maximum number and total size of queued lines.
const MAX_QUEUED: usize = 10_000;
const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct LineWriter {
    state: Mutex<State>,
    /// The writer is free, or `reconsider` was called.
    changed: Condvar,
    /// A line was queued.
    queued: Condvar,
}

struct State {
    /// `None` while a thread writes.
    writer: Option<Box<dyn Write + Send>>,
    /// Number of threads that wait for their turn.
    waiting: usize,
    /// Lines of threads that must not wait. They are written before any other line.
    queue: VecDeque<Vec<u8>>,
    queue_bytes: usize,
}

impl LineWriter {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> LineWriter {
        let state = State {
            writer: Some(Box::new(writer)),
            waiting: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
        };
        LineWriter { state: Mutex::new(state), changed: Condvar::new(), queued: Condvar::new() }
    }

    /// Writes the line and a newline as soon as no other thread writes, unless the line is not wanted by then.
    ///
    /// Blocks until the client has taken the line. Returns how many queued lines were written before it.
    pub(crate) fn write(&self, line: Vec<u8>, is_wanted: impl Fn() -> bool) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let writer = loop {
            // Checked under the lock, at the last moment.
            if !is_wanted() {
                if state.writer.is_some() {
                    self.wake_next(&state);
                }
                return Ok(0);
            }
            if let Some(writer) = state.writer.take() {
                break writer;
            }
            state = self.wait(state);
        };
        self.write_with(state, writer, Some(line))
    }

    /// Queues a line for the next `write` or `write_queued`. False: the queue is full. Never waits.
    pub(crate) fn queue(&self, line: Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        let bytes = state.queue_bytes + line.len();
        if state.queue.len() == MAX_QUEUED || bytes > MAX_QUEUED_BYTES {
            return false;
        }
        state.queue_bytes = bytes;
        state.queue.push_back(line);
        drop(state);
        self.queued.notify_one();
        true
    }

    /// Waits until lines are queued and no other thread writes, and writes them. Returns their number.
    pub(crate) fn write_queued(&self) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let writer = loop {
            if state.queue.is_empty() {
                if state.writer.is_some() {
                    self.wake_next(&state);
                }
                state = wait(&self.queued, state);
            } else if let Some(writer) = state.writer.take() {
                break writer;
            } else {
                state = self.wait(state);
            }
        };
        self.write_with(state, writer, None)
    }

    fn write_with(
        &self,
        mut state: MutexGuard<'_, State>,
        writer: Box<dyn Write + Send>,
        line: Option<Vec<u8>>,
    ) -> io::Result<usize> {
        let queued = std::mem::take(&mut state.queue);
        state.queue_bytes = 0;
        drop(state);
        let mut turn = Turn { owner: self, writer: Some(writer) };
        let count = queued.len();
        queued.into_iter().chain(line).try_for_each(|line| turn.write(line))?;
        Ok(count)
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        state = wait(&self.changed, state);
        state.waiting -= 1;
        state
    }

    /// Makes waiting threads check again whether their lines are wanted.
    pub(crate) fn reconsider(&self) {
        if lock(&self.state).waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn wake_next(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_one();
        }
    }
}

/// The writer on loan, returned on drop, so also after a panic.
struct Turn<'a> {
    owner: &'a LineWriter,
    writer: Option<Box<dyn Write + Send>>,
}

impl Turn<'_> {
    fn write(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        // One write per line, and no copy of a large one to add a byte.
        line.reserve_exact(1);
        line.push(b'\n');
        writer.write_all(&line).and_then(|()| writer.flush())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.owner.state);
        state.writer = self.writer.take();
        self.owner.wake_next(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    /// Takes a line each time it is allowed to.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn queued_lines_are_written_before_later_ones() {
        let (let_one, lets) = channel();
        let (taken, lines) = channel();
        let output = LineWriter::new(Slow(lets, taken));
        (0..6).for_each(|_| let_one.send(()).expect("it is kept"));
        assert!(output.queue(b"a".to_vec()) && output.queue(b"b".to_vec()));
        assert_eq!(output.write(b"c".to_vec(), || true).expect("it is written"), 2);
        assert!(output.queue(b"d".to_vec()));
        assert_eq!(output.write_queued().expect("it is written"), 1);
        assert_eq!(lines.try_iter().collect::<Vec<_>>().concat(), b"a\nb\nc\nd\n");
        assert!(!output.queue(vec![b'x'; MAX_QUEUED_BYTES + 1]));
    }

    #[test]
    fn a_line_that_is_no_longer_wanted_stops_waiting() {
        let (let_one, lets) = channel();
        let (taken, lines) = channel();
        let output = Arc::new(LineWriter::new(Slow(lets, taken)));
        let write = |line: &'static str, wanted: &Arc<AtomicBool>| {
            let (output, wanted) = (Arc::clone(&output), Arc::clone(wanted));
            thread::spawn(move || output.write(line.into(), || wanted.load(Ordering::SeqCst)))
        };
        let yes = Arc::new(AtomicBool::new(true));
        let changing = Arc::new(AtomicBool::new(true));
        let first = write("first", &yes);
        while lock(&output.state).writer.is_some() {
            thread::yield_now();
        }
        let second = write("second", &changing);
        while lock(&output.state).waiting == 0 {
            thread::yield_now();
        }
        changing.store(false, Ordering::SeqCst);
        output.reconsider();
        second.join().expect("no panic").expect("it is done without a write");
        let third = write("third", &yes);
        for _ in 0..2 {
            let_one.send(()).expect("a write waits");
        }
        for thread in [first, third] {
            thread.join().expect("no panic").expect("it is written");
        }
        assert_eq!(
            lines.try_iter().collect::<Vec<_>>(),
            [b"first\n".to_vec(), b"third\n".to_vec()]
        );
    }
}
