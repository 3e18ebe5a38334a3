//! The heap of the static binary: one for all threads. A heap for each would hold 120 kB for each call that waits.

use spin::RelaxStrategy;
use spin::mutex::SpinMutex;
use std::alloc::System;
use std::cell::Cell;
use std::{hint, thread};
use talc::TalcLock;
use talc::source::GlobalAllocSource;

/// Takes blocks of at least `BLOCK_BYTES` from the allocator of musl, to which all but the first return when they are empty.
pub type Heap = TalcLock<SpinMutex<(), SpinThenYield>, GlobalAllocSource<System>>;

/// The heap before its first block.
pub const fn empty_heap() -> Heap {
    TalcLock::new(GlobalAllocSource::with_block_size(System, BLOCK_BYTES))
}

/// So that a message of 1 MB fits into the first block: new pages for each would take a third of the time that it needs.
/// Pages that nothing has touched take no memory.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Failed attempts to take the lock after which a thread yields.
const SPINS: u32 = 256;

/// How a thread waits for the heap, which another holds for some 50 ns. To yield at once would take longer than that, and a
/// thread that only spins would lose a time slice whenever the other was interrupted.
#[derive(Debug)]
pub struct SpinThenYield;

thread_local! {
    static ATTEMPTS: Cell<u32> = const { Cell::new(0) };
}

impl RelaxStrategy for SpinThenYield {
    fn relax() {
        let attempts = ATTEMPTS.get().wrapping_add(1);
        ATTEMPTS.set(attempts);
        if attempts.is_multiple_of(SPINS) {
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
    }
}
