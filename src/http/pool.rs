//! `Pool`: the connections that are kept for the next request, which of them to trust, and how long they are kept.

use crate::http::connection_watch::{ConnectionWatch, Waker};
use crate::http::wire::connection::Connection;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use std::io::{self, Read as _};
use std::ptr;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};
use ureq::BodyReader;

/// Among so many kept connections a thread looks for the one that it had last.
const AFFINITY_RANGE: usize = 16;

/// A server that has hung up on a kept connection without having said so may do it again for so long.
const DISTRUST_PERIOD: Duration = Duration::from_secs(60);

/// So many are kept that nobody needs.
const MAX_IDLE: usize = 16;

/// A connection is kept for so long; load balancers of AWS close theirs after 60 s.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_secs(50);

/// The time between two sweeps at least. What is busy is back before.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// So many may wait for the rest of a response that nobody reads, and each for so long and so much of it.
const MAX_UNFINISHED: usize = 4;
const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_UNREAD_BYTES: usize = 4096;

/// It closes connections and sleeps.
const STACK_BYTES: usize = 128 * 1024;

pub(crate) struct Pool {
    state: Arc<Mutex<State>>,
    /// False: every connection is for one request.
    keeps: bool,
}

#[derive(Default)]
struct State {
    /// Not in use; who came last stands last.
    idle: Vec<Idle>,
    /// How many of them have a rest.
    unfinished: usize,
    /// When a kept connection last turned out to be dead only after something was sent on it.
    hung_up: Option<Instant>,
    sweeper: Sweeper,
}

struct Idle {
    /// The thread that used it last.
    by: usize,
    since: Instant,
    connection: Connection,
    /// Of the last response; nobody waits for it. In a box, since there is hardly ever one.
    rest: Option<Box<UnreadBody>>,
}

/// The body of a response whose status said everything.
pub(crate) struct UnreadBody {
    body: BodyReader<'static>,
    left: usize,
}

/// What became of a rest.
enum Finished {
    Yes,
    NotYet,
    Never,
}

/// The thread that closes what is kept for too long. There is one while connections are idle.
#[derive(Default)]
enum Sweeper {
    #[default]
    Absent,
    /// It will look within `SWEEP_INTERVAL`.
    Resting,
    /// It waits until a connection is closed by the server or has been kept for too long, and knows of no others.
    Watching(#[expect(dead_code, reason = "dropping it wakes the thread")] Waker),
}

impl Pool {
    pub(crate) fn new(keeps: bool) -> Pool {
        Pool { state: Arc::default(), keeps }
    }

    /// A kept connection, unless it may have been closed and that would do harm.
    pub(crate) fn acquire(&self, is_idempotent: bool) -> Option<Connection> {
        if !self.keeps {
            return None;
        }
        let mut state = lock(&self.state);
        let state = &mut *state;
        if state.unfinished > 0 {
            state.idle.retain_mut(|idle| !matches!(idle.finish(), Finished::Never));
            state.count_unfinished();
        }
        if !is_idempotent && state.hung_up.is_some_and(|at| at.elapsed() < DISTRUST_PERIOD) {
            // This one, too: each that fails is one less to try.
            state.idle.pop();
            state.count_unfinished();
            return None;
        }
        // Rather its own, which is in the caches of this thread's processor; else the last that was used.
        let me = this_thread();
        let start = state.idle.len().saturating_sub(AFFINITY_RANGE);
        let own = state.idle[start..].iter().rposition(|idle| idle.by == me && idle.rest.is_none());
        let at = match own {
            Some(own) => start + own,
            None => state.idle.iter().rposition(|idle| idle.rest.is_none())?,
        };
        Some(state.idle.remove(at).connection)
    }

    /// `rest` is read as it comes, if it comes soon.
    pub(crate) fn release(&self, connection: Connection, rest: Option<UnreadBody>) {
        if !self.keeps || connection.socket().is_none() {
            return;
        }
        let rest = rest.map(Box::new);
        let mut idle = Idle { by: this_thread(), since: Instant::now(), connection, rest };
        if matches!(idle.finish(), Finished::Never) || idle.connection.socket().is_none() {
            return;
        }
        let mut state = lock(&self.state);
        let mut given_up = None;
        if idle.rest.is_some() {
            given_up = state.oldest_unfinished();
            state.unfinished += 1;
        }
        state.idle.push(idle);
        // One that watches is woken: it does not know of this one.
        let sweeper = std::mem::replace(&mut state.sweeper, Sweeper::Resting);
        drop(state);
        drop(given_up);
        if matches!(sweeper, Sweeper::Absent) && self.start_sweeper().is_err() {
            // Without it nothing would ever be closed.
            drop(lock(&self.state).end_sweeping());
        }
    }

    /// A kept connection was dead, and that was seen too late.
    pub(crate) fn record_dead_connection(&self) {
        lock(&self.state).hung_up = Some(Instant::now());
    }

    fn start_sweeper(&self) -> io::Result<()> {
        let state = Arc::downgrade(&self.state);
        let sweeper = thread::Builder::new().name("idle".to_owned()).stack_size(STACK_BYTES);
        sweeper.spawn(move || sweep(&state)).map(drop)
    }
}

impl UnreadBody {
    pub(crate) fn new(body: BodyReader<'static>) -> UnreadBody {
        UnreadBody { body, left: MAX_UNREAD_BYTES }
    }
}

impl Idle {
    /// Reads what is there of the last response.
    fn finish(&mut self) -> Finished {
        let Some(rest) = &mut self.rest else { return Finished::Yes };
        self.connection.call_limits().set_nonblocking();
        let mut bytes = [0; 512];
        loop {
            match rest.body.read(&mut bytes) {
                Ok(0) => {
                    self.rest = None;
                    return Finished::Yes;
                }
                Ok(count) if count <= rest.left => rest.left -= count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Finished::NotYet;
                }
                Ok(_) | Err(_) => return Finished::Never,
            }
        }
    }

    /// Whether it can still serve; in doubt it will be asked again.
    fn is_good(&mut self) -> bool {
        let age = self.since.elapsed();
        match self.finish() {
            Finished::Yes => {
                age < MAX_IDLE_AGE
                    && self.connection.socket().is_some_and(|socket| socket.is_silent())
            }
            Finished::NotYet => age < UNFINISHED_TIMEOUT,
            Finished::Never => false,
        }
    }
}

impl State {
    /// Makes room for another.
    fn oldest_unfinished(&mut self) -> Option<Idle> {
        if self.unfinished < MAX_UNFINISHED {
            return None;
        }
        let oldest = self.idle.iter().position(|idle| idle.rest.is_some())?;
        self.unfinished -= 1;
        Some(self.idle.remove(oldest))
    }

    fn count_unfinished(&mut self) {
        self.unfinished = self.idle.iter().filter(|idle| idle.rest.is_some()).count();
    }

    /// What is idle is to be closed.
    fn end_sweeping(&mut self) -> Vec<Idle> {
        self.sweeper = Sweeper::Absent;
        self.unfinished = 0;
        std::mem::take(&mut self.idle)
    }

    /// Takes out what is not kept any longer.
    fn take_old(&mut self) -> Vec<Idle> {
        let mut surplus = self.idle.len().saturating_sub(MAX_IDLE);
        let mut old = Vec::new();
        for mut idle in std::mem::take(&mut self.idle) {
            let is_surplus = surplus > 0 && idle.since.elapsed() >= SWEEP_INTERVAL;
            surplus = surplus.saturating_sub(1);
            if !is_surplus && idle.is_good() {
                self.idle.push(idle);
            } else {
                old.push(idle);
            }
        }
        self.count_unfinished();
        old
    }

    /// Whether all that is to be done before one closes or grows old has been done.
    fn is_settled(&self) -> bool {
        self.idle.len() <= MAX_IDLE && self.unfinished == 0
    }
}

/// Until nothing is idle or the pool is gone.
fn sweep(pool: &Weak<Mutex<State>>) {
    loop {
        Cancel::default().sleep(SWEEP_INTERVAL);
        let Some(pool) = pool.upgrade() else { return };
        let mut state = lock(&pool);
        let old = state.take_old();
        let watch = match state.idle.first() {
            None => {
                state.end_sweeping();
                return;
            }
            Some(_) if !state.is_settled() => None,
            Some(oldest) => {
                let left = MAX_IDLE_AGE.saturating_sub(oldest.since.elapsed());
                let sockets = state.idle.iter().filter_map(|idle| idle.connection.socket());
                let Ok((watch, waker)) = ConnectionWatch::new(sockets.collect(), left) else {
                    // There are no descriptors for it: whoever needs one more than this gets those that are kept.
                    state.end_sweeping();
                    return;
                };
                state.sweeper = Sweeper::Watching(waker);
                Some(watch)
            }
        };
        drop(state);
        drop(pool);
        drop(old);
        if let Some(watch) = watch {
            watch.wait();
        }
    }
}

/// A number that no other thread has at the same time. `thread::current` costs two atomic operations.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| ptr::from_ref(here).addr())
}
