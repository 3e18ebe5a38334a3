pub(crate) mod oracle;
pub(crate) mod vectors;
