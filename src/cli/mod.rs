//! Command line and environment → `Options`: typed, checked, complete.
//!
//! One table (`table`) drives parsing, `--help`, completions, the man page and docs/configuration.md. `command_line` sorts the
//! arguments, `resolve` combines them with the environment and the AWS profile. All problems are reported at once, in the
//! order of the table; a message never repeats a value that may be a secret.

mod command;
mod command_line;
mod completions;
mod doubts;
mod duration;
mod flag_names;
mod headers;
mod help;
mod leftovers;
mod listen;
mod old_command;
mod option_reader;
mod options;
mod parsed_args;
mod problem;
mod resolve;
mod row;
mod signature;
mod signing_region;
mod table;
mod target;
mod tokens;
mod values;
mod version;

pub use command::{Checkup, Command, ServerChecks, man_page, markdown, parse};
pub(crate) use help::wrapped;
pub use help::{IN_TERMINAL, USAGE};
pub(crate) use options::WORKING_REGION;
pub use options::{
    BridgeMode, GetStream, Header, ListenAddress, ListenOptions, ListenToken, LoginMode, Options,
    Origins, ProfileSettings, RoleToAssume, SignInOptions, WorkingRegion,
};
