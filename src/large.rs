//! Room for large messages, in memory that goes back to the system when the message is gone.
//!
//! glibc keeps what was freed for the thread that had it, up to 32 MiB a block: a few threads that relay large messages
//! in turn would hold a block each for ever. A block beyond that is mapped and unmapped; what of it is not
//! touched costs nothing.

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
