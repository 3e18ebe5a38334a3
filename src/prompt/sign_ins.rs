//! `SignIns`: the sign-ins of this process, one for each token.

use crate::error::{SignIn, SignInMethod};
use crate::log::Log;
use crate::prompt::mode::Mode;
use crate::prompt::shared_sign_in::{Audience, Ending, SharedSignIn};
use crate::prompt::worker::Worker;
use crate::streamable_http::Exchanger;
use crate::sync::{lock, spawn};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

pub(crate) struct SignIns {
    mode: Mode,
    audience: Audience,
    log: Log,
    /// The last sign-in for each token, by the name of the session.
    last: Mutex<HashMap<String, Arc<SharedSignIn>>>,
    /// Called after each sign-in that succeeded.
    pub(crate) on_signed_in: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
}

impl SignIns {
    pub(crate) fn new(mode: Mode, audience: Audience, log: Log) -> SignIns {
        let (last, on_signed_in) = (Mutex::default(), Arc::default());
        SignIns { mode, audience, log, last, on_signed_in }
    }

    /// The sign-in in progress for the token; starts one if there is none. `None`: calls may not start one of
    /// this kind. `distrusts_token`: the existing token was refused, although it looks valid.
    pub(crate) fn begin(
        &self,
        need: &SignIn,
        exchanger: &Arc<Exchanger>,
        distrusts_token: bool,
    ) -> Option<Arc<SharedSignIn>> {
        let key = self.key(need)?;
        let sign_in = {
            let mut last = lock(&self.last);
            let before = last.get(key);
            if let Some(current) = before.filter(|sign_in| sign_in.is_current()) {
                return Some(Arc::clone(current));
            }
            let before = before.map(|sign_in| &**sign_in);
            let sign_in = SharedSignIn::new(need.clone(), self.audience.clone(), before);
            last.insert(key.to_owned(), Arc::clone(&sign_in));
            sign_in
        };
        let worker = Worker {
            shared: Arc::clone(&sign_in),
            exchanger: Arc::clone(exchanger),
            mode: self.mode,
            distrusts_token,
            on_signed_in: Arc::clone(&self.on_signed_in),
            log: self.log.clone(),
        };
        if let Err(error) = spawn("sign-in", move || worker.run()) {
            sign_in.end(Ending::Failed(error));
        }
        Some(sign_in)
    }

    /// The sign-in under way for the token that is needed.
    pub(crate) fn pending(&self, need: &SignIn) -> Option<Arc<SharedSignIn>> {
        let last = lock(&self.last);
        last.get(self.key(need)?).filter(|sign_in| !sign_in.has_ended()).cloned()
    }

    /// The sign-in of this id, which may have ended.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<SharedSignIn>> {
        lock(&self.last).values().find(|sign_in| sign_in.id == id).cloned()
    }

    /// The name of the token. Profiles with the same session share one. `None` for MFA devices, whose codes are never
    /// requested, and for `aws login` without a browser on this machine.
    fn key<'a>(&self, need: &'a SignIn) -> Option<&'a str> {
        match &need.method {
            SignInMethod::Sso(sso) => Some(sso.name.as_ref().unwrap_or(&sso.start_url)),
            SignInMethod::Login { session } => (self.mode == Mode::Browser).then_some(session),
            SignInMethod::Mfa { .. } => None,
        }
    }
}
