//! Locks whose values are whole between statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex. No value here is left between two states while its lock is held, so a poisoned lock is as good as new.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
