pub(crate) mod messages;
pub(crate) mod program;
