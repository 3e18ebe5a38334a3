//! `Location`: where the config and the credentials file are, and their bytes.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::credentials::watch::Watch;
use crate::environment::Environment;
use crate::error::{Error, Kind};

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

    /// The file's bytes. A file that does not exist counts as empty, with a warning if a variable names it.
    ///
    /// # Errors
    /// The file exists and cannot be read: its profiles might select other credentials than those found without it.
    pub(crate) fn read(
        &self,
        watch: &mut Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<u8>, Error> {
        let read = match &self.path {
            Some(path) => watch.read(path),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the home folder is not known")),
        };
        let shown = self.shown.display();
        match read {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let named =
                    self.variable.map(|variable| format!("{variable}: ")).unwrap_or_default();
                if self.exists() {
                    let message = format!("{named}{shown}: {error}");
                    let hint = "make it a file that can be read, or name another one";
                    return Err(Error::new(Kind::Credentials, message).hint(hint));
                }
                if !named.is_empty() || error.kind() != io::ErrorKind::NotFound {
                    warnings.push(format!("{named}{shown}: {error}; it counts as empty"));
                }
                Ok(Vec::new())
            }
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
        let (mut watch, mut warnings) = (Watch::default(), Vec::new());
        let null = location(&[("AWS_CONFIG_FILE", "/dev/null")]);
        for silent in [location(&[]), location(&[("HOME", "/nowhere")]), null] {
            assert_eq!(silent.read(&mut watch, &mut warnings).unwrap(), b"");
        }
        assert_eq!(warnings, [""; 0]);
        let named = location(&[("AWS_CONFIG_FILE", "/nowhere/config")]);
        assert_eq!(named.read(&mut watch, &mut warnings).unwrap(), b"");
        assert!(warnings[0].starts_with("AWS_CONFIG_FILE: /nowhere/config: "), "{warnings:?}");
    }
}
