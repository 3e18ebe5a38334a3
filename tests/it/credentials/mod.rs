pub(crate) mod cases;
pub(crate) mod chain;
pub(crate) mod program;
pub(crate) mod token_files;
