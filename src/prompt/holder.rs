//! `Holder`: elects the process of this machine that polls the service, and shares the link with the others in a file. If the
//! holder's client is closed, another process continues with the same link.

use crate::credentials::expiry;
use crate::environment::file;
use crate::error::SsoSession;
use crate::prompt::link::Link;
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

/// Two files next to the token.
pub(crate) struct Holder {
    /// Empty, and never deleted: its lock is what counts.
    lock: PathBuf,
    /// The sign-in under way.
    pending: PathBuf,
}

/// Holder of the lock.
pub(crate) enum Hold {
    /// This process, while the value lives; without a file where files cannot be locked.
    Ours(Option<File>),
    Others,
}

/// A sign-in under way.
pub(crate) enum Pending {
    DeviceCode(DeviceAuthorization),
    /// Only the holder can continue it, whose port the browser is sent to.
    Browser(Link),
}

impl Pending {
    /// The address to open.
    pub(crate) fn url(&self) -> &str {
        match self {
            Pending::DeviceCode(authorization) => &authorization.link,
            Pending::Browser(link) => &link.url,
        }
    }
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    version: u32,
    start_url: String,
    region: String,
    #[serde(default)]
    client_id: String,
    /// Empty for a browser.
    #[serde(default)]
    device_code: String,
    #[serde(default)]
    user_code: String,
    verification_uri_complete: String,
    /// In seconds.
    #[serde(default)]
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

    /// The sign-in under way for this session, if its link has not expired. Whether that can be shown is checked later.
    pub(crate) fn pending(&self, session: &SsoSession, now: OffsetDateTime) -> Option<Pending> {
        let text = file::read(&self.pending, MAX_FILE_BYTES).ok()?;
        let content: Content = serde_json::from_slice(&text).ok()?;
        let (url, expires_at) =
            (content.verification_uri_complete, expiry::parse(&content.expires_at)?);
        let is_it = content.version == VERSION
            && content.start_url == session.start_url
            && content.region == session.region
            && expires_at > now;
        if !is_it {
            return None;
        }
        if content.device_code.is_empty() {
            return Some(Pending::Browser(Link { url, user_code: None, expires_at }));
        }
        Some(Pending::DeviceCode(DeviceAuthorization {
            client_id: content.client_id,
            device_code: Secret::new(content.device_code),
            user_code: content.user_code,
            link: url,
            interval: Duration::from_secs(content.interval.clamp(1, 60)),
            expires_at,
        }))
    }

    /// Lets other processes show the link, and continue if this one ends.
    pub(crate) fn publish(&self, session: &SsoSession, pending: &Pending) -> io::Result<()> {
        let content = |url: &str, expires_at| Content {
            version: VERSION,
            start_url: session.start_url.clone(),
            region: session.region.clone(),
            client_id: String::new(),
            device_code: String::new(),
            user_code: String::new(),
            verification_uri_complete: url.to_owned(),
            interval: 0,
            expires_at: expiry::format(expires_at),
        };
        let content = match pending {
            Pending::DeviceCode(code) => Content {
                client_id: code.client_id.clone(),
                device_code: code.device_code.expose().to_owned(),
                user_code: code.user_code.clone(),
                interval: code.interval.as_secs(),
                ..content(&code.link, code.expires_at)
            },
            Pending::Browser(link) => content(&link.url, link.expires_at),
        };
        file::replace(&self.pending, &serde_json::to_vec(&content)?)
    }

    /// The sign-in has ended.
    pub(crate) fn withdraw(&self) {
        let _ = remove_file(&self.pending);
    }
}
