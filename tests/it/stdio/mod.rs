pub(crate) mod cancelling;
pub(crate) mod discover;
pub(crate) mod limits;
pub(crate) mod lines;
pub(crate) mod logs;
pub(crate) mod relaying;
pub(crate) mod shutdown;
