pub(crate) mod limits;
pub(crate) mod logs;
pub(crate) mod relaying;
