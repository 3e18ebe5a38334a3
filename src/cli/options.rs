//! `Options`: everything the user decides, typed and checked.

use crate::cli::headers::Header;
use crate::http::url::Endpoint;
use crate::log;
use crate::signing::Algorithm;
use std::path::PathBuf;
use std::time::Duration;

/// What AWS's own MCP servers call the region to work in.
pub(crate) const WORKING_REGION: &str = "AWS_REGION";

/// Everything the user decides. `None` as a time limit is no limit.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Options {
    pub endpoint: Endpoint,
    /// With v4a the region set: `us-east-1,eu-west-1` or `*`.
    pub region: String,
    pub service: String,
    /// Neither flag nor variable names the service: the host does.
    pub service_is_inferred: bool,
    pub algorithm: Algorithm,
    pub unsigned_payload: bool,
    /// Where there are no credentials, nothing is signed.
    pub skip_auth: bool,
    /// Those named outright. Empty leaves the choice to the credential chain and its variables.
    pub profiles: Vec<String>,
    /// Globs: the tools whose calls may choose among the profiles.
    pub profile_tools: Vec<String>,
    /// `--region` as it was given.
    pub named_region: Option<String>,
    pub role: Option<RoleToAssume>,
    pub headers: Vec<Header>,
    /// For `params._meta`.
    pub metadata: Vec<(String, String)>,
    /// `AWS_REGION` beside them, unless they name it or nothing asks for it.
    pub working_region: Option<String>,
    pub read_only: bool,
    /// Globs. Empty: all.
    pub allowed_tools: Vec<String>,
    pub denied_tools: Vec<String>,
    /// `initialize` is answered here, and the session begun later.
    pub lazy: bool,
    /// Whether the client's name goes into the User-Agent.
    pub names_client: bool,
    pub sse: GetStream,
    pub timeout: Option<Duration>,
    pub tool_timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    /// Zero is not at all.
    pub drain_timeout: Duration,
    pub max_message_bytes: usize,
    pub max_in_flight: usize,
    /// Extra attempts.
    pub retries: u32,
    /// The file, and the flag, variable or setting that names it.
    pub ca_bundle: Option<(PathBuf, String)>,
    pub allow_http: bool,
    pub log_level: log::Level,
    /// `None` is stderr.
    pub log_file: Option<PathBuf>,
    pub log_format: log::Format,
    /// What is worth a line at debug, such as a variable that the URL outranked.
    pub notes: Vec<String>,
    /// Flags and variables of other proxies that mean nothing here.
    pub ignored: Vec<String>,
    pub origins: Origins,
}

/// Who says what: `--region`, `AWS_REGION`, `the URL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    pub endpoint: String,
    pub region: String,
    pub service: String,
    pub log_file: String,
}

impl Options {
    /// The same for a call that chooses another profile, whose settings these are.
    #[must_use]
    pub fn for_profile(&self, name: &str, settings: &ProfileSettings) -> Options {
        let region = self.working_region.as_ref();
        Options {
            profiles: vec![name.to_owned()],
            working_region: region.map(|region| settings.region.as_ref().unwrap_or(region).clone()),
            ..self.clone()
        }
    }

    /// The profile that signs, if one was named outright.
    pub fn profile(&self) -> Option<&str> {
        self.profiles.first().map(String::as_str)
    }
}

/// A role to assume on top of the credentials that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleToAssume {
    pub arn: String,
    pub external_id: Option<String>,
    pub session_name: Option<String>,
}

/// Whether to hold a GET stream open. `Auto` tries once and takes no for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetStream {
    Auto,
    Off,
    On,
}

/// What an AWS profile may add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileSettings {
    pub region: Option<String>,
    pub ca_bundle: Option<String>,
    /// `sigv4a_signing_region_set`.
    pub region_set: Option<String>,
}
