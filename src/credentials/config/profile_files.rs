//! `ProfileFiles`: the profiles as they are at start, for the configuration of the program.

use std::cell::OnceCell;

use crate::credentials::config::profile::{Files, Selection};
use crate::credentials::diagnostics::Diagnostics;
use crate::environment::Environment;
use crate::error::Error;

/// The config and the credentials file, read once, when something in them is needed. Look-ups of credentials read them
/// again, since they may change.
#[derive(Debug)]
pub struct ProfileFiles<'a> {
    environment: &'a Environment,
    files: OnceCell<Result<Files, Error>>,
}

impl<'a> ProfileFiles<'a> {
    pub fn new(environment: &'a Environment) -> ProfileFiles<'a> {
        ProfileFiles { environment, files: OnceCell::new() }
    }

    /// Settings of the selected profile, such as `region` and `ca_bundle`. `profile` is the value of `--profile`.
    ///
    /// # Errors
    /// A file cannot be read or parsed, or the profile was named and does not exist.
    pub fn settings<const N: usize>(
        &self,
        profile: Option<&str>,
        settings: [&str; N],
    ) -> Result<[Option<String>; N], Error> {
        let selection = Selection::new(self.environment, profile);
        let profile = self.files()?.profile(&selection)?;
        Ok(settings.map(|setting| Some(profile?.get(setting)?.to_owned())))
    }

    /// An error for each of `names` that no profile has. There are none if the files cannot be read, which the look-up of
    /// credentials reports.
    pub fn unknown(&self, names: &[String]) -> Vec<Error> {
        let Ok(files) = self.files() else { return Vec::new() };
        let selections = names.iter().map(|name| Selection::new(self.environment, Some(name)));
        selections.filter_map(|selection| files.profile(&selection).err()).collect()
    }

    fn files(&self) -> Result<&Files, Error> {
        let read = || {
            let mut diagnostics = Diagnostics::default();
            let files = Files::read(self.environment, &mut diagnostics)?;
            diagnostics.unreadable.map_or(Ok(files), Err)
        };
        self.files.get_or_init(read).as_ref().map_err(Clone::clone)
    }
}
