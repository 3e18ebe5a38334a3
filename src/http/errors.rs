//! Converts ureq's errors to `Error`.

use crate::error::{Error, Kind};
use crate::http::content_coding::UnrequestedCoding;
use std::io;
use ureq::Timeout;

/// The error of an exchange that had begun: the request may have reached the server.
pub(crate) fn exchange_error(error: &ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(Timeout::Global) => {
            Error::new(Kind::TimedOut, "the request timed out")
                .hint("raise --timeout, or --tool-timeout for tools/call")
        }
        ureq::Error::Timeout(Timeout::PerRead) => {
            Error::new(Kind::TimedOut, "the server sent nothing within the read timeout")
                .hint("raise --read-timeout")
        }
        ureq::Error::Timeout(Timeout::PerWrite) => Error::new(
            Kind::TimedOut,
            "the server did not accept the request within the write timeout",
        )
        .hint("raise --write-timeout"),
        ureq::Error::LargeResponseHeader(_, limit) => Error::new(
            Kind::InvalidResponse,
            format!("the response headers are larger than {limit} bytes"),
        ),
        ureq::Error::Io(error) => io_error(error),
        ureq::Error::Protocol(error) => Error::new(
            Kind::InvalidResponse,
            format!("the server's response is not valid HTTP: {error}"),
        ),
        other => Error::new(Kind::Unreachable, other.to_string()),
    }
}

/// The error of a connection that broke.
pub(crate) fn io_error(error: &io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "connection closed before the response was complete".to_owned()
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "connection reset".to_owned(),
        io::ErrorKind::InvalidData => format!("TLS: {error}"),
        _ => error.to_string(),
    };
    Error::new(Kind::Unreachable, what).hint("the request may have reached the server")
}

/// The error of a response body that could not be read to its end.
pub(crate) fn read_error(error: io::Error) -> Error {
    let inner = error.get_ref();
    if let Some(coding) = inner.and_then(|inner| inner.downcast_ref::<UnrequestedCoding>()) {
        return coding.to_error();
    }
    exchange_error(&ureq::Error::from(error))
}
