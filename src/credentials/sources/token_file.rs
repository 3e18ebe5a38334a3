//! Files that hold a token and nothing else: web identity tokens and a container's authorization token.

use std::io;
use std::path::Path;

use crate::environment::file;

/// The largest token file, in bytes.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// The text of a token file. It is read for each request, because Kubernetes replaces these files.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let bytes = file::read(path, MAX_TOKEN_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8"))
}
