pub(crate) mod dependencies;
pub(crate) mod rooms;
