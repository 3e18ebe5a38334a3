//! `RetryQuota`: the retries that all calls share, so that they do not overload a server in trouble.

use std::sync::atomic::{AtomicU32, Ordering};

/// As in the AWS SDKs: of 500 a retry takes 5 or 14, and a success returns them.
const CAPACITY: u32 = 500;

#[derive(Debug)]
pub(crate) struct RetryQuota(AtomicU32);

impl RetryQuota {
    /// Takes the cost of a retry. False if not enough is left.
    pub(crate) fn take(&self, cost: u32) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost))
            .is_ok()
    }

    /// Returns after a success what its last retry took, and a little if there was none.
    pub(crate) fn release(&self, cost: u32) {
        // The quota is mostly full, and nothing is written.
        if self.0.load(Ordering::Relaxed) < CAPACITY {
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_add(cost.max(1)).min(CAPACITY))
            });
        }
    }
}

impl Default for RetryQuota {
    fn default() -> RetryQuota {
        RetryQuota(AtomicU32::new(CAPACITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shared_and_a_success_returns_its_cost() {
        let quota = RetryQuota::default();
        assert_eq!((0..100).filter(|_| quota.take(14)).count(), 35);
        quota.release(14);
        assert!(quota.take(14) && !quota.take(14));
    }
}
