//! `Output`: stdout. Whole lines, one after another.
//!
//! The client may stop reading, and a write then blocks for as long as it likes. So no lock is held across a write, and a
//! thread that waits for its turn can be sent away: its line may no longer be wanted.

use crate::large::put_away;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) struct Output {
    state: Mutex<State>,
    /// The writer is free, or `reconsider` was called.
    changed: Condvar,
}

struct State {
    /// `None` while a thread writes.
    writer: Option<Box<dyn Write + Send>>,
    /// Threads that wait for their turn.
    waiting: usize,
}

impl Output {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Output {
        let state = State { writer: Some(Box::new(writer)), waiting: 0 };
        Output { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Writes the line, to which it adds the newline, as soon as no other thread writes; unless it is not wanted by then.
    ///
    /// Blocks until the client has taken the line.
    pub(crate) fn write(&self, mut line: Vec<u8>, is_wanted: impl Fn() -> bool) -> io::Result<()> {
        let mut state = self.state();
        let writer = loop {
            // Looked at under the lock, at the last moment.
            if !is_wanted() {
                if state.writer.is_some() {
                    self.wake_next(&state);
                }
                return Ok(());
            }
            if let Some(writer) = state.writer.take() {
                break writer;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        };
        drop(state);
        let mut turn = Turn { output: self, writer: Some(writer) };
        // One write a line, and no copy of a large one for the sake of a byte.
        line.reserve_exact(1);
        line.push(b'\n');
        let written = turn.write(&line);
        drop(turn);
        put_away(line);
        written
    }

    /// Lets the threads that wait look again whether their lines are wanted.
    pub(crate) fn reconsider(&self) {
        if self.state().waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn wake_next(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer on loan; it goes back also when a write panics.
struct Turn<'a> {
    output: &'a Output,
    writer: Option<Box<dyn Write + Send>>,
}

impl Turn<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_all(line)?;
        writer.flush()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.output.state();
        state.writer = self.writer.take();
        self.output.wake_next(&state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    /// Takes a line each time it is let.
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
    fn a_line_that_is_no_longer_wanted_waits_no_longer() {
        let (let_one, lets) = channel();
        let (taken, lines) = channel();
        let output = Arc::new(Output::new(Slow(lets, taken)));
        let write = |line: &'static str, wanted: &Arc<AtomicBool>| {
            let (output, wanted) = (Arc::clone(&output), Arc::clone(wanted));
            thread::spawn(move || output.write(line.into(), || wanted.load(Ordering::SeqCst)))
        };
        let yes = Arc::new(AtomicBool::new(true));
        let changing = Arc::new(AtomicBool::new(true));
        let first = write("first", &yes);
        while output.state().writer.is_some() {
            thread::yield_now();
        }
        let second = write("second", &changing);
        while output.state().waiting == 0 {
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
