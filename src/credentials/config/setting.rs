//! Settings of profiles other than credentials, for the configuration of the program.

use crate::credentials::config::profile::{Files, Selection};
use crate::credentials::diagnostics::Diagnostics;
use crate::environment::Environment;
use crate::error::Error;

/// Settings of the selected profile, such as `region` and `ca_bundle`, from one reading of both files. `profile` is the
/// value of `--profile`.
///
/// # Errors
/// A file cannot be read or parsed, or the profile was named and does not exist.
pub fn profile_settings<const N: usize>(
    environment: &Environment,
    profile: Option<&str>,
    settings: [&str; N],
) -> Result<[Option<String>; N], Error> {
    let mut diagnostics = Diagnostics::default();
    let files = Files::read(environment, &mut diagnostics)?;
    diagnostics.unreadable.map_or(Ok(()), Err)?;
    let selection = Selection::new(environment, profile);
    let profile = files.profile(&selection)?;
    Ok(settings.map(|setting| Some(profile?.get(setting)?.to_owned())))
}

/// An error for each of `names` that no profile has. There are none if the files cannot be read, which the look-up of
/// credentials reports.
pub fn unknown_profiles(environment: &Environment, names: &[String]) -> Vec<Error> {
    let mut diagnostics = Diagnostics::default();
    match Files::read(environment, &mut diagnostics) {
        Ok(files) if diagnostics.unreadable.is_none() => {
            let selections = names.iter().map(|name| Selection::new(environment, Some(name)));
            selections.filter_map(|selection| files.profile(&selection).err()).collect()
        }
        _ => Vec::new(),
    }
}
