//! The files `~/.aws/config` and `~/.aws/credentials`: where they are, AWS's dialect of INI, the profiles in them, and the
//! plan of a profile.
//!
//! Only `location` reads files. Everything after it is pure, so a mistake in a file is found before any source is used.

mod header;
pub mod ini;
pub(crate) mod location;
pub mod plan;
pub mod profile;
pub(crate) mod profile_files;
