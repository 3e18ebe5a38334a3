//! The files that credentials come from: where they are, their bytes, and whether they changed.
//! Knows nothing of what they hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::file;

/// The largest file that is read whole, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// The largest file with a token alone, in bytes.
const TOKEN_LIMIT: u64 = 64 * 1024;

/// Where the config or the credentials file should be.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// As a person writes it: `~/.aws/config`, or what the variable says.
    pub(crate) shown: PathBuf,
    /// `None` when it is below a home folder that nobody names.
    path: Option<PathBuf>,
    /// The variable that says so.
    variable: Option<&'static str>,
}

impl Location {
    pub(crate) fn config(environment: &Environment) -> Location {
        Location::new(environment, "AWS_CONFIG_FILE", "~/.aws/config")
    }

    pub(crate) fn credentials(environment: &Environment) -> Location {
        Location::new(environment, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    }

    fn new(environment: &Environment, variable: &'static str, default: &str) -> Location {
        let named = environment.get(variable);
        let shown = named.unwrap_or(default);
        let path = environment.path(shown);
        Location {
            shown: shown.into(),
            // A `~` without a home must not become a folder of that name in the working directory.
            path: (!path.starts_with("~")).then_some(path),
            variable: named.map(|_| variable),
        }
    }

    /// The bytes. A file that is absent counts as empty, with a warning where that may surprise; one that is there and
    /// cannot be read is an error for whoever needs it.
    pub(crate) fn read(
        &self,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<u8>, Error> {
        let read = match &self.path {
            Some(path) => watch.read(path),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the home folder is not known")),
        };
        let shown = self.shown.display();
        match read {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let named =
                    self.variable.map(|variable| format!("{variable}: ")).unwrap_or_default();
                if self.exists() {
                    let message = format!("{named}{shown}: {error}");
                    let hint = "make it a file that can be read, or name another one";
                    return Err(Error::new(Kind::Credentials, message).hint(hint));
                }
                if !named.is_empty() || error.kind() != io::ErrorKind::NotFound {
                    warnings.push(format!("{named}{shown}: {error}; it counts as empty"));
                }
                Ok(Vec::new())
            }
        }
    }

    /// Whether something is there that may hold profiles. A folder is none: Docker makes one where a file is mounted that
    /// is missing.
    fn exists(&self) -> bool {
        let found = self.path.as_ref().and_then(|path| fs::metadata(path).ok());
        found.is_some_and(|found| !found.is_dir())
    }
}

/// The files that the credentials depend on, as they were when they were read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    path: PathBuf,
    stamp: Stamp,
    /// SHA-256 of the content; `None` when there is none.
    digest: Option<[u8; 32]>,
}

impl Watch {
    /// The bytes, at most 1 MiB of them. From now on a change of the file is a change.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        // Before reading: what changes in between shows at the next look.
        let stamp = Stamp::of(path);
        let content = read(path);
        let digest = content.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.seen.retain(|seen| seen.path != path);
        self.seen.push(Seen { path: path.to_owned(), stamp, digest });
        content
    }

    /// After writing the file ourselves: its new content is no news.
    pub(crate) fn wrote(&mut self, path: &Path) {
        let _ = self.read(path);
    }

    /// Whether each file holds what it held. Most often their metadata tell.
    pub(crate) fn is_unchanged(&mut self, now: OffsetDateTime) -> bool {
        self.seen.iter_mut().all(|seen| {
            let stamp = Stamp::of(&seen.path);
            if stamp == seen.stamp && stamp.is_settled(now) {
                return true;
            }
            let digest: Option<[u8; 32]> =
                read(&seen.path).ok().map(|bytes| Sha256::digest(bytes).into());
            seen.stamp = stamp;
            digest == seen.digest
        })
    }
}

/// Two equal stamps mean the same content, once the file is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Option<Mark>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Stamp {
        Stamp(fs::metadata(path).ok().map(|metadata| Mark {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode: inode(&metadata),
        }))
    }

    /// Whether a change from now on is sure to change the stamp. Clocks of file systems tick as slowly as
    /// every two seconds (FAT): of two writes within a tick the second may look like the first.
    fn is_settled(&self, now: OffsetDateTime) -> bool {
        let Some(modified) = self.0.as_ref().and_then(|mark| mark.modified) else { return true };
        // Not as a date: files can be dated beyond all years of a calendar.
        match SystemTime::from(now).duration_since(modified) {
            Ok(age) => age > Duration::from_secs(2),
            Err(_) => true,
        }
    }
}

/// What a file holds that has a token and nothing else.
pub(crate) fn token(path: &Path) -> io::Result<String> {
    let bytes = file::read(path, TOKEN_LIMIT)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // `/dev/null` is how people say "none".
    if path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    file::read(path, LIMIT)
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(pairs: &[(&str, &str)]) -> Location {
        Location::config(&Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn the_variable_moves_the_file() {
        let home = ("HOME", "/home/ann");
        for (pairs, shown, path) in [
            (&[home][..], "~/.aws/config", Some("/home/ann/.aws/config")),
            (&[], "~/.aws/config", None),
            (&[home, ("AWS_CONFIG_FILE", " ")], "~/.aws/config", Some("/home/ann/.aws/config")),
            (&[home, ("AWS_CONFIG_FILE", "~/c")], "~/c", Some("/home/ann/c")),
            (&[("AWS_CONFIG_FILE", "/etc/c")], "/etc/c", Some("/etc/c")),
        ] {
            let location = location(pairs);
            assert_eq!(location.shown, Path::new(shown), "{pairs:?}");
            assert_eq!(location.path.as_deref(), path.map(Path::new), "{pairs:?}");
        }
    }

    #[test]
    fn only_a_named_file_that_is_absent_is_worth_a_warning() {
        let (mut watch, mut warnings) = (Watch::default(), Vec::new());
        let null = location(&[("AWS_CONFIG_FILE", "/dev/null")]);
        for silent in [location(&[]), location(&[("HOME", "/nowhere")]), null] {
            assert_eq!(silent.read(&mut watch, &mut warnings).unwrap(), b"");
        }
        assert_eq!(warnings, [""; 0]);
        let named = location(&[("AWS_CONFIG_FILE", "/nowhere/config")]);
        assert_eq!(named.read(&mut watch, &mut warnings).unwrap(), b"");
        assert!(warnings[0].starts_with("AWS_CONFIG_FILE: /nowhere/config: "), "{warnings:?}");
    }

    #[test]
    fn a_file_settles_two_seconds_after_it_was_written() {
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let stamp = Stamp(Some(Mark { modified: Some(at(100)), length: 1, inode: 1 }));
        let settled = |seconds| stamp.is_settled(OffsetDateTime::from(at(seconds)));
        assert_eq!([99, 100, 102, 103].map(settled), [true, false, false, true]);
        assert!(Stamp(None).is_settled(OffsetDateTime::UNIX_EPOCH));
    }
}
