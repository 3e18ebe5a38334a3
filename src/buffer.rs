//! Buffers for large messages, in memory that returns to the system when the message is gone, except for one.
//!
//! glibc keeps what was freed for the thread that had it, up to 32 MiB a block: a few threads that relay large messages
//! in turn would each hold a block forever. A larger block is mapped and unmapped; untouched pages cost nothing. Mapping
//! and clearing one for each of many large messages costs as much as reading them, so the process keeps the last one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Smaller messages are not worth keeping memory for.
const SMALL: usize = 64 * 1024;

/// Messages above this size are large.
const LARGE: usize = 1024 * 1024;

/// Above the size that glibc keeps.
const MAPPED: usize = 33 * 1024 * 1024;

static SPARE: Spare = Spare { kept: Mutex::new(Vec::new()), capacity: AtomicUsize::new(0) };

/// Reserves this many additional bytes.
pub(crate) fn make_room(buffer: &mut Vec<u8>, bytes: usize) {
    let needed = buffer.len().saturating_add(bytes);
    if buffer.capacity() >= needed {
        return;
    }
    if needed > LARGE && needed <= MAPPED {
        buffer.reserve_exact(MAPPED - buffer.len());
    } else {
        buffer.reserve(bytes);
    }
}

/// Reserves memory for a message of unknown final size, possibly that of an earlier message. To be released by `put_away`.
pub(crate) fn make_room_from_spare(buffer: &mut Vec<u8>, bytes: usize) {
    SPARE.make_room(buffer, bytes);
}

/// A complete message of that kind: memory much larger than the message is returned.
pub(crate) fn grown(message: Vec<u8>) -> Vec<u8> {
    SPARE.grown(message)
}

/// A kept buffer with at least this capacity, with arbitrary content, if there is one.
pub(crate) fn used_buffer(bytes: usize) -> Vec<u8> {
    SPARE.take(bytes, most_for(bytes)).unwrap_or_default()
}

/// Keeps the memory of a finished message for the next; that of a large one until a smaller message passes.
pub(crate) fn put_away(message: Vec<u8>) {
    SPARE.put_away(message);
}

#[derive(Default)]
struct Spare {
    kept: Mutex<Vec<u8>>,
    /// Capacity of `kept`. The many small messages read this only.
    capacity: AtomicUsize,
}

impl Spare {
    fn make_room(&self, buffer: &mut Vec<u8>, bytes: usize) {
        let needed = buffer.len().saturating_add(bytes);
        if buffer.capacity() < needed
            && let Some(mut used) = self.take(needed, most_for(needed).max(2 * LARGE))
        {
            used.clear();
            used.extend_from_slice(buffer);
            *buffer = used;
        }
        make_room(buffer, bytes);
    }

    fn grown(&self, message: Vec<u8>) -> Vec<u8> {
        if message.capacity() <= most_for(message.len()).max(SMALL) {
            return message;
        }
        let fitting = message.as_slice().into();
        self.keep(message);
        fitting
    }

    fn take(&self, needed: usize, most: usize) -> Option<Vec<u8>> {
        let capacity = self.capacity.load(Ordering::Relaxed);
        if needed <= SMALL || capacity < needed || capacity > most {
            return None;
        }
        let mut spare = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fitting = (needed..=most).contains(&spare.capacity());
        let taken = is_fitting.then(|| std::mem::take(&mut *spare));
        self.capacity.store(spare.capacity(), Ordering::Relaxed);
        taken
    }

    fn keep(&self, memory: Vec<u8>) {
        let mut spare = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = memory;
        self.capacity.store(spare.capacity(), Ordering::Relaxed);
    }

    fn put_away(&self, message: Vec<u8>) {
        let is_fitting = message.len() >= SMALL && message.capacity() <= 2 * LARGE;
        let is_large = message.len() > LARGE && message.capacity() <= MAPPED;
        let takes_its_place = is_fitting || is_large;
        if !takes_its_place && self.capacity.load(Ordering::Relaxed) <= 2 * LARGE {
            return;
        }
        self.keep(if takes_its_place { message } else { Vec::new() });
    }
}

/// Maximum capacity for a message of this size, since the message's holder keeps all of it. Untouched mapped pages do
/// not count.
fn most_for(bytes: usize) -> usize {
    let fourfold = bytes.saturating_mul(4);
    if bytes > LARGE { fourfold.max(MAPPED) } else { fourfold }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_stay_small_and_large_ones_are_mapped() {
        let mut buffer = Vec::new();
        for (so_far, bytes, least, most) in [
            (0, 100, 100, 200),
            (100, LARGE - 100, LARGE, LARGE),
            (LARGE, 1, MAPPED, MAPPED),
            (MAPPED, 1, MAPPED + 1, 2 * MAPPED),
        ] {
            buffer.resize(so_far, 0);
            make_room(&mut buffer, bytes);
            assert!((least..=most).contains(&buffer.capacity()), "{}", buffer.capacity());
        }
    }

    #[test]
    fn one_is_kept_until_a_smaller_one_passes() {
        let spare = Spare::default();
        let large = || vec![7; 3 * LARGE];
        spare.put_away(large());
        assert_eq!(spare.take(2 * LARGE, MAPPED), Some(large()));
        assert_eq!(spare.take(2 * LARGE, MAPPED), None);

        spare.put_away(large());
        spare.put_away(vec![1; 10]);
        assert_eq!(
            spare.take(2 * LARGE, MAPPED),
            None,
            "a small one lets go of it, and is not kept"
        );

        spare.put_away(vec![1; 2 * SMALL]);
        spare.put_away(vec![1; 10]);
        assert_eq!(spare.take(SMALL + 1, MAPPED), Some(vec![1; 2 * SMALL]));

        let mut lean = large();
        lean.truncate(SMALL);
        spare.put_away(lean);
        assert_eq!(spare.take(2 * LARGE, MAPPED), None, "most of it was not needed");
    }

    #[test]
    fn what_grew_in_the_memory_of_a_larger_one_gives_it_back() {
        let spare = Spare::default();
        for (bytes, gives_back) in [(100_000, true), (LARGE / 2, false)] {
            spare.put_away(vec![7; LARGE]);
            let mut buffer = vec![1; SMALL];
            spare.make_room(&mut buffer, 1);
            assert_eq!(buffer.capacity(), LARGE);
            buffer.resize(bytes, 1);
            let message = spare.grown(buffer);
            assert_eq!(message, vec![1; bytes]);
            assert_eq!(message.capacity() < LARGE, gives_back);
            assert_eq!(spare.take(LARGE, LARGE).is_some(), gives_back);
        }
        let mut larger_than_any = Vec::with_capacity(2 * MAPPED);
        larger_than_any.resize(MAPPED + 1, 1);
        assert_eq!(spare.grown(larger_than_any).capacity(), 2 * MAPPED);
    }

    #[test]
    fn a_smaller_message_does_not_hold_the_memory_of_a_large_one() {
        let spare = Spare::default();
        spare.put_away(vec![7; 3 * LARGE]);
        let mut buffer = vec![1, 2, 3];
        for bytes in [10, 2 * SMALL] {
            spare.make_room(&mut buffer, bytes);
            assert_eq!(buffer, [1, 2, 3]);
            assert!(buffer.capacity() < 4 * SMALL, "{}", buffer.capacity());
        }
        spare.make_room(&mut buffer, 2 * LARGE);
        assert_eq!((&buffer[..], buffer.capacity()), (&[1, 2, 3][..], 3 * LARGE));
        assert_eq!(spare.take(2 * LARGE, MAPPED), None);
    }
}
