//! `Output`: writes every line to the client. A written response completes its call; a failed write ends the process.

use crate::error::{Error, Kind};
use crate::json::line::one_line;
use crate::log::Log;
use crate::mcp::message::Message;
use crate::scheduler::{After, InFlight, Scheduler};
use crate::stdio::input::ClientInput;
use crate::stdio::line_writer::LineWriter;
use crate::stdio::shutdown::ShutdownReason;
use crate::streamable_http::relayed::Line;
use crate::sync::Sender;
use std::io::{self, Write};
use std::sync::Arc;

/// Maximum size of lines that are written together.
const MAX_HELD_BYTES: usize = 64 * 1024;

pub(crate) struct Output {
    writer: LineWriter,
    scheduler: Arc<Scheduler<ClientInput>>,
    shutdown: Sender<ShutdownReason>,
    log: Log,
}

impl Output {
    pub(crate) fn new(
        writer: impl Write + Send + 'static,
        scheduler: Arc<Scheduler<ClientInput>>,
        shutdown: Sender<ShutdownReason>,
        log: Log,
    ) -> Output {
        Output { writer: LineWriter::new(writer), scheduler, shutdown, log }
    }

    /// Writes a line of a call after those that it holds, unless the client cancelled it. A line with a successor is
    /// held for it, so that a burst of events costs few writes. `is_answered`: with this line, every request of the call has its
    /// response.
    pub(crate) fn deliver(
        &self,
        call: &Arc<InFlight>,
        held: &mut Vec<u8>,
        line: Line,
        is_answered: bool,
    ) -> Result<(), Error> {
        let Line { bytes, answers, is_last, stays_open, has_next, .. } = line;
        if answers.is_empty() {
            let line = one_line(bytes);
            if held.len() + line.len() > MAX_HELD_BYTES {
                self.write_held(call, held)?;
            }
            if held.is_empty() {
                *held = line;
            } else {
                held.push(b'\n');
                held.extend(line);
            }
            return if has_next { Ok(()) } else { self.write_held(call, held) };
        }
        self.write_held(call, held)?;
        let is_wanted = || !call.are_cancelled(&answers);
        self.write(bytes, is_wanted)?;
        if is_answered {
            let after = match (is_last && is_wanted(), stays_open) {
                (true, _) => After::NextMessage,
                (false, true) => After::OpenStream,
                (false, false) => After::Nothing,
            };
            self.scheduler.complete(call, after);
        }
        Ok(())
    }

    /// Writes the lines that a call holds, unless the client cancelled it.
    pub(crate) fn write_held(&self, call: &InFlight, held: &mut Vec<u8>) -> Result<(), Error> {
        if held.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(held);
        self.finish_write(self.writer.write(lines, || call.is_wanted()))
    }

    /// Writes the document as one line once stdout accepts it, if it is still wanted then.
    ///
    /// # Errors
    /// `Cancelled`: stdout is closed, and the process ends.
    pub(crate) fn write(
        &self,
        document: Vec<u8>,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        self.finish_write(self.writer.write(one_line(document), is_wanted))
    }

    /// Has the error written by another thread, as the response to each of these messages that has requests. Never waits.
    pub(crate) fn queue_errors<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a Message>,
        error: &Error,
    ) {
        for message in messages.into_iter().filter(|message| !message.ids().is_empty()) {
            self.queue(message.error_responses(error, self.log.redactor()));
        }
    }

    /// Has a line of this program written by another thread. Never waits.
    pub(crate) fn queue(&self, line: String) {
        self.scheduler.begin_detached();
        if !self.writer.queue(one_line(line.into_bytes())) {
            self.log.error_once("dropping an error response: the client does not read stdout");
            self.scheduler.end_detached();
        }
    }

    /// Writes queued lines while no call writes any, until stdout is closed.
    pub(crate) fn write_queued_lines(&self) {
        while self.finish_write(self.writer.write_queued()).is_ok() {}
    }

    /// Makes threads that wait for stdout check whether their lines are still wanted.
    pub(crate) fn reconsider(&self) {
        self.writer.reconsider();
    }

    /// `written`: how many queued lines were.
    fn finish_write(&self, written: io::Result<usize>) -> Result<(), Error> {
        match written {
            Ok(queued) => {
                (0..queued).for_each(|_| self.scheduler.end_detached());
                Ok(())
            }
            Err(error) => {
                let _ = self.shutdown.send(ShutdownReason::OutputClosed);
                Err(Error::new(Kind::Cancelled, format!("stdout: {error}")))
            }
        }
    }
}
