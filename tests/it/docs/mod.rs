pub(crate) mod errors;
pub(crate) mod pages;
pub(crate) mod reference;
pub(crate) mod troubleshooting;
