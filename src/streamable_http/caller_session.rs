//! `CallerSession`: the runtime session that all processes of one caller share, with an id derived from the ARN that STS names.

use crate::aws::runtime_session::id_of_caller;
use crate::clock;
use crate::credentials::{CredentialCache, Credentials};
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::signing::Secret;
use crate::sync::cancel::Cancel;
use crate::sync::lock;
use crate::sync::single_flight::SingleFlight;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time that a request waits for STS to identify the caller; some clients wait 10 s for the first response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Time after a failed look-up in which no request waits for another.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct CallerSession {
    credentials: CredentialCache,
    /// One look-up for all requests.
    asking: SingleFlight,
    answer: Arc<Mutex<Option<Answer>>>,
    log: Log,
}

/// Result of the look-up for an access key.
#[derive(Debug)]
struct Answer {
    access_key_id: String,
    /// The error is reused until this time.
    id: Result<Secret, Instant>,
}

impl CallerSession {
    pub(crate) fn new(credentials: CredentialCache, log: Log) -> CallerSession {
        CallerSession {
            credentials,
            asking: SingleFlight::new("identity"),
            answer: Arc::default(),
            log,
        }
    }

    /// The id for the caller with these credentials; `None` if the caller is unknown, or not known by `deadline`.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(crate) fn id(
        &self,
        credentials: &Arc<Credentials>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<Option<Secret>, Error> {
        if credentials.is_anonymous() {
            return Ok(None);
        }
        let key = &credentials.key.access_key_id;
        let find = |is_done: bool| {
            let answer = lock(&self.answer);
            let answer = answer.as_ref().filter(|answer| answer.access_key_id == *key);
            match answer.map(|answer| &answer.id) {
                Some(Ok(id)) => Some(Some(id.clone())),
                Some(Err(until)) if Instant::now() < *until => Some(None),
                _ => is_done.then_some(None),
            }
        };
        if let Some(known) = find(false) {
            return Ok(known);
        }
        let (cache, answer) = (self.credentials.clone(), Arc::clone(&self.answer));
        let (credentials, log) = (Arc::clone(credentials), self.log.clone());
        let longest = Instant::now().checked_add(TIMEOUT);
        let limit = [longest, deadline].into_iter().flatten().min();
        let known = self.asking.get(limit, cancel, find, move || {
            let id = ask(&cache, &credentials, &log);
            let access_key_id = credentials.key.access_key_id.clone();
            *lock(&answer) = Some(Answer { access_key_id, id });
            Ok(())
        });
        match known {
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Ok(known) => return Ok(known),
            Err(_) => {}
        }
        // The next requests do not wait for it; its result still counts. One that gave up
        // sooner, at its own limit, does not decide that.
        if limit == longest && find(false).is_none() {
            let id = Err(Instant::now() + PAUSE);
            *lock(&self.answer) = Some(Answer { access_key_id: key.clone(), id });
        }
        Ok(None)
    }
}

/// Asks STS whose credentials these are.
fn ask(cache: &CredentialCache, credentials: &Credentials, log: &Log) -> Result<Secret, Instant> {
    match cache.caller_identity(credentials, clock::now()) {
        Ok(identity) => {
            let id = id_of_caller(&identity.arn);
            log.redactor().add_session_id(&id);
            log.debug(format_args!("using the runtime session of {}", identity.arn));
            Ok(id)
        }
        Err(error) => {
            if error.kind() != Kind::Cancelled {
                log.warn(format_args!(
                    "--runtime-session identity: the caller is unknown, so the session is not shared: {error}"
                ));
            }
            Err(Instant::now() + PAUSE)
        }
    }
}
