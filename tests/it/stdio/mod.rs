pub(crate) mod discover;
pub(crate) mod limits;
pub(crate) mod lines;
pub(crate) mod logs;
pub(crate) mod non_blocking;
pub(crate) mod relaying;
