//! The HTTP statuses of errors, whose bodies are the same as on stdio.

use crate::error::{Error, Kind};

/// The status of a failure. Never 401, on which clients would try to sign in to the listener.
pub(crate) fn of_error(error: &Error) -> u16 {
    match error.kind() {
        Kind::InvalidResponse | Kind::HttpStatus(_) if error.lacks_session() => 404,
        // The client cannot fix the credentials of this process.
        Kind::HttpStatus(401 | 403) => 502,
        Kind::HttpStatus(status @ 400..=599) => status,
        Kind::InvalidRequest => 400,
        Kind::PolicyDenied => 403,
        // A body that is too large is refused when it is read, so these are the headers.
        Kind::TooLarge if error.is_unsent() => 431,
        Kind::TooMany | Kind::Cancelled => 503,
        Kind::TimedOut => 504,
        Kind::Internal => 500,
        Kind::InvalidResponse
        | Kind::TooLarge
        | Kind::Credentials
        | Kind::NoCredentials
        | Kind::HttpStatus(_)
        | Kind::Unreachable
        | Kind::Usage => 502,
    }
}

/// The status of the server's own error response. One that says something else to HTTP clients than that it is an error, such as a
/// redirect, is not passed on.
pub(crate) fn of_server(status: u16) -> u16 {
    match status {
        400 | 402..=599 => status,
        _ => 502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_whose_failure_it_is() {
        for (kind, status) in [
            (Kind::InvalidRequest, 400),
            (Kind::PolicyDenied, 403),
            (Kind::HttpStatus(404), 404),
            (Kind::HttpStatus(405), 405),
            (Kind::HttpStatus(429), 429),
            (Kind::HttpStatus(401), 502),
            (Kind::HttpStatus(403), 502),
            (Kind::HttpStatus(302), 502),
            (Kind::Credentials, 502),
            (Kind::Unreachable, 502),
            (Kind::TimedOut, 504),
            (Kind::TooLarge, 502),
            (Kind::TooMany, 503),
        ] {
            assert_eq!(of_error(&Error::new(kind, "why")), status, "{kind:?}");
        }
        assert_eq!(of_error(&Error::new(Kind::TooLarge, "why").unsent()), 431);
        for (status, expected) in
            [(400, 400), (401, 502), (403, 403), (599, 599), (204, 502), (302, 502), (600, 502)]
        {
            assert_eq!(of_server(status), expected);
        }
        let lost = |kind| Error::new(kind, "the session has ended").for_lack_of_session();
        assert_eq!(of_error(&lost(Kind::InvalidResponse)), 404);
        assert_eq!(of_error(&lost(Kind::Unreachable)), 502);
    }
}
