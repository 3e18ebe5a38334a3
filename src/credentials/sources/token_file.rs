//! Files that hold a token and nothing else: web identity tokens and a container's authorization token.
//!
//! They are read for each request, because Kubernetes replaces them. Not every writer replaces a file in one step, so a file
//! that is empty or half written is read again.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::environment::file;
use crate::error::{Error, Kind, io_message};
use crate::sync::cancel::Cancel;

/// The largest token file, in bytes.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// Pauses before a file that another process may be writing is read again.
pub(crate) const REREAD_PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// Reads a token, which is not empty.
pub(crate) fn read(path: &Path, cancel: &Cancel) -> Result<String, Error> {
    read_whole(path, cancel).map_err(|error| {
        let failed = Error::new(Kind::Credentials, io_message(&error));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failed.hint(file::how_to_permit(path)),
            _ => failed,
        }
    })
}

fn read_whole(path: &Path, cancel: &Cancel) -> io::Result<String> {
    let mut pauses = REREAD_PAUSES.iter();
    loop {
        let bytes = file::read(path, MAX_TOKEN_BYTES)?;
        let is_whole = str::from_utf8(&bytes).is_ok_and(is_whole);
        match pauses.next() {
            Some(pause) if !is_whole && !cancel.sleep(*pause) => {}
            _ if bytes.trim_ascii().is_empty() => return Err(io::Error::other("empty")),
            _ => return String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8")),
        }
    }
}

/// Reads the token that replaces one that was refused; `None` if the file stays as it is.
pub(crate) fn read_newer(path: &Path, refused: &str, cancel: &Cancel) -> Option<String> {
    let mut pauses = REREAD_PAUSES.iter();
    loop {
        let token = read_whole(path, cancel).ok()?;
        if token != refused {
            return Some(token);
        }
        if cancel.sleep(*pauses.next()?) {
            return None;
        }
    }
}

/// Whether a text can be a whole token. A JWT has three parts or more; other tokens have no form to judge by.
fn is_whole(text: &str) -> bool {
    let text = text.trim_end();
    let mut parts = text.split('.');
    let is_jwt = text.starts_with("eyJ");
    !text.is_empty()
        && (!is_jwt || parts.clone().count() >= 3 && parts.all(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_jwt_is_not_a_token() {
        for whole in
            ["opaque", "Basic abc", "eyJh.eyJp.c2ln", "eyJh.eyJp.c2ln\n", "eyJ.k.iv.text.tag"]
        {
            assert!(is_whole(whole), "{whole}");
        }
        for half in ["", "\n", "eyJ", "eyJh.", "eyJh.eyJp", "eyJh.eyJp."] {
            assert!(!is_whole(half), "{half}");
        }
    }
}
