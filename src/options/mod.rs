//! Command line and environment → `Options`: typed, checked, complete. Every default is here or in the table.
//!
//! All problems are listed at once, in the order of the table. A message never repeats what may be a secret.

mod given;
mod headers;
mod table;
mod values;

pub use headers::Header;

use crate::duration;
use crate::endpoint::Endpoint;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::inference;
use crate::log;
use crate::signing::{Algorithm, PayloadRule};
use given::{Given, Line, Value};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use table::Key;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Print this text.
    Help(String),
    Run(Box<Options>),
    Version,
}

/// Everything the user decides. `None` as a time limit is no limit.
#[derive(Clone, Debug)]
pub struct Options {
    pub endpoint: Endpoint,
    /// With v4a the region set: `us-east-1,eu-west-1` or `*`.
    pub region: String,
    pub service: String,
    pub algorithm: Algorithm,
    pub unsigned_payload: bool,
    /// Those named outright. Empty leaves the choice to the credential chain and its variables.
    pub profiles: Vec<String>,
    pub headers: Vec<Header>,
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
    pub ca_bundle: Option<PathBuf>,
    pub allow_http: bool,
    pub log_level: log::Level,
    /// `None` is stderr.
    pub log_file: Option<PathBuf>,
    pub log_format: log::Format,
    /// What is worth a line at debug, such as a variable that the URL outranked.
    pub notes: Vec<String>,
}

impl Options {
    /// The profile that signs, if one was named outright.
    pub fn profile(&self) -> Option<&str> {
        self.profiles.first().map(String::as_str)
    }
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
}

/// Reads the arguments (without the program's name) and the environment.
///
/// `profile` looks up the named or the usual profile. It is asked at most once, and only for what nothing
/// else tells; if it fails, the credential chain will say why, so its error is dropped here.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    profile: impl FnOnce(Option<&str>) -> Result<ProfileSettings, Error>,
) -> Result<Command, Vec<Error>> {
    match given::read(args)? {
        Line::Help => Ok(Command::Help(table::help())),
        Line::Version => Ok(Command::Version),
        Line::Given(flags) => {
            let given = Given::new(flags, environment);
            Reading { given, environment, problems: Vec::new(), notes: Vec::new() }
                .options(profile)
                .map(|options| Command::Run(Box::new(options)))
        }
    }
}

/// The generated part of docs/configuration.md.
pub fn markdown() -> String {
    table::markdown()
}

/// A mistake of the user's, and how to mend it.
fn wrong(what: &str, mend: &str) -> Error {
    Error::new(Kind::Usage, what).context("configuration error").hint(mend)
}

/// What was typed on its way to `Options`.
struct Reading<'a> {
    given: Given<'a>,
    environment: &'a Environment,
    problems: Vec<(Key, Error)>,
    notes: Vec<String>,
}

impl Reading<'_> {
    fn options(
        mut self,
        profile: impl FnOnce(Option<&str>) -> Result<ProfileSettings, Error>,
    ) -> Result<Options, Vec<Error>> {
        let allow_http = self.switch(Key::AllowHttp).unwrap_or(false);
        let algorithm = self.algorithm();
        let profiles = self.profiles();
        let endpoint = self.endpoint();
        let inferred = endpoint
            .as_ref()
            .map(|endpoint| inference::of_host(endpoint.host()))
            .unwrap_or_default();
        if let Some(endpoint) = &endpoint
            && !is_guarded(endpoint)
            && !allow_http
        {
            let mend = "use https, or allow http with --allow-http";
            self.report(
                Key::TargetUrl,
                wrong("target URL must use https, since its host is not this one", mend),
            );
        }

        let told_region = self.told_region(inferred.region.as_deref());
        let told_bundle = self.given.value(Key::CaBundle).map(|value| value.text);
        let settings = if told_region.is_none() || told_bundle.is_none() {
            profile(profiles.first().map(String::as_str)).unwrap_or_default()
        } else {
            ProfileSettings::default()
        };
        let ca_bundle = told_bundle.or(settings.ca_bundle).map(|path| self.environment.path(&path));
        let region = told_region.or_else(|| {
            let text = settings.region.filter(|region| !region.trim().is_empty())?;
            Some(Value { text, from: "the profile's region".to_owned() })
        });
        let region = self.region(region, algorithm);
        let service = self.service(inferred.service.as_deref());
        let unsigned_payload = self.unsigned_payload(endpoint.as_ref(), &service);

        let (headers, problems) = headers::read(&self.given, self.environment);
        self.problems.extend(problems);

        // A broken URL has been reported, so nothing is sent to what stands here for it.
        let endpoint = endpoint.unwrap_or_else(Endpoint::unknown);
        let options = Options {
            endpoint,
            region,
            service,
            algorithm,
            unsigned_payload,
            profiles,
            headers,
            sse: match self.switch(Key::Sse) {
                None => GetStream::Auto,
                Some(false) => GetStream::Off,
                Some(true) => GetStream::On,
            },
            timeout: self.limit(Key::Timeout),
            tool_timeout: self.limit(Key::ToolTimeout),
            connect_timeout: self.limit(Key::ConnectTimeout),
            read_timeout: self.limit(Key::ReadTimeout),
            write_timeout: self.limit(Key::WriteTimeout),
            drain_timeout: self.limit(Key::DrainTimeout).unwrap_or_default(),
            max_message_bytes: self.or_default(Key::MaxMessageBytes, values::size),
            max_in_flight: self.or_default(Key::MaxInFlight, values::count),
            ca_bundle,
            allow_http,
            log_level: self.or_default(Key::LogLevel, values::log_level),
            log_file: self
                .given
                .value(Key::LogFile)
                .map(|value| self.environment.path(&value.text)),
            log_format: self.or_default(Key::LogFormat, values::log_format),
            notes: std::mem::take(&mut self.notes),
        };
        if self.problems.is_empty() {
            return Ok(options);
        }
        self.problems.sort_by_key(|(key, _)| *key);
        Err(self.problems.into_iter().map(|(_, error)| error).collect())
    }

    fn report(&mut self, key: Key, error: Error) {
        self.problems.push((key, error));
    }

    fn endpoint(&mut self) -> Option<Endpoint> {
        let qualifier = self.given.value(Key::Qualifier);
        let Some(value) = self.given.value(Key::TargetUrl) else {
            let mend = "set MCP_TARGET_URL or --target-url";
            self.report(Key::TargetUrl, wrong("target URL is required", mend));
            return None;
        };
        if qualifier.is_some() && !is_arn(&value.text) {
            let mend = "leave it out, or write ?qualifier=NAME into the URL";
            self.report(
                Key::Qualifier,
                wrong("--qualifier goes only with the ARN of a runtime", mend),
            );
        }
        let qualifier =
            qualifier.map_or(Key::Qualifier.row().default.to_owned(), |value| value.text);
        let endpoint = if is_arn(&value.text) {
            inference::agentcore_url(&value.text, &qualifier)
                .map_err(|error| error.context("target"))
                .and_then(|url| Endpoint::parse(&url))
        } else {
            Endpoint::parse(&value.text)
        };
        match endpoint {
            Ok(endpoint) => {
                if endpoint.had_user_info() {
                    let what = "target URL holds a user name or a password";
                    self.report(Key::TargetUrl, wrong(what, "take out what stands before the @"));
                }
                Some(endpoint)
            }
            Err(error) => {
                self.report(Key::TargetUrl, error.context("configuration error"));
                None
            }
        }
    }

    /// The region by flag, URL or environment, in this order.
    fn told_region(&mut self, of_url: Option<&str>) -> Option<Value> {
        let flag = self.given.flag(Key::Region);
        let variable = self.given.variable(Key::Region);
        let Some(of_url) = of_url else { return flag.or(variable) };
        let differs = |value: &Value| value.text != of_url;
        if let Some(flag) = flag {
            if differs(&flag) {
                let note = format!("--region {} is used; the URL names {of_url}", flag.text);
                self.notes.push(note);
            }
            return Some(flag);
        }
        if let Some(variable) = variable.filter(differs) {
            let Value { text, from } = variable;
            self.notes.push(format!("the URL's region {of_url} is used; {from} is {text}"));
        }
        Some(Value { text: of_url.to_owned(), from: "the URL's region".to_owned() })
    }

    fn region(&mut self, value: Option<Value>, algorithm: Algorithm) -> String {
        let Some(Value { text, from }) = value else {
            let mend = "set AWS_REGION or --region";
            self.report(Key::Region, wrong("region is required", mend));
            return String::new();
        };
        values::region(&text, algorithm).unwrap_or_else(|error| {
            self.report(Key::Region, error.context(from).context("configuration error"));
            String::new()
        })
    }

    fn service(&mut self, of_url: Option<&str>) -> String {
        let Some(Value { text, from }) = self.given.value(Key::ServiceName) else {
            if let Some(service) = of_url {
                return service.to_owned();
            }
            let mend = "set AWS_SERVICE_NAME or --service-name";
            self.report(Key::ServiceName, wrong("service name is required", mend));
            return String::new();
        };
        if let Some(service) = of_url.filter(|service| *service != text) {
            self.notes.push(format!("{from} {text} is used; the URL names the service {service}"));
        }
        if text == "iam" {
            self.notes.push(
                "the service name iam signs for IAM itself; API Gateway's is execute-api, a Lambda function's is lambda"
                    .to_owned(),
            );
        }
        values::service(&text).unwrap_or_else(|error| {
            self.report(Key::ServiceName, error.context(from).context("configuration error"));
            String::new()
        })
    }

    fn algorithm(&mut self) -> Algorithm {
        let Some(value) = self.given.value(Key::SigVersion) else { return Algorithm::V4 };
        match value.text.to_ascii_lowercase().as_str() {
            "v4" => Algorithm::V4,
            "v4a" => Algorithm::V4a,
            _ => {
                let what = format!("unsupported signature version: {}", value.text);
                let error = Error::new(Kind::Usage, what).hint("must be 'v4' or 'v4a'");
                self.report(Key::SigVersion, error);
                // The one that takes every region, so that the region is not blamed as well.
                Algorithm::V4a
            }
        }
    }

    /// VPC Lattice verifies no other kind of signature. Without TLS nothing would guard the body.
    fn unsigned_payload(&mut self, endpoint: Option<&Endpoint>, service: &str) -> bool {
        let guarded = endpoint.is_none_or(is_guarded);
        match self.switch(Key::UnsignedPayload) {
            Some(true) if !guarded => {
                let mend = "use an https URL, or leave it out";
                self.report(Key::UnsignedPayload, wrong("--unsigned-payload needs https", mend));
                false
            }
            Some(unsigned) => unsigned,
            None => guarded && PayloadRule::of_service(service) == PayloadRule::Unsigned,
        }
    }

    fn profiles(&self) -> Vec<String> {
        let mut profiles: Vec<String> =
            self.given.flags(Key::Profile).map(|value| value.text.clone()).collect();
        if profiles.is_empty()
            && let Some(Value { text, from }) = self.given.variable(Key::Profile)
            // The other two are the credential chain's to read: there they rank below keys in the environment.
            && from == "AWS_MCP_PROXY_PROFILES"
        {
            profiles = text.split_ascii_whitespace().map(str::to_owned).collect();
        }
        let mut seen = std::collections::HashSet::new();
        profiles.retain(|profile| seen.insert(profile.clone()));
        profiles
    }

    fn switch(&mut self, key: Key) -> Option<bool> {
        self.understood(key, values::switch)
    }

    fn limit(&mut self, key: Key) -> Option<Duration> {
        self.or_default(key, duration::parse)
    }

    /// The value that was given, else the default of the table; that one too if the value is no good.
    fn or_default<T>(&mut self, key: Key, read: fn(&str) -> Result<T, Error>) -> T {
        self.understood(key, read)
            .unwrap_or_else(|| read(key.row().default).expect("the defaults of the table are good"))
    }

    fn understood<T>(&mut self, key: Key, read: fn(&str) -> Result<T, Error>) -> Option<T> {
        let Value { text, from } = self.given.value(key)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(key, error.context(from).context("configuration error"));
                None
            }
        }
    }
}

fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

/// What is sent there is read by nobody on the way.
fn is_guarded(endpoint: &Endpoint) -> bool {
    endpoint.is_https() || endpoint.is_loopback()
}
