//! Command line and environment → `Options`: typed, checked, complete.
//!
//! One table (`table`) drives parsing, `--help`, completions, the man page and docs/configuration.md. `args` splits the
//! command line, `resolve` combines it with the environment and the AWS profile. All problems are reported at once, in the
//! order of the table; a message never repeats a value that may be a secret.

mod args;
mod command;
mod completions;
mod doubts;
mod duration;
mod flag_names;
mod headers;
mod help;
mod leftovers;
mod listen;
mod options;
mod problem;
mod resolve;
mod table;
mod target;
mod values;
mod version;

pub use command::{Command, man_page, markdown, parse};
pub use headers::Header;
pub(crate) use help::wrapped;
pub use help::{IN_TERMINAL, USAGE};
pub(crate) use options::WORKING_REGION;
pub use options::{
    BridgeMode, GetStream, ListenAddress, ListenOptions, ListenToken, LoginMode, Options, Origins,
    ProfileSettings, RoleToAssume, SignInOptions,
};
