//! `Refusal`: the response to a request that is not passed on.

use crate::error::{Error, Kind};

/// A status, the error in the body, and a header that the status calls for.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) error: Box<Error>,
    pub(crate) header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Refusal {
        self.header = Some((name, value));
        self
    }
}

/// A request that breaks the rules of HTTP, or that two programs could read differently.
pub(crate) fn malformed(what: &str) -> Refusal {
    Refusal { status: 400, error: Error::new(Kind::InvalidRequest, what).into(), header: None }
}

/// A request that is read, and may not be sent here.
pub(crate) fn refused(what: &str, status: u16, kind: Kind, fix: &str) -> Refusal {
    Refusal { status, error: Error::new(kind, what).hint(fix).into(), header: None }
}
