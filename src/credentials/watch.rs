//! `Watch`: the files that credentials depend on, and whether their content has changed since it was read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::environment::file;

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// The files that credentials depend on, as they were when they were read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    path: PathBuf,
    /// The largest content that is read, in bytes.
    limit: u64,
    stamp: Stamp,
    /// SHA-256 of the content; `None` if it could not be read.
    digest: Option<[u8; 32]>,
}

impl Watch {
    /// Reads a file of at most 16 MiB and watches it from now on.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_up_to(MAX_FILE_BYTES, path)
    }

    /// Reads a file of at most `limit` bytes and watches it from now on.
    pub(crate) fn read_up_to(&mut self, limit: u64, path: &Path) -> io::Result<Vec<u8>> {
        // Taken before reading, so that a change in between is noticed later.
        let stamp = Stamp::of(path);
        let content = read(path, limit);
        let digest = content.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.seen.retain(|seen| seen.path != path);
        self.seen.push(Seen { path: path.to_owned(), limit, stamp, digest });
        content
    }

    /// Notes the content of a file that we have written, so that it does not count as changed.
    pub(crate) fn wrote(&mut self, path: &Path) {
        let known = self.seen.iter().find(|seen| seen.path == path);
        let _ = self.read_up_to(known.map_or(MAX_FILE_BYTES, |seen| seen.limit), path);
    }

    /// Watches the files of another watch as well, as they were when they were read.
    pub(crate) fn extend(&mut self, other: &Watch) {
        self.seen.extend_from_slice(&other.seen);
    }

    /// Whether all files have the same content as when they were read. The content is compared only if the metadata are
    /// inconclusive.
    pub(crate) fn is_unchanged(&mut self, now: OffsetDateTime) -> bool {
        self.seen.iter_mut().all(|seen| {
            let stamp = Stamp::of(&seen.path);
            if stamp == seen.stamp && stamp.is_settled(now) {
                return true;
            }
            let digest: Option<[u8; 32]> =
                read(&seen.path, seen.limit).ok().map(|bytes| Sha256::digest(bytes).into());
            let is_same = digest == seen.digest;
            // Otherwise the next call would take the new content for the old.
            if is_same {
                seen.stamp = stamp;
            }
            is_same
        })
    }
}

/// A file's metadata; `None` if it does not exist. Once a file is settled, an equal stamp means equal content.
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

    /// Whether any change from now on changes the stamp. The time stamps of file systems are as coarse as two seconds
    /// (FAT), so a second write within that time may leave the stamp as it is.
    fn is_settled(&self, now: OffsetDateTime) -> bool {
        let Some(modified) = self.0.as_ref().and_then(|mark| mark.modified) else { return true };
        // Compared as system times, because a file's date may be beyond the calendar of `OffsetDateTime`.
        match SystemTime::from(now).duration_since(modified) {
            Ok(age) => age > Duration::from_secs(2),
            Err(_) => true,
        }
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Users name `/dev/null` for "no file".
    if path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    file::read(path, limit)
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

    #[test]
    fn a_change_counts_until_the_file_is_read_again() {
        let name = format!("sigv4-proxy-{}-watched", std::process::id());
        let path = std::env::temp_dir().join(name);
        let long_after = crate::clock::now() + Duration::from_secs(60);
        fs::write(&path, "old").unwrap();
        let mut watch = Watch::default();
        watch.read(&path).unwrap();
        assert!(watch.is_unchanged(long_after));
        fs::write(&path, "changed").unwrap();
        assert!(!watch.is_unchanged(long_after) && !watch.is_unchanged(long_after));
        watch.read(&path).unwrap();
        assert!(watch.is_unchanged(long_after));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_is_settled_two_seconds_after_it_was_written() {
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let stamp = Stamp(Some(Mark { modified: Some(at(100)), length: 1, inode: 1 }));
        let settled = |seconds| stamp.is_settled(OffsetDateTime::from(at(seconds)));
        assert_eq!([99, 100, 102, 103].map(settled), [true, false, false, true]);
        assert!(Stamp(None).is_settled(OffsetDateTime::UNIX_EPOCH));
    }
}
