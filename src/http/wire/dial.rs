//! `dial`: a TCP connection to the first address of a host that accepts one (Happy Eyeballs, RFC 8305).
//!
//! Attempts start 250 ms apart, or at once after a failure, and run concurrently on the calling thread; those that lose are
//! closed. An address that accepted a connection after others had failed is tried first from then on, until it fails.

use crate::http::wire::connect_error::Exhausted;
use crate::sync::lock;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time between the starts of two attempts (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Maximum number of preferred addresses.
const MAX_PREFERRED: usize = 64;

/// Addresses that accepted a connection after others of the same host had failed, the latest first. Shared by the whole
/// process: requests for credentials use a new client each time.
static PREFERRED: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

/// Connects to one of these addresses within `limit`. `is_cancelled` is polled every 50 ms.
///
/// # Errors
/// `TimedOut`: no address accepted in time. `Interrupted`: cancelled. Otherwise the most telling failure of an attempt.
pub(crate) fn dial(
    addresses: &[SocketAddr],
    limit: Option<Duration>,
    is_cancelled: impl Fn() -> bool,
) -> io::Result<(TcpStream, SocketAddr)> {
    let order = order(addresses, &lock(&PREFERRED));
    let connected = race(&order, limit.map(|limit| Instant::now() + limit), is_cancelled);
    let mut preferred = lock(&PREFERRED);
    match &connected {
        Ok((_, address)) if order.first() == Some(address) => {}
        Ok((_, address)) => {
            let failed = order.iter().take_while(|other| *other != address);
            failed.chain([address]).for_each(|address| remove(&mut preferred, address));
            preferred.insert(0, *address);
            preferred.truncate(MAX_PREFERRED);
        }
        Err(_) => order.iter().for_each(|address| remove(&mut preferred, address)),
    }
    connected
}

/// A request to this address failed: it is no longer preferred.
pub(crate) fn forget(address: &SocketAddr) {
    remove(&mut lock(&PREFERRED), address);
}

fn remove(preferred: &mut Vec<SocketAddr>, address: &SocketAddr) {
    preferred.retain(|other| other != address);
}

/// The order of attempts: preferred addresses, then the families in turn, beginning with that of the first address.
fn order(addresses: &[SocketAddr], preferred: &[SocketAddr]) -> Vec<SocketAddr> {
    let starts_with_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let is_first_family = |address: &SocketAddr| address.is_ipv6() == starts_with_ipv6;
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first_family);
    let mut order = Vec::with_capacity(addresses.len());
    for index in 0..first.len().max(second.len()) {
        order.extend(first.get(index));
        order.extend(second.get(index));
    }
    let rank = |address: &SocketAddr| preferred.iter().position(|other| other == address);
    order.sort_by_key(|address| rank(address).unwrap_or(usize::MAX));
    order
}

/// Starts the attempts in this order and returns the first connection.
#[cfg(unix)]
fn race(
    order: &[SocketAddr],
    deadline: Option<Instant>,
    is_cancelled: impl Fn() -> bool,
) -> io::Result<(TcpStream, SocketAddr)> {
    /// Maximum time until a cancellation is noticed.
    const CANCEL_INTERVAL: Duration = Duration::from_millis(50);
    let mut untried = order.iter();
    let mut attempts: Vec<(TcpStream, SocketAddr)> = Vec::new();
    let mut next_start = Instant::now();
    let mut failure = Failure::default();
    loop {
        let now = Instant::now();
        if is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(failure.at_deadline());
        }
        if next_start <= now
            && let Some(address) = untried.next()
        {
            match nonblocking::start(address) {
                Ok(stream) => {
                    attempts.push((stream, *address));
                    next_start = now + ATTEMPT_DELAY;
                }
                Err(error) => {
                    if is_exhausted(&error) {
                        untried = [].iter();
                    }
                    failure.add(error);
                }
            }
            continue;
        }
        if attempts.is_empty() && untried.len() == 0 {
            return Err(failure.last());
        }
        let mut wake = now + CANCEL_INTERVAL;
        if untried.len() > 0 {
            wake = wake.min(next_start);
        }
        wake = deadline.map_or(wake, |deadline| wake.min(deadline));
        for index in nonblocking::wait(&attempts, wake - now)?.into_iter().rev() {
            let (stream, address) = attempts.swap_remove(index);
            match stream.take_error() {
                Ok(None) => {
                    stream.set_nonblocking(false)?;
                    return Ok((stream, address));
                }
                Ok(Some(error)) | Err(error) => failure.add(error),
            }
            next_start = now;
        }
    }
}

/// The standard library waits for one connection only: in a first round, each attempt gets the delay between two, in a second
/// one its share of the remaining time.
#[cfg(not(unix))]
fn race(
    order: &[SocketAddr],
    deadline: Option<Instant>,
    is_cancelled: impl Fn() -> bool,
) -> io::Result<(TcpStream, SocketAddr)> {
    const NO_DEADLINE: Duration = Duration::from_secs(120);
    let mut failure = Failure::default();
    for is_first_round in [order.len() > 1, false] {
        for (tried, address) in order.iter().enumerate() {
            if is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = deadline
                .map_or(NO_DEADLINE, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(failure.at_deadline());
            }
            let share = left / u32::try_from(order.len() - tried).unwrap_or(1);
            let limit = if is_first_round { share.min(ATTEMPT_DELAY) } else { share };
            match TcpStream::connect_timeout(address, limit.max(Duration::from_millis(1))) {
                Ok(stream) => return Ok((stream, *address)),
                Err(error) => failure.add(error),
            }
        }
    }
    Err(failure.last())
}

/// The failure that is reported if no attempt succeeds.
#[derive(Default)]
struct Failure(Option<io::Error>);

impl Failure {
    /// Rank of an error: lack of descriptors or memory is most telling, an unreachable address family least.
    fn add(&mut self, error: io::Error) {
        let rank = |error: &io::Error| match error.kind() {
            _ if is_exhausted(error) => 2,
            io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable => 0,
            _ => 1,
        };
        if self.0.as_ref().is_none_or(|known| rank(known) <= rank(&error)) {
            self.0 = Some(error);
        }
    }

    fn last(self) -> io::Error {
        self.0.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    fn at_deadline(self) -> io::Error {
        self.0.filter(is_exhausted).unwrap_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

/// Whether this machine lacks something that no other address would need less.
fn is_exhausted(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::AddrNotAvailable && Exhausted::of(error).is_some()
}

#[cfg(unix)]
mod nonblocking {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    use std::io;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    /// Child processes must not inherit the socket; Apple's systems cannot set this in the same call.
    #[cfg(not(target_vendor = "apple"))]
    const FLAGS: SocketFlags = SocketFlags::CLOEXEC;
    #[cfg(target_vendor = "apple")]
    const FLAGS: SocketFlags = SocketFlags::empty();

    /// Starts connecting.
    pub(crate) fn start(address: &SocketAddr) -> io::Result<TcpStream> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        #[cfg(target_vendor = "apple")]
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        match connect(&stream, address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(stream),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until attempts have ended, for `limit` at most. Returns their indexes in ascending order.
    pub(crate) fn wait(
        attempts: &[(TcpStream, SocketAddr)],
        limit: Duration,
    ) -> io::Result<Vec<usize>> {
        let mut polled: Vec<PollFd<'_>> =
            attempts.iter().map(|(stream, _)| PollFd::new(stream, PollFlags::OUT)).collect();
        match poll(&mut polled, Timespec::try_from(limit).ok().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let ended = polled.iter().enumerate().filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ended.map(|(index, _)| index).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use std::net::TcpListener;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn families_take_turns_and_preferred_addresses_are_first() {
        let [a6, b6, c6] = ["[::1]:1", "[::2]:1", "[::3]:1"].map(address);
        let [a4, b4] = ["1.1.1.1:1", "1.1.1.2:1"].map(address);
        assert_eq!(order(&[a6, b6, c6, a4, b4], &[]), [a6, a4, b6, b4, c6]);
        assert_eq!(order(&[a4, b4, a6], &[]), [a4, a6, b4]);
        assert_eq!(order(&[a6, b6, a4], &[a4, b6]), [a4, b6, a6]);
        assert_eq!(order(&[], &[a4]), []);
    }

    /// A listener whose queue is full: further attempts get no reply.
    #[cfg(target_os = "linux")]
    fn silent() -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        rustix::net::listen(&listener, 0).expect("it listens already");
        let address = listener.local_addr().expect("it is bound");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(50));
        let fillers = std::iter::repeat_with(connect).map_while(Result::ok).collect();
        (listener, fillers)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_silent_address_costs_one_delay_and_only_once() {
        let (quiet, _fillers) = silent();
        let good = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addresses = [&quiet, &good].map(|listener| listener.local_addr().expect("bound"));
        let dial = || {
            let started = Instant::now();
            let (_, address) =
                dial(&addresses, Some(Duration::from_secs(10)), || false).expect("one");
            assert_eq!(address, addresses[1]);
            started.elapsed()
        };
        let first = dial();
        assert!(first >= ATTEMPT_DELAY, "{first:?}");
        assert!(dial() < ATTEMPT_DELAY);
        forget(&addresses[1]);
        assert!(dial() >= ATTEMPT_DELAY);
        drop(good);
        let error = super::dial(&addresses[1..], None, || false).expect_err("it is closed");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(!lock(&PREFERRED).contains(&addresses[1]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_refusal_starts_the_next_attempt_at_once() {
        let refused = TcpListener::bind("127.0.0.1:0").and_then(|closed| closed.local_addr());
        let good = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addresses = [refused.expect("a port"), good.local_addr().expect("bound")];
        let started = Instant::now();
        assert!(dial(&addresses, None, || false).is_ok());
        assert!(started.elapsed() < ATTEMPT_DELAY);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn limits_and_cancellation_end_the_attempts() {
        let (quiet, _fillers) = silent();
        let address = [quiet.local_addr().expect("bound")];
        for (limit, is_cancelled, expected) in [
            (Some(Duration::from_millis(60)), false, io::ErrorKind::TimedOut),
            (None, true, io::ErrorKind::Interrupted),
        ] {
            let started = Instant::now();
            let is_cancelled = || is_cancelled && started.elapsed() > Duration::from_millis(20);
            let error = dial(&address, limit, is_cancelled).expect_err("it is silent");
            assert_eq!(error.kind(), expected);
            assert!(started.elapsed() < Duration::from_secs(1));
        }
    }
}
