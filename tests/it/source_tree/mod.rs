pub(crate) mod dependencies;
pub(crate) mod image;
pub(crate) mod rooms;
