//! Room for large messages, in memory that goes back to the system when the message is gone, but for that of one message.
//!
//! glibc keeps what was freed for the thread that had it, up to 32 MiB a block: a few threads that relay large messages
//! in turn would hold a block each for ever. A block beyond that is mapped and unmapped; what of it is not
//! touched costs nothing.

use std::sync::{Mutex, PoisonError};

/// A message larger than this is large.
const LARGE: usize = 1024 * 1024;

/// More than glibc ever keeps.
const MAPPED: usize = 33 * 1024 * 1024;

/// Makes room for so many bytes more.
pub(crate) fn make_room(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.capacity() - buffer.len() >= bytes {
        return;
    }
    let needed = buffer.len().saturating_add(bytes);
    if needed > LARGE && needed <= MAPPED {
        buffer.reserve_exact(MAPPED - buffer.len());
    } else {
        buffer.reserve(bytes);
    }
}

/// Less than this is got as fast as it is kept.
const WORTH_KEEPING: usize = 64 * 1024;

/// Of a message that is gone. To get and clear memory anew for each costs more than to read into it.
static SPARE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A buffer with anything in it.
pub(crate) fn used_buffer() -> Vec<u8> {
    std::mem::take(&mut SPARE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps the memory for the next message, if it is neither too small nor too large for that.
pub(crate) fn put_away(buffer: Vec<u8>) {
    if (WORTH_KEEPING..=2 * LARGE).contains(&buffer.capacity()) {
        *SPARE.lock().unwrap_or_else(PoisonError::into_inner) = buffer;
    }
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
}
