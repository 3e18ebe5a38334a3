//! `Holder`: which process of this machine asks the service whether the user has finished, and the file from which the others
//! know the link. If the holder's client is closed, another process continues with the same link.

use crate::credentials::expiry;
use crate::environment::file;
use crate::error::SsoSession;
use crate::sign_in::device_code::DeviceAuthorization;
use crate::signing::Secret;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError, remove_file};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

const VERSION: u32 = 1;

/// Maximum size of the file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Two files beside that of the token.
pub(crate) struct Holder {
    /// Empty, and never deleted: its lock is what counts.
    lock: PathBuf,
    /// The sign-in under way.
    pending: PathBuf,
}

/// Who holds the lock.
pub(crate) enum Hold {
    /// This process, while the value lives; without a file where files cannot be locked.
    Ours(Option<File>),
    Others,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pending {
    version: u32,
    start_url: String,
    region: String,
    client_id: String,
    device_code: String,
    user_code: String,
    verification_uri_complete: String,
    /// In seconds.
    interval: u64,
    expires_at: String,
}

impl Holder {
    pub(crate) fn of_token(file: &Path) -> Holder {
        Holder { lock: file.with_extension("lock"), pending: file.with_extension("pending") }
    }

    /// Becomes the holder unless another process is.
    ///
    /// # Errors
    /// Files cannot be locked here.
    pub(crate) fn try_lock(&self) -> io::Result<Hold> {
        if let Some(folder) = self.lock.parent() {
            file::create_private_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(&self.lock)?;
        match lock.try_lock() {
            Ok(()) => Ok(Hold::Ours(Some(lock))),
            Err(TryLockError::WouldBlock) => Ok(Hold::Others),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The sign-in under way for this session, if its code has not expired. Whether its link can be shown is checked later.
    pub(crate) fn pending(
        &self,
        session: &SsoSession,
        now: OffsetDateTime,
    ) -> Option<DeviceAuthorization> {
        let text = file::read(&self.pending, MAX_FILE_BYTES).ok()?;
        let pending: Pending = serde_json::from_slice(&text).ok()?;
        let expires_at = expiry::parse(&pending.expires_at)?;
        let is_it = pending.version == VERSION
            && pending.start_url == session.start_url
            && pending.region == session.region
            && expires_at > now;
        is_it.then(|| DeviceAuthorization {
            client_id: pending.client_id,
            device_code: Secret::new(pending.device_code),
            user_code: pending.user_code,
            link: pending.verification_uri_complete,
            interval: Duration::from_secs(pending.interval.clamp(1, 60)),
            expires_at,
        })
    }

    /// Lets other processes show the link, and continue if this one ends.
    pub(crate) fn publish(
        &self,
        session: &SsoSession,
        authorization: &DeviceAuthorization,
    ) -> io::Result<()> {
        let pending = Pending {
            version: VERSION,
            start_url: session.start_url.clone(),
            region: session.region.clone(),
            client_id: authorization.client_id.clone(),
            device_code: authorization.device_code.expose().to_owned(),
            user_code: authorization.user_code.clone(),
            verification_uri_complete: authorization.link.clone(),
            interval: authorization.interval.as_secs(),
            expires_at: expiry::format(authorization.expires_at),
        };
        file::replace(&self.pending, &serde_json::to_vec(&pending)?)
    }

    /// The sign-in has ended.
    pub(crate) fn withdraw(&self) {
        let _ = remove_file(&self.pending);
    }
}
