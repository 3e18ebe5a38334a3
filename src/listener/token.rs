//! `Token`: the bearer token that clients have to send (RFC 6750).

use crate::environment::file;
use crate::error::{Error, Kind, io_message};
use crate::listener::settings::TokenSource;
use crate::log::Log;
use crate::random;
use crate::signing::Secret;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::{self, File};
use std::hint::black_box;
#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::time::Duration;

const MAX_FILE_BYTES: u64 = 4096;

/// How the names of generated files begin and end.
const NAME_START: &str = "sigv4-proxy-";
const NAME_END: &str = ".token";

/// Bounds of the search for files of killed processes: entries of the folder, and the age of a file.
#[cfg(unix)]
const MAX_ENTRIES: usize = 10_000;
#[cfg(unix)]
const MIN_AGE: Duration = Duration::from_secs(60);

/// How UTF-16 and, on Windows, UTF-8 begin. Clients would not send it.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"];

/// Minimum length of a token, in bytes; a shorter one can be guessed.
const MIN_SAFE_BYTES: usize = 16;

/// A token as its hash, so that the time of a comparison reveals nothing about it.
pub(crate) struct Token([u8; 32]);

/// The file of a generated token, which is removed on drop.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    /// Locked on Unix, so that other processes see that it is in use.
    _file: File,
}

impl Token {
    /// Reads or generates the token, and registers it with the redactor. Without one, every client may call.
    ///
    /// # Errors
    /// `Usage`: the file cannot be read, or not be written.
    pub(crate) fn from_source(
        source: &TokenSource,
        log: &Log,
    ) -> Result<(Option<Token>, Option<TokenFile>), Error> {
        match source {
            TokenSource::NotRequired => Ok((None, None)),
            TokenSource::File(path) => {
                let named = format!("--listen-token-file {}", path.display());
                let (secret, doubts) = read(path)
                    .map_err(|error| error.context(&named).context("configuration error"))?;
                for doubt in doubts {
                    log.warn(format_args!("{named}: {doubt}"));
                }
                Ok((Some(Token::new(&secret, log)), None))
            }
            TokenSource::Made { folder } => {
                let secret =
                    Secret::new(format!("{}{}", random::unguessable(), random::unguessable()));
                let token = Token::new(&secret, log);
                Ok((Some(token), Some(TokenFile::create(folder, &secret)?)))
            }
        }
    }

    fn new(secret: &Secret, log: &Log) -> Token {
        log.redactor().add(secret.expose());
        Token(Sha256::digest(secret.expose()).into())
    }

    /// Whether a client sent this token. Takes the same time wherever they differ.
    pub(crate) fn is(&self, sent: &str) -> bool {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        let difference = self.0.iter().zip(&sent).fold(0, |all, (one, other)| all | (one ^ other));
        black_box(difference) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token")
    }
}

impl TokenFile {
    /// # Errors
    /// `Usage`: it cannot be written.
    fn create(folder: &Path, secret: &Secret) -> Result<TokenFile, Error> {
        #[cfg(unix)]
        remove_abandoned(folder);
        let path = folder.join(format!("{NAME_START}{:016x}{NAME_END}", random::number()));
        let file = file::create_private(&path, secret.expose().as_bytes()).map_err(|error| {
            let why = io_message(&error);
            let what =
                format!("cannot create the file {} for the bearer token: {why}", path.display());
            let fix = "provide a token with --listen-token-file";
            Error::new(Kind::Usage, what).context("configuration error").hint(fix)
        })?;
        // Windows would keep clients from reading it. A file system without locks keeps the files of killed processes.
        #[cfg(unix)]
        let _ = file.try_lock();
        Ok(TokenFile { path, _file: file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the files of this user's processes that were killed.
#[cfg(unix)]
fn remove_abandoned(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES);
    for entry in entries {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME_START));
        let number = number.and_then(|rest| rest.strip_suffix(NAME_END));
        let is_token = number.is_some_and(|number| {
            number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if is_token && is_abandoned(&entry.path()).unwrap_or(false) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether this is a file of this user that no process holds locked.
#[cfg(unix)]
fn is_abandoned(path: &Path) -> io::Result<bool> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = File::options();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    let is_own = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    // A process that is starting may not have locked it yet.
    let is_new = metadata.modified()?.elapsed().map_or(true, |age| age < MIN_AGE);
    Ok(is_own && !is_new && file.try_lock().is_ok())
}

/// The token in a file, which is one line of visible ASCII, and a warning about it.
///
/// # Errors
/// `Usage`: it cannot be read, is not a token, or every user can change it.
pub(crate) fn read(path: &Path) -> Result<(Secret, Vec<&'static str>), Error> {
    let refused = |what: String, fix: &str| Error::new(Kind::Usage, what).hint(fix);
    let content = file::read(path, MAX_FILE_BYTES).map_err(|error| {
        refused(io_message(&error), "use a readable regular file, 4 KiB at most")
    })?;
    let has_mark = BYTE_ORDER_MARKS.iter().any(|mark| content.starts_with(mark));
    let secret = String::from_utf8(content).map(Secret::new);
    let secret = secret.ok().and_then(|content| {
        let line = content.expose().strip_suffix('\n').unwrap_or(content.expose());
        let line = line.strip_suffix('\r').unwrap_or(line);
        let is_token = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Secret::new(line))
    });
    let secret = secret.ok_or_else(|| {
        let what = "the file contains no valid token".to_owned();
        let fix = if has_mark {
            "save it as ASCII without a byte order mark; in PowerShell: Set-Content -Encoding ascii"
        } else {
            "write one line of letters, digits and -._~+/ into it"
        };
        refused(what, fix)
    })?;
    if file::is_writable_by_everyone(path) {
        let what = "every user of this machine can write the file".to_owned();
        return Err(refused(what, "chmod 600 prevents that"));
    }
    let doubts = [
        (file::is_open_to_others(path), "other users can read it; chmod 600 prevents that"),
        (file::belongs_to_another(path), "another user owns it and can change it"),
        (
            secret.expose().len() < MIN_SAFE_BYTES,
            "it is short enough to be guessed; use 32 random characters or more",
        ),
    ];
    let doubts = doubts.into_iter().filter_map(|(is_so, doubt)| is_so.then_some(doubt));
    Ok((secret, doubts.collect()))
}
