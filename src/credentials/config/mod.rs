//! `~/.aws/config` and `~/.aws/credentials`: AWS's dialect of INI, profiles, and the plan that a profile stands for. Pure.

pub mod ini;
pub mod profile;
