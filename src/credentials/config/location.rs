//! `Location`: where the config and the credentials file are, and their bytes.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::credentials::diagnostics::Diagnostics;
use crate::environment::{Environment, file};
use crate::error::{Error, Kind, io_message};

/// The path of the config or the credentials file.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// As the user writes it: `~/.aws/config`, or the variable's value.
    pub(crate) shown: PathBuf,
    /// `None` if it is in the home folder and that is unknown.
    path: Option<PathBuf>,
    /// The variable that can name the file.
    name: &'static str,
    is_named: bool,
}

impl Location {
    pub(crate) fn config(environment: &Environment) -> Location {
        Location::new(environment, "AWS_CONFIG_FILE", "~/.aws/config")
    }

    pub(crate) fn credentials(environment: &Environment) -> Location {
        Location::new(environment, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    }

    fn new(environment: &Environment, name: &'static str, default: &str) -> Location {
        let named = environment.get(name);
        let shown = named.unwrap_or(default);
        let path = environment.path(shown);
        Location {
            shown: shown.into(),
            // A `~` without a home must not become a folder of that name in the working directory.
            path: (!path.starts_with("~")).then_some(path),
            name,
            is_named: named.is_some(),
        }
    }

    /// The file's bytes; none if it cannot be read. If it exists, that is noted as `unreadable`: its profiles might select
    /// other credentials than those found without it. If a variable names it, it is noted as `absent`.
    pub(crate) fn read(&self, diagnostics: &mut Diagnostics) -> Vec<u8> {
        let read = match &self.path {
            Some(path) => diagnostics.watch.read(path),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the home directory is unknown")),
        };
        let error = match read {
            Ok(bytes) => return bytes,
            Err(error) => error,
        };
        let named = if self.is_named { format!("{}: ", self.name) } else { String::new() };
        let message = format!("{named}{}: {}", self.shown.display(), io_message(&error));
        let fix = self.how_to_read(&error);
        if self.exists() {
            let fix = fix.unwrap_or_else(|| "make it a readable file".to_owned());
            let hint = format!("{fix}, or set {} to another file", self.name);
            let error = Error::new(Kind::Credentials, message).hint(hint);
            diagnostics.unreadable.get_or_insert(error);
        } else if !named.is_empty() || error.kind() != io::ErrorKind::NotFound {
            let advice = fix.as_ref().map(|fix| format!(" ({fix})")).unwrap_or_default();
            diagnostics.warnings.push(format!("{message}; treated as empty{advice}"));
            diagnostics.absent.push(message);
            diagnostics.fix = diagnostics.fix.take().or(fix);
        }
        Vec::new()
    }

    /// How to make the file readable, if this error shows it.
    fn how_to_read(&self, error: &io::Error) -> Option<String> {
        let path = self.path.as_deref()?;
        match error.kind() {
            io::ErrorKind::PermissionDenied => Some(file::how_to_permit(path)),
            _ if path.is_dir() => Some(format!(
                "replace the folder {} with a file (Docker creates a folder if the file to mount is missing)",
                path.display()
            )),
            _ => {
                let in_the_way = path.ancestors().skip(1).find(|part| part.is_file())?;
                Some(format!("replace the file {} with a folder", in_the_way.display()))
            }
        }
    }

    /// Why the file is not there, if it is not.
    pub(crate) fn absence(&self) -> Option<String> {
        match &self.path {
            None => Some("the home directory is unknown".to_owned()),
            Some(path) => (!path.exists()).then(|| format!("{} does not exist", path.display())),
        }
    }

    /// Whether there is something that may hold profiles. A folder does not count: Docker creates one when a file to mount
    /// is missing.
    fn exists(&self) -> bool {
        let found = self.path.as_ref().and_then(|path| fs::metadata(path).ok());
        found.is_some_and(|found| !found.is_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn location(pairs: &[(&str, &str)]) -> Location {
        Location::config(&Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn the_variable_moves_the_file() {
        let home = ("HOME", "/home/ann");
        for (pairs, shown, path) in [
            (&[home][..], "~/.aws/config", Some("/home/ann/.aws/config")),
            (&[], "~/.aws/config", None),
            (&[home, ("AWS_CONFIG_FILE", " ")], "~/.aws/config", Some("/home/ann/.aws/config")),
            (&[home, ("AWS_CONFIG_FILE", "~/c")], "~/c", Some("/home/ann/c")),
            (&[("AWS_CONFIG_FILE", "/etc/c")], "/etc/c", Some("/etc/c")),
        ] {
            let location = location(pairs);
            assert_eq!(location.shown, Path::new(shown), "{pairs:?}");
            assert_eq!(location.path.as_deref(), path.map(Path::new), "{pairs:?}");
        }
    }

    #[test]
    fn only_a_named_file_that_is_absent_is_worth_a_warning() {
        let mut diagnostics = Diagnostics::default();
        let null = location(&[("AWS_CONFIG_FILE", "/dev/null")]);
        for silent in [location(&[]), location(&[("HOME", "/nowhere")]), null] {
            assert_eq!(silent.read(&mut diagnostics), b"");
        }
        assert_eq!(diagnostics.warnings, [""; 0]);
        let named = location(&[("AWS_CONFIG_FILE", "/nowhere/config")]);
        assert_eq!(named.read(&mut diagnostics), b"");
        let error = std::fs::read("/nowhere/config").expect_err("there is none");
        let absent = format!("AWS_CONFIG_FILE: /nowhere/config: {}", io_message(&error));
        assert_eq!(diagnostics.absent, [absent.as_str()]);
        assert_eq!(diagnostics.warnings, [format!("{absent}; treated as empty")]);
        assert!(diagnostics.unreadable.is_none());
    }
}
