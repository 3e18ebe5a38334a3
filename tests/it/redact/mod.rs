pub(crate) mod secrets;
