//! `CachedToken`: the JSON files in which the AWS CLI keeps tokens and credentials.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::credentials::expiry;
use crate::credentials::sources::token_file::REREAD_PAUSES;
use crate::credentials::watch::Watch;
use crate::environment::file;
use crate::error::{Error, Kind, io_message};
use crate::sync::cancel::Cancel;
use crate::sync::lock;

/// The largest file that counts, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file and its members, including unknown ones. It implements no `Debug`, because its values are secrets.
pub(crate) struct CachedToken {
    path: PathBuf,
    members: Map<String, Value>,
}

/// Tokens whose files cannot be written. They are used in place of their files while these stay as they are.
static UNWRITTEN: Mutex<Vec<Unwritten>> = Mutex::new(Vec::new());

struct Unwritten {
    path: PathBuf,
    /// The file's content then; `None` if it could not be read.
    content: Option<Vec<u8>>,
    members: Map<String, Value>,
}

impl CachedToken {
    /// A file that is to be created.
    pub(crate) fn new(path: PathBuf, members: Map<String, Value>) -> CachedToken {
        CachedToken { path, members }
    }

    /// Reads a file; `None` if it does not exist, cannot be read or is not a JSON object, which all mean "no login". A file
    /// that is empty or half written is read again, as not every tool replaces it in one step.
    pub(crate) fn read(path: &Path, watch: &mut Watch, cancel: &Cancel) -> Option<CachedToken> {
        let mut pauses = REREAD_PAUSES.iter();
        loop {
            let content = watch.read_up_to(MAX_BYTES, path).ok();
            if let Some(members) = unwritten(path, content.as_ref()) {
                return Some(CachedToken { path: path.to_owned(), members });
            }
            let bytes = content?;
            if let Ok(members) = serde_json::from_slice(&bytes) {
                return Some(CachedToken { path: path.to_owned(), members });
            }
            if cancel.sleep(*pauses.next()?) {
                return None;
            }
        }
    }

    /// The error of a file that this process is not permitted to read, if it may exist.
    pub(crate) fn forbidden(path: &Path) -> Option<Error> {
        let error = file::read(path, MAX_BYTES).err()?;
        (error.kind() == io::ErrorKind::PermissionDenied).then(|| {
            let what = format!("{}: {}", path.display(), io_message(&error));
            Error::new(Kind::Credentials, what).hint(file::how_to_permit(path))
        })
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

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        text_of(&self.members, name)
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
    /// If it cannot be written, this process uses the new content.
    pub(crate) fn write(&self, watch: &mut Watch) -> io::Result<()> {
        let written = fs::canonicalize(&self.path).and_then(|target| self.replace(&target));
        watch.wrote(&self.path);
        self.keep_if_failed(written)
    }

    /// Creates the file or replaces it, like [`write`](CachedToken::write).
    pub(crate) fn create(&self) -> io::Result<()> {
        let folder = self.path.parent().ok_or(io::ErrorKind::NotFound);
        let written = folder.map_err(io::Error::from).and_then(|folder| {
            file::create_private_folder(folder)?;
            self.replace(&fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()))
        });
        self.keep_if_failed(written)
    }

    fn replace(&self, target: &Path) -> io::Result<()> {
        file::replace(target, &serde_json::to_vec(&self.members)?)
    }

    fn keep_if_failed(&self, written: io::Result<()>) -> io::Result<()> {
        let mut all = lock(&UNWRITTEN);
        all.retain(|unwritten| unwritten.path != self.path);
        let was_deleted =
            written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if written.is_err() && !was_deleted {
            let content = Watch::default().read_up_to(MAX_BYTES, &self.path).ok();
            all.push(Unwritten { path: self.path.clone(), content, members: self.members.clone() });
        }
        written
    }
}

/// A string in a file or a response; `None` if it is empty, as it is for what does not exist.
pub(crate) fn text_of<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// Forgets a token whose file could not be written.
pub(crate) fn forget_unwritten(path: &Path) {
    lock(&UNWRITTEN).retain(|unwritten| unwritten.path != path);
}

/// The content of the file if it could be written; `None` if it can be, or has been changed since.
fn unwritten(path: &Path, content: Option<&Vec<u8>>) -> Option<Map<String, Value>> {
    let all = lock(&UNWRITTEN);
    let found = all.iter().find(|unwritten| unwritten.path == path)?;
    (found.content.as_ref() == content).then(|| found.members.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_written_is_used_until_the_file_changes() {
        let name = format!("sigv4-proxy-{}-unwritten", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        let path = folder.join("cache/token.json");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cache"), "a file where a folder should be").unwrap();
        let token = |text: &str| {
            let Value::Object(members) = json!({ "accessToken": text }) else { unreachable!() };
            CachedToken::new(path.clone(), members)
        };
        let found = || {
            let found = CachedToken::read(&path, &mut Watch::default(), &Cancel::default());
            found.map(|found| found.text("accessToken").unwrap_or_default().to_owned())
        };
        assert_eq!(found(), None);
        for text in ["one", "two"] {
            assert!(token(text).create().is_err());
            assert_eq!(found().as_deref(), Some(text));
        }
        fs::remove_file(folder.join("cache")).unwrap();
        fs::create_dir(folder.join("cache")).unwrap();
        fs::write(&path, r#"{"accessToken":"of another program"}"#).unwrap();
        assert_eq!(found().as_deref(), Some("of another program"));
        token("three").create().unwrap();
        assert_eq!(found().as_deref(), Some("three"));
        fs::remove_file(&path).unwrap();
        assert_eq!(found(), None, "a logout");
        fs::remove_dir_all(folder).unwrap();
    }
}
