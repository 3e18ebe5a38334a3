//! Accepts connections, each served by a thread of its own, until the process ends: `run`.

use crate::error::Error;
#[cfg(unix)]
use crate::error::out_of_threads;
use crate::listener::access::Access;
use crate::listener::body_budget::BodyBudget;
use crate::listener::connection::{Rules, serve};
use crate::listener::connections::Connections;
#[cfg(unix)]
use crate::listener::disconnect_watch::DisconnectWatch;
use crate::listener::handler::Handler;
use crate::listener::request_body::BodyLimits;
use crate::listener::settings::Settings;
use crate::listener::socket::Socket;
use crate::listener::stream::Stream;
use crate::listener::token::Token;
use crate::log::Log;
use crate::sync::Receiver;
use crate::sync::spawn;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const HEAD_TIME: Duration = Duration::from_secs(10);
const IDLE_TIME: Duration = Duration::from_secs(75);
const BODY_PAUSE: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(300);

/// Pause after a connection that the system could not open, usually for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Interval between checks for another signal.
const SIGNAL_PAUSE: Duration = Duration::from_millis(100);

/// Time that requests have to end after they were cancelled.
const END_TIMEOUT: Duration = Duration::from_millis(600);

/// Serves clients until a signal arrives through `signals`. Requests in progress then have `drain_timeout`, or until
/// another signal.
///
/// # Errors
/// `Usage`: the address or the token cannot be used. `Unreachable`: the system has no threads left.
pub fn run(
    settings: Settings,
    handler: Handler,
    log: &Log,
    signals: &Receiver<()>,
) -> Result<(), Error> {
    let (token, token_file) = Token::from_source(&settings.token, log)?;
    let connections = connections()?;
    // Last: a process that fails would leave the file of its socket behind.
    let socket = Socket::bind(&settings.address, settings.anyone);
    let socket = Arc::new(socket.map_err(|error| error.context("configuration error"))?);
    let url = socket.url(&settings.path);
    let mut hosts = settings.hosts;
    hosts.extend(socket.authority());
    let rules = Rules {
        access: Access::new(&hosts, settings.origins, token),
        path: settings.path,
        body: BodyLimits {
            max_bytes: settings.max_message_bytes,
            pause: BODY_PAUSE,
            time: BODY_TIME,
        },
        body_budget: BodyBudget::new(settings.max_message_bytes),
        head_time: HEAD_TIME,
        idle_time: IDLE_TIME,
        log: log.clone(),
        warned: Mutex::default(),
    };
    let handler = Arc::new(handler);
    let accepting = {
        let (socket, connections) = (Arc::clone(&socket), Arc::clone(&connections));
        let (rules, handler) = (Arc::new(rules), Arc::clone(&handler));
        move || accept(&socket, &connections, &rules, &handler)
    };
    spawn("accept", accepting)?;
    log.info(format_args!("listening on {url}"));
    if let Some(file) = &token_file {
        let path = file.path().display();
        log.info(format_args!("clients send Authorization: Bearer with the token in {path}"));
    }

    let _ = signals.recv();
    log.debug("ending: a signal");
    connections.begin_closing();
    // Clients that come from now on are refused by the system, and another process can take the address.
    socket.wake();
    socket.remove();
    drop(socket);
    let deadline = Instant::now() + settings.drain_timeout;
    while !connections.wait_until_answered(deadline.min(Instant::now() + SIGNAL_PAUSE)) {
        if Instant::now() >= deadline || signals.try_recv().is_ok() {
            break;
        }
    }
    handler.close();
    connections.cancel_all();
    connections.wait_until_closed(Instant::now() + END_TIMEOUT);
    Ok(())
}

/// No connections yet.
fn connections() -> Result<Arc<Connections>, Error> {
    #[cfg(unix)]
    return DisconnectWatch::start().map_err(|_| out_of_threads());
    // Without `poll`, clients that leave are noticed by the next write.
    #[cfg(not(unix))]
    Ok(Connections::new(|| ()))
}

/// Accepts connections until the process ends.
fn accept(
    socket: &Socket,
    connections: &Arc<Connections>,
    rules: &Arc<Rules>,
    handler: &Arc<Handler>,
) {
    while !connections.is_closing() {
        let Ok(stream) = socket.accept() else {
            thread::park_timeout(ACCEPT_PAUSE);
            continue;
        };
        let stream = Arc::new(stream);
        let Some(connection) = connections.admit(&stream) else {
            turn_away(&stream);
            continue;
        };
        let (rules, handler) = (Arc::clone(rules), Arc::clone(handler));
        let served = Arc::clone(&connection);
        let run = move || {
            serve(&served, &rules, &|request, response| handler.handle(request, response));
        };
        if spawn("client", run).is_err() {
            turn_away(&stream);
        }
        // Not earlier, since that could close it.
        drop(connection);
    }
}

/// Refuses a connection. What the client has sent is read if it is there, so that it sees the response.
fn turn_away(stream: &Stream) {
    let response = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";
    let _ = stream.write(response);
    stream.shutdown(Shutdown::Write);
    if stream.set_read_timeout(Duration::from_millis(1)).is_ok() {
        let _ = stream.read(&mut [0; 4096]);
    }
}
