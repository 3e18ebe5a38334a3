pub(crate) mod listening;
pub(crate) mod messages;
pub(crate) mod program;
