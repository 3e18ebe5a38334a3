//! `CachedToken`: the JSON files in which the AWS CLI keeps the tokens of `aws sso login` and `aws login`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::credentials::expiry;
use crate::credentials::sources::token_file::REREAD_PAUSES;
use crate::credentials::watch::Watch;
use crate::random;
use crate::sync::cancel::Cancel;

/// A file and its members, including unknown ones. It implements no `Debug`, because its values are secrets.
pub(crate) struct CachedToken {
    path: PathBuf,
    members: Map<String, Value>,
}

impl CachedToken {
    /// Reads a file; `None` if it does not exist, cannot be read or is not a JSON object, which all mean "no login". A file
    /// that is empty or half written is read again, as not every tool replaces it in one step.
    pub(crate) fn read(path: &Path, watch: &mut Watch, cancel: &Cancel) -> Option<CachedToken> {
        let mut pauses = REREAD_PAUSES.iter();
        loop {
            let bytes = watch.read(path).ok()?;
            if let Ok(members) = serde_json::from_slice(&bytes) {
                return Some(CachedToken { path: path.to_owned(), members });
            }
            if cancel.sleep(*pauses.next()?) {
                return None;
            }
        }
    }

    /// Reads the file again after a refused refresh; `None` if it stays as it is. A refresh token can be used once, and a
    /// process that was faster may not have written what it received yet.
    pub(crate) fn newer(&self, watch: &mut Watch, cancel: &Cancel) -> Option<CachedToken> {
        let mut pauses = REREAD_PAUSES.iter();
        loop {
            let found = CachedToken::read(&self.path, watch, cancel)?;
            if found.members != self.members {
                return Some(found);
            }
            if cancel.sleep(*pauses.next()?) {
                return None;
            }
        }
    }

    /// A string that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    pub(crate) fn time(&self, name: &str) -> Option<OffsetDateTime> {
        expiry::parse(self.text(name)?)
    }

    pub(crate) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.members.get(name)?.as_object()
    }

    pub(crate) fn object_mut(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        self.members.get_mut(name)?.as_object_mut()
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.members.insert(name.to_owned(), Value::String(value.into()));
    }

    /// Replaces the file in one step, so that no other process reads half of it, readable for its owner only. If it is a
    /// symbolic link, the file it points to is replaced. A file that was deleted is not created again: that was a logout.
    pub(crate) fn write(&self, watch: &mut Watch) -> io::Result<()> {
        let written = fs::canonicalize(&self.path).and_then(|target| self.replace(&target));
        watch.wrote(&self.path);
        written
    }

    fn replace(&self, target: &Path) -> io::Result<()> {
        let draft = format!(".sigv4-proxy-{:016x}", random::number());
        let draft = target.with_file_name(draft);
        let replaced = self.write_to(&draft).and_then(|()| fs::rename(&draft, target));
        if replaced.is_err() {
            let _ = fs::remove_file(&draft);
        }
        replaced
    }

    fn write_to(&self, draft: &Path) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(draft)?;
        file.write_all(&serde_json::to_vec(&self.members)?)?;
        file.sync_all()
    }
}
