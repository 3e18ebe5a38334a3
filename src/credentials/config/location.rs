//! `Location`: where the config and the credentials file are, and their bytes.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::credentials::diagnostics::Diagnostics;
use crate::environment::Environment;
use crate::error::{Error, Kind, io_message};

/// The path of the config or the credentials file.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    /// As the user writes it: `~/.aws/config`, or the variable's value.
    pub(crate) shown: PathBuf,
    /// `None` if it is in the home folder and that is unknown.
    path: Option<PathBuf>,
    /// The variable that names the file.
    variable: Option<&'static str>,
}

impl Location {
    pub(crate) fn config(environment: &Environment) -> Location {
        Location::new(environment, "AWS_CONFIG_FILE", "~/.aws/config")
    }

    pub(crate) fn credentials(environment: &Environment) -> Location {
        Location::new(environment, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    }

    fn new(environment: &Environment, variable: &'static str, default: &str) -> Location {
        let named = environment.get(variable);
        let shown = named.unwrap_or(default);
        let path = environment.path(shown);
        Location {
            shown: shown.into(),
            // A `~` without a home must not become a folder of that name in the working directory.
            path: (!path.starts_with("~")).then_some(path),
            variable: named.map(|_| variable),
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
        let named = self.variable.map(|variable| format!("{variable}: ")).unwrap_or_default();
        let message = format!("{named}{}: {}", self.shown.display(), io_message(&error));
        if self.exists() {
            let hint = "make it readable, or use another file";
            let error = Error::new(Kind::Credentials, message).hint(hint);
            diagnostics.unreadable.get_or_insert(error);
        } else if !named.is_empty() || error.kind() != io::ErrorKind::NotFound {
            diagnostics.warnings.push(format!("{message}; treated as empty"));
            diagnostics.absent.push(message);
        }
        Vec::new()
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
