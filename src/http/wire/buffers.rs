//! `GrowingBuffers`: the buffers of one connection, which grow with what is sent and received.
//!
//! ureq's own have one size: with hundreds of connections that costs much memory, or many system calls for large responses.
//! Measured with 256 calls in flight: 26 MB, with ureq's buffers 38 MB.

use crate::buffer::add_zeros;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use ureq::unversioned::transport::Buffers;

/// Enough for the head of a response and a small body.
const MIN_INPUT_BYTES: usize = 4 * 1024;

/// Maximum size of one read; more saves no time.
const MAX_READ_BYTES: usize = 128 * 1024;

/// Maximum size of what ureq must see as a whole, such as the head of a response.
const MAX_INPUT_BYTES: usize = 256 * 1024;

/// Size of the output buffer for a small request: the head and the body go in one packet.
const MIN_OUTPUT_BYTES: usize = 4 * 1024;

/// Maximum size of one write, unless the head of a request is larger.
const MAX_WRITE_BYTES: usize = 32 * 1024;

/// Size of the output buffer that the current request needs. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputSize(Arc<AtomicUsize>);

impl OutputSize {
    /// Begins a request. Its head must fit in; the beginning of its body goes with it.
    pub(crate) fn set(&self, head_bytes: usize, body_bytes: usize) {
        let all = head_bytes.saturating_add(body_bytes);
        let most = MAX_WRITE_BYTES.max(head_bytes);
        self.0.store(all.min(most), Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct GrowingBuffers {
    input: Vec<u8>,
    /// The input between `start` and `end` has been read and not been consumed.
    start: usize,
    end: usize,
    output: Vec<u8>,
    output_size: OutputSize,
    /// The last look at the input consumed some of it.
    is_useful: bool,
}

impl GrowingBuffers {
    pub(crate) fn new(output_size: OutputSize) -> GrowingBuffers {
        GrowingBuffers {
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Vec::new(),
            output_size,
            is_useful: false,
        }
    }

    /// Shrinks the input buffer when the next request begins.
    pub(crate) fn reset(&mut self) {
        if self.input.len() > MIN_INPUT_BYTES && self.start == self.end {
            (self.input, self.start, self.end) = (Vec::new(), 0, 0);
        }
    }
}

impl Buffers for GrowingBuffers {
    fn output(&mut self) -> &mut [u8] {
        let needed = self.output_size.0.load(Ordering::Relaxed).max(MIN_OUTPUT_BYTES);
        if self.output.len() < needed {
            // Not resized: fresh memory that is zero already is not touched.
            self.output = vec![0; needed];
        }
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        let was_full = self.end == self.input.len();
        self.input.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        // A full buffer is too small for the response, or for a part of it that must be seen as a whole.
        let largest = if self.end == self.input.len() { MAX_INPUT_BYTES } else { MAX_READ_BYTES };
        if was_full && self.input.len() < largest {
            let more = self.input.len().max(MIN_INPUT_BYTES);
            add_zeros(&mut self.input, more);
        }
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.is_useful = amount > 0;
        self.start += amount;
    }

    /// The first buffer is for chunked bodies, which are never sent.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], self.output())
    }

    fn can_use_input(&self) -> bool {
        self.start < self.end && self.is_useful
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffers: &mut GrowingBuffers, bytes: &[u8]) -> usize {
        let room = buffers.input_append_buf();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        buffers.input_appended(count);
        count
    }

    #[test]
    fn what_is_read_comes_out_in_order() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        let mut buffers = GrowingBuffers::new(OutputSize::default());
        let (mut read_so_far, mut out) = (0, Vec::new());
        for step in (1..).map(|n| n * 7919 % 60_000) {
            if out.len() == bytes.len() {
                break;
            }
            let end = bytes.len().min(read_so_far + step);
            read_so_far += read(&mut buffers, &bytes[read_so_far..end]);
            let some = (step * 31 % 50_000).min(buffers.input().len());
            out.extend_from_slice(&buffers.input()[..some]);
            buffers.input_consume(some);
            assert_eq!(buffers.can_use_input(), some > 0 && !buffers.input().is_empty());
            assert!(buffers.input.len() <= MAX_INPUT_BYTES);
        }
        assert_eq!(out, bytes);
    }

    #[test]
    fn a_request_gets_room_for_its_head_and_the_beginning_of_its_body() {
        let size = OutputSize::default();
        let mut buffers = GrowingBuffers::new(size.clone());
        for (head, body, room) in [
            (1000, 500, MIN_OUTPUT_BYTES),
            (1000, 20_000, 21_000),
            (1000, 5, 21_000),
            (1000, 1_000_000, MAX_WRITE_BYTES),
            (100_000, usize::MAX, 100_000),
        ] {
            size.set(head, body);
            assert_eq!(buffers.output().len(), room, "{head} {body}");
        }
    }

    #[test]
    fn they_grow_with_what_fills_them_and_shrink_for_the_next_request() {
        let plenty = vec![0; 1_000_000];
        let mut buffers = GrowingBuffers::new(OutputSize::default());
        let mut sizes = Vec::new();
        for _ in 0..7 {
            let count = read(&mut buffers, &plenty);
            buffers.input_consume(count);
            sizes.push(count / 1024);
        }
        assert_eq!(sizes, [4, 8, 16, 32, 64, 128, 128]);
        buffers.reset();
        assert_eq!(read(&mut buffers, &[0; 100]), 100);
        assert_eq!(read(&mut buffers, &[0; 10_000]), 4 * 1024 - 100);
        // Nothing is consumed: it must be seen as a whole.
        let whole: usize = (0..10).map(|_| read(&mut buffers, &plenty)).sum();
        assert_eq!(whole, MAX_INPUT_BYTES - 4 * 1024);
    }
}
