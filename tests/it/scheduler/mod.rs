pub(crate) mod bounds;
