//! `Options`: everything the user decides, typed and checked.

use crate::aws::region::first_of_set;
use crate::aws::runtime_session::RuntimeSession;
use crate::http::url::Endpoint;
use crate::log;
use crate::signing::{Algorithm, Secret};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Member of `params._meta` in which AWS's own MCP servers expect the region to work in.
pub(crate) const WORKING_REGION: &str = "AWS_REGION";

/// Everything the user decides. A time limit of `None` means that there is none.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Options {
    pub endpoint: Endpoint,
    /// With v4a the region set: `us-east-1,eu-west-1` or `*`.
    pub region: String,
    pub service: String,
    /// The service comes from the host name, not from a flag or variable.
    pub service_is_inferred: bool,
    pub algorithm: Algorithm,
    /// Whether signatures leave out the bodies; `None`: as the service expects.
    pub unsigned_payload: Option<bool>,
    /// Requests are sent unsigned if no credentials are found.
    pub skip_auth: bool,
    /// They are sent unsigned, too, if the credentials that were found cannot be used.
    pub ignores_unusable_credentials: bool,
    /// Profiles named by flag. Empty: the credential chain chooses, with its variables.
    pub profiles: Vec<String>,
    /// Globs of the tools whose calls may choose a profile.
    pub profile_tools: Vec<String>,
    /// The value of `--region`.
    pub named_region: Option<String>,
    pub role: Option<RoleToAssume>,
    /// The session name of every role that is assumed.
    pub role_session_name: Option<String>,
    pub login: LoginMode,
    pub headers: Vec<Header>,
    /// Added to `params._meta`.
    pub metadata: Vec<(String, String)>,
    /// `AWS_REGION` in addition, unless `metadata` has it or the server does not expect it.
    pub working_region: Option<WorkingRegion>,
    pub read_only: bool,
    /// Globs. Empty: all.
    pub allowed_tools: Vec<String>,
    pub denied_tools: Vec<String>,
    /// The response to `initialize` is made locally, and the session starts later.
    pub lazy: bool,
    /// Lists are fetched whole and returned as one page.
    pub merge_lists: bool,
    /// Whether the client's name goes into the User-Agent.
    pub names_client: bool,
    pub bridge: BridgeMode,
    pub sse: GetStream,
    pub runtime_session: RuntimeSession,
    /// Clients are served over HTTP instead of stdio.
    pub listen: Option<ListenOptions>,
    pub timeout: Option<Duration>,
    pub tool_timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    /// Zero: do not wait.
    pub drain_timeout: Duration,
    pub max_message_bytes: usize,
    pub max_in_flight: usize,
    /// Additional attempts.
    pub retries: u32,
    /// The file, and the flag, variable or setting that names it.
    pub ca_bundle: Option<(PathBuf, String)>,
    /// Neither a flag nor a variable names it: those of the other profiles are trusted, too.
    pub ca_bundle_is_of_profiles: bool,
    pub allow_http: bool,
    pub log_level: log::Level,
    /// `None` is stderr.
    pub log_file: Option<PathBuf>,
    pub log_format: log::Format,
    /// Corrections that were made automatically.
    pub notes: Vec<String>,
    /// Values that were probably not meant as they are.
    pub warnings: Vec<String>,
    /// Notes about flags that were abbreviated.
    pub abbreviated: Vec<String>,
    /// Flags and variables of other proxies that have no equivalent here.
    pub ignored: Vec<String>,
    pub origins: Origins,
}

/// The region in which AWS's own MCP servers work for the caller; not necessarily the one that is signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingRegion {
    of_profile: Option<String>,
    /// The same for all profiles.
    otherwise: Option<String>,
}

impl WorkingRegion {
    /// The region of the profile, or else the one that the environment or the URL names.
    pub(crate) fn new(of_profile: Option<&str>, otherwise: Option<String>) -> WorkingRegion {
        let of_profile = of_profile.and_then(first_of_set);
        let of_profile = of_profile.filter(|region| !region.trim().is_empty());
        WorkingRegion { of_profile: of_profile.map(str::to_owned), otherwise }
    }

    pub fn name(&self) -> Option<&str> {
        self.of_profile.as_ref().or(self.otherwise.as_ref()).map(String::as_str)
    }
}

/// Where values come from: `--region`, `AWS_REGION`, `the URL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    pub endpoint: String,
    pub region: String,
    pub service: String,
    pub log_file: String,
}

impl Options {
    /// The options for calls that choose this profile, which has these settings.
    #[must_use]
    pub fn for_profile(&self, name: &str, settings: &ProfileSettings) -> Options {
        let region = self.working_region.as_ref();
        Options {
            profiles: vec![name.to_owned()],
            working_region: region.map(|region| {
                WorkingRegion::new(settings.region.as_deref(), region.otherwise.clone())
            }),
            ..self.clone()
        }
    }

    /// The profile that signs, if a flag names one.
    pub fn profile(&self) -> Option<&str> {
        self.profiles.first().map(String::as_str)
    }
}

/// A header as it is sent and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Secret,
}

/// A role to assume with the credentials that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleToAssume {
    pub arn: String,
    pub external_id: Option<String>,
}

/// How clients are served over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    pub address: ListenAddress,
    /// Of the MCP endpoint.
    pub path: String,
    /// Other machines, or other users, may connect.
    pub anyone: bool,
    /// Of web pages that may connect, as browsers write them.
    pub origins: Vec<String>,
    /// Names in lower case by which the listener may be reached; one without a port stands for any.
    pub hosts: Vec<String>,
    pub token: ListenToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => write!(out, "{address}"),
            ListenAddress::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// The bearer token that clients have to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenToken {
    /// A new one.
    Made,
    /// The content of this file.
    File(PathBuf),
    NotRequired,
}

/// When messages are translated for a server of another era. `Always` does the same as `Auto`, and for `server/discover` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeMode {
    Auto,
    Always,
    Off,
}

/// Whether to keep a GET stream open. `Auto` tries once and stops if the server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetStream {
    Auto,
    Off,
    On,
}

/// What a call does when a person has to sign in first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMode {
    /// Begins a sign-in by link and code, which works from any device.
    Auto,
    /// Begins a sign-in by a link that ends on a port of this machine.
    Browser,
    /// Fails.
    Off,
}

/// Settings of an AWS profile other than credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileSettings {
    pub region: Option<String>,
    pub ca_bundle: Option<String>,
    /// `sigv4a_signing_region_set`.
    pub region_set: Option<String>,
}

/// Options of `login` and `logout`, in addition to those of the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct SignInOptions {
    /// The sign-in session, instead of a profile.
    pub sso_session: Option<String>,
    pub uses_device_code: bool,
    /// The browser is on another machine.
    pub is_remote: bool,
    pub opens_browser: bool,
    pub only_if_needed: bool,
}
