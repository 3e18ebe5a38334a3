//! `Socket`: where clients connect, a TCP port or a socket in a file.

use crate::error::{Error, Kind, io_message};
use crate::listener::settings::Address;
use crate::listener::stream::{Stream, WRITE_TIMEOUT};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(crate::listener::socket_file::SocketFile),
}

impl Socket {
    /// `anyone`: a socket in a file is for all users.
    ///
    /// # Errors
    /// `Usage`: the address is in use, is not this machine's, or may not be used.
    pub(crate) fn bind(address: &Address, anyone: bool) -> Result<Socket, Error> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address)
                .and_then(|listener| {
                    let local = listener.local_addr()?;
                    Ok(Socket::Tcp(listener, local))
                })
                .map_err(|error| cannot_listen(&address.to_string(), &error)),
            #[cfg(unix)]
            Address::Unix(path) => crate::listener::socket_file::SocketFile::bind(path, anyone)
                .map(Socket::Unix)
                .map_err(|error| cannot_listen(&path.display().to_string(), &error)),
            #[cfg(not(unix))]
            Address::Unix(path) => {
                let _ = anyone;
                let error = io::Error::from(io::ErrorKind::Unsupported);
                Err(cannot_listen(&path.display().to_string(), &error))
            }
        }
    }

    /// Waits for a client.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        let stream = match self {
            Socket::Tcp(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            #[cfg(unix)]
            Socket::Unix(file) => Stream::Unix(file.accept()?),
        };
        stream.set_write_timeout(WRITE_TIMEOUT)?;
        Ok(stream)
    }

    /// Ends a wait for a client, by being one.
    pub(crate) fn wake(&self) {
        match self {
            Socket::Tcp(_, local) => {
                let _ = TcpStream::connect(reachable(*local));
            }
            #[cfg(unix)]
            Socket::Unix(file) => file.wake(),
        }
    }

    /// Removes the file of a socket.
    pub(crate) fn remove(&self) {
        #[cfg(unix)]
        if let Socket::Unix(file) = self {
            file.remove();
        }
    }

    /// The host of `url`, which a client may use as it is, even `0.0.0.0`; none for a socket in a file.
    pub(crate) fn authority(&self) -> Option<String> {
        match self {
            Socket::Tcp(_, local) => Some(local.to_string()),
            #[cfg(unix)]
            Socket::Unix(_) => None,
        }
    }

    /// What clients connect to: a URL, or a file and the path of the URL.
    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Socket::Tcp(_, local) => format!("http://{local}{path}"),
            #[cfg(unix)]
            Socket::Unix(file) => {
                format!("unix:{} (http://localhost{path})", file.path().display())
            }
        }
    }
}

/// The address of this machine by which a listener on all addresses is reached.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn cannot_listen(address: &str, error: &io::Error) -> Error {
    let what = format!("cannot listen on {address}: {}", io_message(error));
    Error::new(Kind::Usage, what).hint(match error.kind() {
        io::ErrorKind::AddrInUse => "stop the program that listens there, or use another address",
        io::ErrorKind::AddrNotAvailable => "use an address of this machine, such as 127.0.0.1",
        io::ErrorKind::InvalidInput => "use a shorter path",
        io::ErrorKind::PermissionDenied => "use a port from 1024, or a directory that you own",
        io::ErrorKind::NotFound => "create the directory, or use another one",
        _ => "use another address",
    })
}
