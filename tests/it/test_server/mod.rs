mod responses;
pub(crate) mod verification;
