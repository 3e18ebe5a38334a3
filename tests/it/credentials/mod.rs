pub(crate) mod cases;
pub(crate) mod chain;
pub(crate) mod program;
