//! `Unreceived`: proof that a server closed a kept connection before it had the request that was sent on it.
//!
//! A server may close a kept connection in the moment in which the next request is sent. Without a response, that looks like a
//! server that acted on the request and then failed. Linux can tell these apart:
//!
//! * The end of the server's stream acknowledges everything that its system had received until then. If a part of the request
//!   is not acknowledged, the server ended the stream before it had the whole request.
//! * If a reset follows, its system has discarded the rest: the server had closed both directions.
//!
//! Together they prove that the request was not processed; a server that has ended its stream cannot respond to it either.
//! A reset alone proves nothing: the server may have read the request and failed before its system acknowledged it. Nor does
//! an acknowledgement prove that the server read the request.

use crate::http::wire::socket::Socket;
use std::fmt;
use std::time::Duration;

/// Maximum time to wait for the reset, which arrives a round trip after the request, or a retransmission of it, was sent.
const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// The server closed the connection before it had the whole request.
#[derive(Debug)]
pub(crate) struct Unreceived;

impl Unreceived {
    /// Waits for the proof, for `limit` at most. To be called when the server's stream has ended without a response, and
    /// before the socket has reported an error.
    pub(crate) fn prove(socket: &Socket, limit: Option<Duration>) -> Option<Unreceived> {
        let limit = limit.map_or(RESET_TIMEOUT, |limit| limit.min(RESET_TIMEOUT));
        system::is_unreceived(socket.stream(), &socket.sent(), limit).then_some(Unreceived)
    }
}

impl From<Unreceived> for ureq::Error {
    fn from(unreceived: Unreceived) -> ureq::Error {
        ureq::Error::Other(Box::new(unreceived))
    }
}

impl fmt::Display for Unreceived {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("closed before the request was received")
    }
}

impl std::error::Error for Unreceived {}

#[cfg(target_os = "linux")]
mod system {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::net::TcpStream;
    use std::ops::Range;
    use std::os::fd::AsRawFd as _;
    use std::time::Duration;

    /// `TCP_CLOSE`, the state after a reset.
    const CLOSED: u8 = 7;

    pub(crate) fn is_unreceived(stream: &TcpStream, sent: &Range<u64>, limit: Duration) -> bool {
        // A sandbox that does not count would report zero.
        let lacks_some = |info: &Info| sent.contains(&info.acknowledged);
        if !Info::of(stream).is_some_and(|info| lacks_some(&info)) {
            return false;
        }
        // Without events, `poll` waits for a reset. Whatever ends it, the state decides.
        let _ = poll(
            &mut [PollFd::new(stream, PollFlags::empty())],
            Timespec::try_from(limit).ok().as_ref(),
        );
        Info::of(stream).is_some_and(|info| info.state == CLOSED && lacks_some(&info))
    }

    /// The part of the kernel's `tcp_info` that is needed.
    struct Info {
        state: u8,
        /// Number of bytes that the peer has acknowledged. Opening the connection counts as one.
        acknowledged: u64,
    }

    impl Info {
        /// `None` before Linux 4.1.
        fn of(stream: &TcpStream) -> Option<Info> {
            let mut words = [0_u64; 16];
            let (level, option) = (uapi::c::IPPROTO_TCP, uapi::c::TCP_INFO);
            let length =
                uapi::getsockopt(stream.as_raw_fd(), level, option, &mut words[..]).ok()?;
            (length >= size_of_val(&words))
                .then(|| Info { state: words[0].to_ne_bytes()[0], acknowledged: words[15] })
        }
    }
}

/// Other systems do not report this.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::TcpStream;
    use std::ops::Range;
    use std::time::Duration;

    pub(crate) fn is_unreceived(_: &TcpStream, _: &Range<u64>, _: Duration) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::sockopt::set_socket_linger;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread;

    const REQUEST: [u8; 1000] = [b'x'; 1000];

    /// What is proved of a request that is sent `delay` after the last response, when the server did this after it.
    fn is_unreceived(delay: Duration, server: fn(TcpStream)) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            read(&mut stream);
            stream.write_all(b"response").expect("an open connection");
            server(stream);
        });
        let socket = Socket::new(stream);
        let send = || {
            socket.begin_request();
            assert_eq!(socket.send(&REQUEST).expect("an open connection"), REQUEST.len());
        };
        send();
        socket.stream().read_exact(&mut [0; 8]).expect("a response");
        thread::park_timeout(delay);
        send();
        let ended = matches!(socket.stream().read(&mut [0; 8]), Ok(0));
        let proved = ended && Unreceived::prove(&socket, None).is_some();
        serving.join().expect("no panic");
        proved
    }

    fn read(stream: &mut TcpStream) {
        stream.read_exact(&mut [0; REQUEST.len()]).expect("a request");
    }

    fn reset(stream: &TcpStream) {
        set_socket_linger(stream, Some(Duration::ZERO)).expect("an open socket");
    }

    #[test]
    fn only_a_server_that_closed_before_it_had_the_request_did_not_receive_it() {
        let soon = Duration::from_millis(20);
        assert!(is_unreceived(soon, drop));
        let none = Duration::ZERO;
        let cases: [fn(TcpStream); 6] = [
            |mut stream| read(&mut stream),
            |mut stream| {
                read(&mut stream);
                reset(&stream);
            },
            |mut stream| {
                read(&mut stream);
                stream.shutdown(Shutdown::Write).expect("an open connection");
                reset(&stream);
            },
            // These have not read it, but nothing proves that.
            |mut stream| stream.read_exact(&mut [0; 500]).expect("half a request"),
            |_unread| thread::park_timeout(Duration::from_millis(20)),
            |_unread_and_acknowledged| thread::park_timeout(Duration::from_millis(60)),
        ];
        for (number, case) in cases.into_iter().enumerate() {
            assert!(!is_unreceived(none, case), "case {number}");
        }
    }

    /// Such as an alert of TLS, in response to a message of the server.
    #[test]
    fn what_is_sent_after_input_says_nothing_of_the_request() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let socket = Socket::new(stream);
        socket.begin_request();
        assert_eq!(socket.send(&REQUEST).expect("an open connection"), REQUEST.len());
        let (mut server, _) = listener.accept().expect("a connection");
        read(&mut server);
        server.write_all(b"message").expect("an open connection");
        drop(server);
        socket.stream().read_exact(&mut [0; 7]).expect("a message");
        socket.record_input();
        socket.send(b"alert").expect("the other direction is open");
        assert!(matches!(socket.stream().read(&mut [0]), Ok(0)));
        assert!(Unreceived::prove(&socket, None).is_none());
        socket.begin_request();
        assert!(!socket.has_input() && socket.sent().is_empty());
    }

    /// It ends its stream but still receives.
    #[test]
    fn a_half_closed_connection_proves_nothing() {
        let soon = Duration::from_millis(20);
        assert!(!is_unreceived(soon, |stream| {
            stream.shutdown(Shutdown::Write).expect("an open connection");
            thread::park_timeout(Duration::from_millis(100));
        }));
    }
}
