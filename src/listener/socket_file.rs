//! `SocketFile`: a listening socket in a file, which only its owner may use.

use rustix::fs::Mode;
use rustix::process::umask;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: a file of another process is not removed.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Binds the socket, and replaces an abandoned one. `anyone`: all users may connect.
    pub(crate) fn bind(path: &Path, anyone: bool) -> io::Result<SocketFile> {
        remove_abandoned(path)?;
        // The permissions must hold from the first moment, so they cannot be changed afterwards.
        let denied = if anyone {
            Mode::XUSR | Mode::XGRP | Mode::XOTH
        } else {
            Mode::XUSR | Mode::RWXG | Mode::RWXO
        };
        let before = umask(denied);
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener?;
        Ok(SocketFile { listener, path: path.to_owned(), identity: identity(path) })
    }

    pub(crate) fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }

    pub(crate) fn wake(&self) {
        let _ = UnixStream::connect(&self.path);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless another process has replaced it.
    pub(crate) fn remove(&self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket on which no process listens. Nothing else is removed.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other("the file exists and is not a socket"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
