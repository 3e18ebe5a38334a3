//! `Stream`: a client's connection, over TCP or a socket in a file.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Time after which a client that reads nothing is disconnected.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => (&*stream).read(buffer),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => (&*stream).write(bytes),
        }
    }

    /// Limits the time of each read; zero is not allowed.
    pub(crate) fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }

    /// Limits the time of each write; zero is not allowed.
    pub(crate) fn set_write_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(limit)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_write_timeout(Some(limit)),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.shutdown(how),
        };
    }

    /// The address that the client reached; none for a socket in a file.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            #[cfg(unix)]
            Stream::Unix(_) => None,
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Stream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}
