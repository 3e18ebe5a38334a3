pub(crate) mod hosts;
pub(crate) mod limits;
