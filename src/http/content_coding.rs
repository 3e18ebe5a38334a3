//! `UnrequestedCoding`: a body that is compressed although every request accepts only `identity`.

use crate::error::{Error, Kind, quoted};
use std::fmt;
use ureq::http::header::{CONTENT_ENCODING, HeaderMap, TRANSFER_ENCODING};

/// The coding of a body (RFC 9110 §8.4) that was not requested, and so cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct UnrequestedCoding(String);

impl UnrequestedCoding {
    /// `None` if the headers name no coding. Some servers send the charset as one; such a body is plain.
    pub(crate) fn of(headers: &HeaderMap) -> Option<UnrequestedCoding> {
        let mut codings: Vec<String> = Vec::new();
        for (header, plain) in [(CONTENT_ENCODING, "utf-8"), (TRANSFER_ENCODING, "chunked")] {
            for value in headers.get_all(header) {
                let value = String::from_utf8_lossy(value.as_bytes());
                let is_coding = |name: &&str| {
                    !["", "identity", plain].iter().any(|plain| plain.eq_ignore_ascii_case(name))
                };
                let names = value.split(',').map(str::trim).filter(is_coding);
                codings.extend(names.map(str::to_owned));
            }
        }
        (!codings.is_empty()).then(|| UnrequestedCoding(codings.join(", ")))
    }

    pub(crate) fn to_error(&self) -> Error {
        let coding = quoted(&self.0);
        let what = format!("the response is encoded with {coding}, which was not requested");
        Error::new(Kind::InvalidResponse, what)
            .hint("disable compression on the server or the gateway in front of it")
    }
}

impl fmt::Display for UnrequestedCoding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.to_error().message())
    }
}

impl std::error::Error for UnrequestedCoding {}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::header::{HeaderName, HeaderValue};

    #[test]
    fn codings_that_were_not_requested() {
        for (name, values, coding) in [
            ("content-encoding", &["gzip"][..], Some("gzip")),
            ("content-encoding", &["identity, BR"], Some("BR")),
            ("content-encoding", &["deflate", "zstd"], Some("deflate, zstd")),
            ("content-encoding", &["identity"], None),
            ("content-encoding", &["Identity, "], None),
            ("content-encoding", &["UTF-8"], None),
            ("transfer-encoding", &["chunked"], None),
            ("transfer-encoding", &["gzip, chunked"], Some("gzip")),
            ("content-type", &["gzip"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let found = UnrequestedCoding::of(&headers).map(|coding| coding.0);
            assert_eq!(found.as_deref(), coding, "{name}: {values:?}");
        }
    }
}
