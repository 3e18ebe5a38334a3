//! `BodyBudget`: bounds the memory of the bodies of all requests together.

use crate::error::Kind;
use crate::listener::refusal::{Refusal, refused};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A body up to this size, in bytes, is always read: the number of connections bounds their sum.
const SMALL_BODY: usize = 64 * 1024;

/// The budget is this multiple of the largest body, and at least this size in bytes.
const LARGEST_BODIES: usize = 2;
const MIN_BUDGET: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct BodyBudget {
    max: usize,
    taken: AtomicUsize,
}

/// What one request has taken of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct BodyShare<'a> {
    budget: &'a BodyBudget,
    taken: usize,
}

impl BodyBudget {
    pub(crate) fn new(max_body_bytes: usize) -> BodyBudget {
        let max = max_body_bytes.saturating_mul(LARGEST_BODIES).max(MIN_BUDGET);
        BodyBudget { max, taken: AtomicUsize::new(0) }
    }

    /// An empty share.
    pub(crate) fn share(&self) -> BodyShare<'_> {
        BodyShare { budget: self, taken: 0 }
    }
}

impl BodyShare<'_> {
    /// Takes this many bytes more.
    ///
    /// # Errors
    /// The body is large, and there is no room for it now.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
        self.taken += bytes;
        if self.taken <= SMALL_BODY || before.saturating_add(bytes) <= self.budget.max {
            return Ok(());
        }
        let what = "too many large requests at the same time";
        let refusal = refused(what, 503, Kind::TooMany, "send it again later");
        Err(refusal.with_header("Retry-After", "1"))
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_the_budget_and_small_ones_always_fit() {
        let budget = BodyBudget::new(MIN_BUDGET);
        let mut shares: Vec<_> = (0..LARGEST_BODIES).map(|_| budget.share()).collect();
        for share in &mut shares {
            share.take(MIN_BUDGET - 1).expect("it fits");
            share.take(1).expect("it fits");
        }
        let mut small = budget.share();
        small.take(SMALL_BODY).expect("it is small");
        let refusal = small.take(1).expect_err("it is no longer small");
        assert_eq!((refusal.status, refusal.header), (503, Some(("Retry-After", "1"))));
        drop((small, shares.pop()));
        budget.share().take(MIN_BUDGET).expect("there is room again");
        drop(shares);
        assert_eq!(budget.taken.into_inner(), 0);
    }
}
