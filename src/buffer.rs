//! Buffers for large messages, in memory that returns to the system when the message is gone.
//!
//! glibc keeps what was freed for the thread that had it, up to 32 MiB a block: a few threads that relay large messages
//! in turn would each hold a block forever, and one 16 MB reply took 38 MB in place of 22. A larger block is mapped and
//! unmapped; untouched pages cost nothing.

/// Messages above this size, in bytes, are large.
const LARGE: usize = 1024 * 1024;

/// Bytes that are reserved for a large message: above the size that glibc keeps.
const MAPPED: usize = 33 * 1024 * 1024;

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

/// Appends this many zeros. `Vec::resize` writes them one by one where the program is built to be small.
pub(crate) fn add_zeros(buffer: &mut Vec<u8>, mut bytes: usize) {
    static ZEROS: [u8; 4096] = [0; 4096];
    buffer.reserve(bytes);
    while bytes > 0 {
        let piece = bytes.min(ZEROS.len());
        buffer.extend_from_slice(&ZEROS[..piece]);
        bytes -= piece;
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
