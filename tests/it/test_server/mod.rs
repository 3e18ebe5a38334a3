pub(crate) mod verification;
