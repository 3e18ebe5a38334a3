//! `Resolver`: the value of each option from flag, environment, URL and profile, in the order of precedence, validated.

use crate::aws::hostname::{self, Reach};
use crate::aws::service_facts::ServiceFacts;
use crate::cli::args::{ParsedArgs, Value};
use crate::cli::doubts;
use crate::cli::duration;
use crate::cli::headers::{self, HeaderOptions};
use crate::cli::listen::{self, ListenRead};
use crate::cli::options::{
    GetStream, LoginMode, Options, Origins, ProfileSettings, RoleToAssume, WORKING_REGION,
};
use crate::cli::problem::usage_error;
use crate::cli::table::Key;
use crate::cli::target::{self, SignHost};
use crate::cli::values;
use crate::environment::Environment;
use crate::error::{Error, Kind};
use crate::http::url::Endpoint;
use crate::json::member_names::is_variant_of;
use crate::log::Level;
use crate::signing::{Algorithm, PayloadSigning};
use crate::suggest::flaw;
use std::path::PathBuf;
use std::time::Duration;

/// The AWS SDKs' variable for the region set of a SigV4a signature.
const REGION_SET: &str = "AWS_SIGV4A_SIGNING_REGION_SET";

/// The variable of mcp-proxy-for-aws that replaces `--profile`.
const PROFILES: &str = "AWS_MCP_PROXY_PROFILES";

/// The metadata to send; none if the region is empty.
fn sent(mut metadata: Vec<(String, String)>) -> Vec<(String, String)> {
    metadata.retain(|(name, value)| name != WORKING_REGION || !value.is_empty());
    metadata
}

/// Resolves parsed arguments into `Options` and collects the problems.
pub(crate) struct Resolver<'a> {
    args: ParsedArgs<'a>,
    environment: &'a Environment,
    problems: Vec<(Key, Error)>,
    /// Options that already have a problem.
    in_doubt: Vec<Key>,
    /// A flag or target that was not recognised may hold what is missing.
    may_hold_missing: bool,
    notes: Vec<String>,
    warnings: Vec<String>,
    /// What is wrong with the region in the URL, for errors that follow from it.
    url_hint: Option<String>,
    /// What names the host that is signed for.
    named_by: &'static str,
    origins: Origins,
}

/// Options that the profile may set.
struct ProfileOptions {
    region: String,
    working_region: Option<String>,
    /// The file, and what names it.
    ca_bundle: Option<(PathBuf, String)>,
}

impl<'a> Resolver<'a> {
    /// No problem is reported for the options `in_doubt`.
    pub(crate) fn new(
        args: ParsedArgs<'a>,
        environment: &'a Environment,
        in_doubt: Vec<Key>,
        may_hold_missing: bool,
    ) -> Self {
        Resolver {
            args,
            environment,
            problems: Vec::new(),
            in_doubt,
            may_hold_missing,
            notes: Vec::new(),
            warnings: Vec::new(),
            url_hint: None,
            named_by: "the URL",
            origins: Origins::default(),
        }
    }

    /// The value of an option as it is.
    pub(crate) fn text(&self, key: Key) -> Option<String> {
        Some(self.args.value(key)?.text)
    }

    /// Reports flags that go only with other subcommands than this one.
    pub(crate) fn report_flags_of_others(&mut self, subcommand: Option<&str>) {
        const OF_ONE: [(Key, &str, &[&str]); 6] = [
            (Key::SsoSession, "login and logout", &["login", "logout"]),
            (Key::UseDeviceCode, "login", &["login"]),
            (Key::Remote, "login", &["login"]),
            (Key::NoBrowser, "login", &["login"]),
            (Key::IfNeeded, "login", &["login"]),
            (Key::Json, "doctor", &["doctor"]),
        ];
        for (key, which, words) in OF_ONE {
            if subcommand.is_none_or(|word| !words.contains(&word))
                && let Some(Value { from, .. }) = self.args.flag(key)
            {
                self.report(key, usage_error(&format!("{from} is only for {which}"), "omit it"));
            }
        }
    }

    /// All options and all problems, in the order of the table. Invalid values are replaced by placeholders.
    pub(crate) fn options(
        mut self,
        profile: impl FnOnce(Option<&str>) -> Result<ProfileSettings, Error>,
    ) -> (Options, Vec<Error>) {
        let allow_http = self.switch(Key::AllowHttp).unwrap_or(false);
        let profiles = self.profiles();
        let endpoint = self.endpoint(allow_http);
        let inferred = hostname::of_host(endpoint.service_host());
        let algorithm = self.algorithm(inferred.reach);
        self.url_hint = hostname::region_hint(endpoint.service_host());
        let metadata = self.metadata();
        let profile = || profile(profiles.first().map(String::as_str));
        let ProfileOptions { region, working_region, ca_bundle } =
            self.profile_options(endpoint.service_host(), algorithm, &metadata, profile);
        let service_is_inferred = self.args.value(Key::ServiceName).is_none();
        let service = self.service(inferred.service.as_deref());
        let unsigned_payload = self.unsigned_payload(&endpoint, &service);

        let HeaderOptions { headers, problems, warnings } =
            headers::read(&self.args, self.environment);
        self.problems.extend(problems.into_iter().filter(|(key, _)| !self.in_doubt.contains(key)));
        self.warnings.extend(warnings);

        let ListenRead { listen, problems, warnings } = listen::read(&self.args, self.environment);
        self.problems.extend(problems.into_iter().filter(|(key, _)| !self.in_doubt.contains(key)));
        self.warnings.extend(warnings);

        let max_in_flight = self.max_in_flight(&service, &endpoint);
        let skip_auth = self.switch(Key::SkipAuth);
        let is_open = matches!(inferred.reach, Reach::AllRegions { .. });
        let role = self.role();
        let names_identity = !profiles.is_empty() || role.is_some();

        let options = Options {
            endpoint,
            region,
            service,
            service_is_inferred,
            algorithm,
            unsigned_payload,
            skip_auth: skip_auth.unwrap_or(is_open),
            ignores_unusable_credentials: is_open && !names_identity && skip_auth != Some(false),
            profiles,
            profile_tools: self.words_or_default(Key::ProfileTools),
            named_region: self.args.flag(Key::Region).map(|value| value.text),
            role,
            role_session_name: self.role_session_name(),
            login: self.login(),
            headers,
            metadata: sent(metadata),
            working_region,
            read_only: self.switch(Key::ReadOnly).unwrap_or(false),
            allowed_tools: self.words(Key::AllowTool),
            denied_tools: self.words(Key::DenyTool),
            lazy: self.switch(Key::Lazy).unwrap_or(false) && listen.is_none(),
            merge_lists: self.switch(Key::MergeLists).unwrap_or(false),
            names_client: !self.switch(Key::DisableTelemetry).unwrap_or(false),
            bridge: self.or_default(Key::Bridge, values::bridge_mode),
            sse: self.get_stream(),
            runtime_session: self.or_default(Key::RuntimeSession, values::runtime_session),
            listen,
            timeout: self.limit(Key::Timeout),
            tool_timeout: self.limit(Key::ToolTimeout),
            connect_timeout: self.limit(Key::ConnectTimeout),
            read_timeout: self.limit(Key::ReadTimeout),
            write_timeout: self.limit(Key::WriteTimeout),
            drain_timeout: self.limit(Key::DrainTimeout).unwrap_or_default(),
            max_message_bytes: self.or_default(Key::MaxMessageBytes, values::size),
            max_in_flight,
            retries: self.or_default(Key::Retries, values::retries),
            ca_bundle,
            allow_http,
            log_level: self.log_level(),
            log_file: self.log_file(),
            log_format: self.or_default(Key::LogFormat, values::log_format),
            notes: std::mem::take(&mut self.notes),
            warnings: std::mem::take(&mut self.warnings),
            abbreviated: Vec::new(),
            ignored: Vec::new(),
            origins: std::mem::take(&mut self.origins),
        };
        self.problems.sort_by_key(|(key, _)| *key);
        (options, self.problems.into_iter().map(|(_, error)| error).collect())
    }

    /// Without a flag or variable, the default of the service comes before the general one.
    fn max_in_flight(&mut self, service: &str, endpoint: &Endpoint) -> usize {
        let facts = ServiceFacts::of(service, endpoint.service_host(), endpoint.path());
        match (self.args.value(Key::MaxInFlight), facts.max_in_flight) {
            (None, Some(of_service)) => of_service,
            _ => self.or_default(Key::MaxInFlight, values::count),
        }
    }

    /// Where CI is set, no person is there to follow a link.
    fn login(&mut self) -> LoginMode {
        let is_ci = self
            .environment
            .get("CI")
            .is_some_and(|ci| ci != "0" && !ci.eq_ignore_ascii_case("false"));
        match self.or_default(Key::Login, values::login) {
            LoginMode::Auto if is_ci => LoginMode::Off,
            mode => mode,
        }
    }

    /// The options that the profile may set. It is only read for what nothing else provides.
    fn profile_options(
        &mut self,
        host: &str,
        algorithm: Algorithm,
        metadata: &[(String, String)],
        profile: impl FnOnce() -> Result<ProfileSettings, Error>,
    ) -> ProfileOptions {
        let inferred = hostname::of_host(host);
        // An AWS host without a region serves all of them.
        let everywhere = algorithm == Algorithm::V4a && inferred.service.is_some();
        let of_url = inferred.region.as_deref().or(everywhere.then_some("*"));
        let explicit_region = self.explicit_region(of_url, algorithm);
        let named_bundle = self.args.value(Key::CaBundle).map(|value| (value.text, value.from));
        // AWS's own MCP servers work in a region that their callers name in `_meta`.
        let names_region = (!metadata.is_empty() || hostname::is_dual_stack(host))
            && !metadata.iter().any(|(name, _)| name == WORKING_REGION);
        let needs_profile = explicit_region.is_none()
            || named_bundle.is_none()
            || names_region
            || (algorithm == Algorithm::V4a && self.args.flag(Key::Region).is_none());
        let of_profile = needs_profile.then(profile);
        let (settings, unread_profile) = match of_profile.transpose() {
            Ok(settings) => (settings.unwrap_or_default(), None),
            Err(error) => (ProfileSettings::default(), Some(error)),
        };
        let of_profile =
            settings.ca_bundle.map(|path| (path, "the profile's ca_bundle".to_owned()));
        let ca_bundle =
            named_bundle.or(of_profile).map(|(path, from)| (self.environment.path(&path), from));
        let working_region = names_region
            .then(|| self.working_region(settings.region.as_deref(), inferred.region.as_deref()))
            .flatten();
        let explicit_region = match settings.region_set {
            Some(text) if self.may_be_set_by_profile(algorithm) => {
                Some(Value { text, from: "the profile's sigv4a_signing_region_set".to_owned() })
            }
            _ => explicit_region,
        };
        let profile_region = settings
            .region
            .filter(|region| !region.trim().is_empty())
            .map(|text| Value { text, from: "the profile's region".to_owned() });
        let region = explicit_region
            .or_else(|| profile_region.clone())
            .or_else(|| region_for_all(inferred.reach));
        self.warn_of_doubts(region.as_ref(), profile_region, metadata, inferred.region.as_deref());
        let is_known = region.is_some();
        let region = self.region(region, algorithm);
        if let Some(error) = unread_profile.filter(|_| !is_known) {
            self.report_unread_profile(&error);
        }
        ProfileOptions { region, working_region, ca_bundle }
    }

    fn get_stream(&mut self) -> GetStream {
        match self.switch(Key::Sse) {
            None => GetStream::Auto,
            Some(false) => GetStream::Off,
            Some(true) => GetStream::On,
        }
    }

    fn log_level(&mut self) -> Level {
        let is_verbose = self.switch(Key::Verbose) == Some(true);
        let level = self.or_default(Key::LogLevel, values::log_level);
        if is_verbose && self.args.flag(Key::LogLevel).is_none() { Level::Debug } else { level }
    }

    fn log_file(&mut self) -> Option<PathBuf> {
        let Value { text, from } = self.args.value(Key::LogFile)?;
        self.origins.log_file = from;
        Some(self.environment.path(&text))
    }

    pub(crate) fn report(&mut self, key: Key, error: Error) {
        let error = match doubts::flaw_of(&self.args, key) {
            Some((from, flaw)) => error.hint(format!("{from} {flaw}")),
            None => error,
        };
        if !self.in_doubt.contains(&key) {
            self.problems.push((key, error));
        }
    }

    /// Reports that a required option is missing, unless an argument that was not recognised may hold it.
    fn report_missing(&mut self, key: Key, error: Error) {
        if !self.may_hold_missing {
            self.report(key, error);
        }
    }

    /// Reports why the region of the profile is not known.
    fn report_unread_profile(&mut self, error: &Error) {
        let what = format!("the profile cannot be read: {}", error.message());
        let hint = error.hint_text().unwrap_or("fix it, or set --region");
        let error = Error::new(Kind::Usage, what).context("configuration error").hint(hint);
        self.report_missing(Key::Region, error);
    }

    fn endpoint(&mut self, allow_http: bool) -> Endpoint {
        let qualifier = self.args.value(Key::Qualifier);
        let Some(Value { text, from }) = self.args.value(Key::TargetUrl) else {
            self.report_missing(Key::TargetUrl, target::missing());
            // It may provide the region and the service.
            self.may_hold_missing = true;
            return Endpoint::unknown();
        };
        self.origins.endpoint = from;
        if qualifier.is_some() && !(target::is_arn(&text) && text.contains(":runtime/")) {
            let what = "--qualifier is only for the ARN of a runtime";
            let fix = "omit it, or write ?qualifier=NAME into the URL";
            self.report(Key::Qualifier, usage_error(what, fix));
        }
        let qualifier =
            qualifier.map_or_else(|| Key::Qualifier.row().default.to_owned(), |value| value.text);
        let endpoint = target::read(&text, &qualifier, allow_http).unwrap_or_else(|error| {
            self.report(Key::TargetUrl, error);
            target::placeholder(&text).unwrap_or_else(|| {
                self.may_hold_missing = true;
                Endpoint::unknown()
            })
        });
        let endpoint = self.signed_for(endpoint);
        let (endpoint, note) = target::with_encoded_arn(endpoint);
        self.notes.extend(note);
        endpoint
    }

    /// The endpoint with the host of `--sign-host` in its requests and signatures.
    fn signed_for(&mut self, endpoint: Endpoint) -> Endpoint {
        let Some(SignHost { host, port, path }) = self.parsed(Key::SignHost, target::sign_host)
        else {
            self.may_hold_missing |= self.args.value(Key::SignHost).is_some();
            return endpoint;
        };
        if path.is_some_and(|path| path != endpoint.path()) {
            let warning = "the path of --sign-host is ignored: the path of the URL is signed";
            self.warnings.push(warning.to_owned());
        }
        let signed = endpoint.clone().signed_for(host, port);
        // Otherwise the wrong one of two servers, and perhaps of two accounts, would be signed for.
        if signed != endpoint && target::serves_only_itself(endpoint.host()) {
            let what = "--sign-host differs from the host of the URL, which is an AWS endpoint";
            let fix = "write the host of the tunnel or the VPC endpoint into the URL, or omit --sign-host";
            self.report(Key::SignHost, usage_error(what, fix));
            return endpoint;
        }
        if signed != endpoint {
            self.named_by = "--sign-host";
        }
        signed
    }

    /// The region from flag, URL or environment, in this order. With SigV4a a region set outranks the URL.
    fn explicit_region(&self, of_url: Option<&str>, algorithm: Algorithm) -> Option<Value> {
        let flag = self.args.flag(Key::Region);
        if algorithm == Algorithm::V4a
            && flag.is_none()
            && let Some(set) = self.environment.get(REGION_SET)
        {
            return Some(Value { text: set.to_owned(), from: REGION_SET.to_owned() });
        }
        let variable = self.args.variable(Key::Region);
        let from = format!("{}'s region", self.named_by);
        let of_url = of_url.map(|text| Value { text: text.to_owned(), from });
        flag.or(of_url).or(variable)
    }

    /// Warns of values that were probably not meant as they are, among them the signing region and regions with other uses.
    fn warn_of_doubts(
        &mut self,
        region: Option<&Value>,
        profile_region: Option<Value>,
        metadata: &[(String, String)],
        of_url: Option<&str>,
    ) {
        let variable = self.args.variable(Key::Region);
        let in_metadata = metadata.iter().find(|(name, _)| name == WORKING_REGION);
        let in_metadata = in_metadata
            .map(|(name, text)| Value { text: text.clone(), from: format!("--metadata {name}") });
        let others = [variable, profile_region, in_metadata];
        let regions = region.into_iter().chain(others.iter().flatten());
        let of_host = self.url_hint.iter().map(|hint| format!("{}: {hint}", self.named_by));
        self.warnings.extend(of_host);
        self.warnings.extend(doubts::of_values(&self.args));
        self.warnings.extend(doubts::of_regions(regions));
        if let (Some(region), Some(of_url)) = (region, of_url) {
            // A variable that the URL outranks is no mistake: it is the region of the shell's other work.
            self.warnings.extend(doubts::of_host(region, of_url, self.named_by));
        }
    }

    /// SigV4a, and neither flag nor variable names a region set.
    fn may_be_set_by_profile(&self, algorithm: Algorithm) -> bool {
        algorithm == Algorithm::V4a
            && self.args.flag(Key::Region).is_none()
            && self.environment.get(REGION_SET).is_none()
    }

    fn metadata(&mut self) -> Vec<(String, String)> {
        let mut metadata: Vec<(String, String)> = Vec::new();
        for entry in self.words(Key::Metadata) {
            match entry.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => {
                    let name = name.trim();
                    let others = metadata.iter().map(|(other, _)| other.as_str());
                    if let Some(other) =
                        others.chain([WORKING_REGION]).find(|other| is_variant_of(name, other))
                    {
                        self.report(
                            Key::Metadata,
                            usage_error(
                                &format!(
                                    "--metadata {name} is the same as {other} for some JSON parsers"
                                ),
                                "keep one of them, with one spelling",
                            ),
                        );
                    }
                    metadata.retain(|(earlier, _)| earlier != name);
                    metadata.push((name.to_owned(), value.trim().to_owned()));
                }
                // The entry is not shown: it may be a secret.
                _ => self.report(
                    Key::Metadata,
                    usage_error("an entry of --metadata is not NAME=VALUE", "write NAME=VALUE"),
                ),
            }
        }
        metadata
    }

    /// The working region from profile, environment or URL; not necessarily the signing region.
    fn working_region(&self, of_profile: Option<&str>, of_url: Option<&str>) -> Option<String> {
        let variable = || self.args.variable(Key::Region).map(|value| value.text);
        of_profile.map(str::to_owned).or_else(variable).or(of_url.map(str::to_owned))
    }

    fn words(&self, key: Key) -> Vec<String> {
        self.args.flags(key).map(|value| value.text.clone()).collect()
    }

    fn words_or_default(&self, key: Key) -> Vec<String> {
        let words = self.words(key);
        if words.is_empty() {
            return key.row().default.split(' ').map(str::to_owned).collect();
        }
        words
    }

    fn region(&mut self, value: Option<Value>, algorithm: Algorithm) -> String {
        let Some(Value { text, from }) = value else {
            let fix = self.url_hint.as_deref().unwrap_or("set AWS_REGION or --region");
            self.report_missing(Key::Region, usage_error("region is required", fix));
            return String::new();
        };
        self.origins.region.clone_from(&from);
        values::region(&text, algorithm).unwrap_or_else(|error| {
            let error = match flaw(&text) {
                Some(flaw) => error.hint(format!("{from} {flaw}")),
                None => error,
            };
            self.report(Key::Region, error.context(from).context("configuration error"));
            String::new()
        })
    }

    fn service(&mut self, of_url: Option<&str>) -> String {
        let Some(Value { text, from }) = self.args.value(Key::ServiceName) else {
            if let Some(service) = of_url {
                self.named_by.clone_into(&mut self.origins.service);
                return service.to_owned();
            }
            let fix = "set AWS_SERVICE_NAME or --service-name";
            let fix = self.url_hint.as_deref().unwrap_or(fix);
            self.report_missing(Key::ServiceName, usage_error("service name is required", fix));
            return String::new();
        };
        self.origins.service.clone_from(&from);
        if let Some(service) = of_url.filter(|service| *service != text) {
            let warning = format!(
                "{from} {text} is used; {} belongs to the service {service}",
                self.named_by
            );
            self.warnings.push(warning);
        }
        if text == "iam" {
            self.warnings.push(
                "the service name iam is for IAM itself; use execute-api for API Gateway, lambda for Lambda function URLs"
                    .to_owned(),
            );
        }
        values::service(&text).unwrap_or_else(|error| {
            self.report(Key::ServiceName, error.context(from).context("configuration error"));
            String::new()
        })
    }

    fn algorithm(&mut self, reach: Reach) -> Algorithm {
        let of_host = match reach {
            Reach::SeveralRegions { .. } => Algorithm::V4a,
            Reach::OneRegion | Reach::AllRegions { .. } => Algorithm::V4,
        };
        let Some(value) = self.args.value(Key::SigVersion) else { return of_host };
        match value.text.to_ascii_lowercase().as_str() {
            "v4" => {
                if of_host == Algorithm::V4a {
                    let from = &value.from;
                    self.warnings.push(format!(
                        "{from} v4 is used; the URL belongs to several regions, which accept SigV4a only: omit {from}"
                    ));
                }
                Algorithm::V4
            }
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

    fn role(&mut self) -> Option<RoleToAssume> {
        let arn = self.parsed(Key::RoleArn, values::role_arn);
        let external_id = self.parsed(Key::ExternalId, values::external_id);
        if self.args.value(Key::RoleArn).is_none() && external_id.is_some() {
            let what = "--external-id requires --role-arn";
            let fix = "add --role-arn, or set external_id in the profile";
            self.report(Key::ExternalId, usage_error(what, fix));
        }
        Some(RoleToAssume { arn: arn?, external_id })
    }

    /// The variable is left to the credential chain where it may never be needed.
    fn role_session_name(&mut self) -> Option<String> {
        let is_needed = self
            .args
            .flag(Key::RoleSessionName)
            .or_else(|| self.args.value(Key::RoleArn))
            .is_some();
        if is_needed {
            return self.parsed(Key::RoleSessionName, values::session_name);
        }
        None
    }

    /// Without TLS nothing would protect the body. VPC Lattice verifies only signatures without a payload hash, so there
    /// `--allow-http` allows this, too.
    fn unsigned_payload(&mut self, endpoint: &Endpoint, service: &str) -> bool {
        let is_never_signed = PayloadSigning::for_service(service) == PayloadSigning::Unsigned;
        match self.switch(Key::UnsignedPayload) {
            Some(true) if !is_never_signed && !target::is_guarded(endpoint) => {
                let fix = "use an https URL, or omit it";
                self.report(
                    Key::UnsignedPayload,
                    usage_error("--unsigned-payload requires https", fix),
                );
                false
            }
            Some(false) if is_never_signed => {
                self.warnings.push(
                    "--no-unsigned-payload is used; VPC Lattice rejects requests with a signed body"
                        .to_owned(),
                );
                false
            }
            Some(unsigned) => unsigned,
            None => is_never_signed,
        }
    }

    /// The profiles of the variable, else those of the flag.
    fn profiles(&mut self) -> Vec<String> {
        let unique = |names: &mut dyn Iterator<Item = &str>| {
            let mut seen = std::collections::HashSet::new();
            names.filter(|name| seen.insert(*name)).map(str::to_owned).collect::<Vec<String>>()
        };
        let of_flag = unique(&mut self.args.flags(Key::Profile).map(|value| value.text.as_str()));
        // The other two variables are the credential chain's to read: there they rank below keys in the environment.
        let Some(names) = self.environment.get(PROFILES) else { return of_flag };
        let of_variable = unique(&mut names.split_ascii_whitespace());
        if !of_flag.is_empty() && of_flag != of_variable {
            let warning = format!(
                "{PROFILES} {} is used instead of --profile {}",
                of_variable.join(" "),
                of_flag.join(" ")
            );
            self.warnings.push(warning);
        }
        of_variable
    }

    pub(crate) fn switch(&mut self, key: Key) -> Option<bool> {
        self.parsed(key, values::switch)
    }

    fn limit(&mut self, key: Key) -> Option<Duration> {
        self.or_default(key, duration::parse)
    }

    /// The user's value; the table's default if there is none or it is invalid.
    fn or_default<T>(&mut self, key: Key, read: fn(&str) -> Result<T, Error>) -> T {
        self.parsed(key, read).unwrap_or_else(|| {
            read(key.row().default).expect("the defaults of the table are valid")
        })
    }

    fn parsed<T>(&mut self, key: Key, read: fn(&str) -> Result<T, Error>) -> Option<T> {
        let Value { text, from } = self.args.value(key)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(key, error.context(from).context("configuration error"));
                None
            }
        }
    }
}

/// The region to sign for at a host that serves all of them, if none is configured.
fn region_for_all(reach: Reach) -> Option<Value> {
    let Reach::AllRegions { default_region } = reach else { return None };
    Some(Value { text: default_region.to_owned(), from: "the URL's default region".to_owned() })
}
