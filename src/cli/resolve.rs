//! The value of each option from flag, environment, URL and profile, in the order of precedence, validated.

use crate::aws::hostname::{self, Reach};
use crate::aws::service_facts::ServiceFacts;
use crate::cli::command_line::Subcommand;
use crate::cli::option_reader::OptionReader;
use crate::cli::options::{
    GetStream, LoginMode, Options, Origins, ProfileSettings, SignInOptions, WORKING_REGION,
};
use crate::cli::parsed_args::Value;
use crate::cli::problem::usage_error;
use crate::cli::row::Key;
use crate::cli::signing_region::{self, ProfileOptions};
use crate::cli::table;
use crate::cli::target::{self, Target};
use crate::cli::{headers, listen, signature, values};
use crate::error::Error;
use crate::json::member_names::is_variant_of;
use crate::log::Level;
use std::collections::HashSet;

/// The variable of mcp-proxy-for-aws that replaces `--profile`.
const PROFILES: &str = "AWS_MCP_PROXY_PROFILES";

/// Reads all options of the proxy. Invalid values are replaced by placeholders. `profile` looks up the settings of a profile.
pub(crate) fn options(
    reader: &mut OptionReader<'_>,
    profile: &mut dyn FnMut(Option<&str>) -> Result<ProfileSettings, Error>,
) -> Options {
    let allow_http = reader.is_on(Key::AllowHttp);
    let profiles = profiles(reader);
    let target = target::read(reader, allow_http);
    let inferred = hostname::of_host(target.endpoint.service_host());
    let algorithm = signature::algorithm(reader, inferred.reach);
    let metadata = metadata(reader);
    let mut profile = || profile(profiles.first().map(String::as_str));
    let ProfileOptions { region, region_from, working_region, ca_bundle } =
        signing_region::read(reader, &target, &inferred, algorithm, &metadata, &mut profile);
    let service_is_inferred = reader.args.value(Key::ServiceName).is_none();
    let (service, service_from) = signature::service(reader, &target, inferred.service.as_deref());
    let unsigned_payload = signature::unsigned_payload(reader, &target, &service);
    let headers = headers::read(reader);
    let listen = listen::read(reader);
    let max_in_flight = max_in_flight(reader, &service, &target);
    let skip_auth = reader.switch(Key::SkipAuth);
    let is_open = matches!(inferred.reach, Reach::AllRegions { .. });
    let role = signature::role(reader);
    let names_identity = !profiles.is_empty() || role.is_some();
    let log_file = reader.args.value(Key::LogFile);
    let Target { endpoint, from: endpoint_from, note, .. } = target;
    Options {
        endpoint,
        region,
        service,
        service_is_inferred,
        algorithm,
        unsigned_payload,
        skip_auth: skip_auth.unwrap_or(is_open),
        ignores_unusable_credentials: is_open && !names_identity && skip_auth != Some(false),
        profiles,
        profile_tools: words_or_default(reader, Key::ProfileTools),
        named_region: reader.args.flag(Key::Region).map(|value| value.text),
        role,
        role_session_name: signature::role_session_name(reader),
        login: login(reader),
        headers,
        metadata: sent(metadata),
        working_region,
        read_only: reader.is_on(Key::ReadOnly),
        allowed_tools: reader.words(Key::AllowTool),
        denied_tools: reader.words(Key::DenyTool),
        lazy: reader.is_on(Key::Lazy) && listen.is_none(),
        merge_lists: reader.is_on(Key::MergeLists),
        names_client: !reader.is_on(Key::DisableTelemetry),
        bridge: reader.or_default(Key::Bridge, values::bridge_mode),
        sse: get_stream(reader),
        runtime_session: reader.or_default(Key::RuntimeSession, values::runtime_session),
        listen,
        timeout: reader.limit(Key::Timeout),
        tool_timeout: reader.limit(Key::ToolTimeout),
        connect_timeout: reader.limit(Key::ConnectTimeout),
        read_timeout: reader.limit(Key::ReadTimeout),
        write_timeout: reader.limit(Key::WriteTimeout),
        drain_timeout: reader.limit(Key::DrainTimeout).unwrap_or_default(),
        max_message_bytes: reader.or_default(Key::MaxMessageBytes, values::size),
        max_in_flight,
        retries: reader.or_default(Key::Retries, values::retries),
        ca_bundle,
        ca_bundle_is_of_profiles: reader.args.value(Key::CaBundle).is_none(),
        allow_http,
        log_level: log_level(reader),
        log_file: log_file.as_ref().map(|value| reader.environment.path(&value.text)),
        log_format: reader.or_default(Key::LogFormat, values::log_format),
        notes: note.into_iter().collect(),
        warnings: Vec::new(),
        abbreviated: Vec::new(),
        ignored: Vec::new(),
        origins: Origins {
            endpoint: endpoint_from,
            region: region_from,
            service: service_from,
            log_file: log_file.map(|value| value.from).unwrap_or_default(),
        },
    }
}

/// Reads the options that only `login` and `logout` have.
pub(crate) fn sign_in_options(reader: &mut OptionReader<'_>) -> SignInOptions {
    SignInOptions {
        uses_device_code: reader.is_on(Key::UseDeviceCode),
        is_remote: reader.is_on(Key::Remote),
        opens_browser: !reader.is_on(Key::NoBrowser),
        only_if_needed: reader.is_on(Key::IfNeeded),
        sso_session: reader.text(Key::SsoSession),
    }
}

/// Reports flags that go only with other subcommands than this one.
pub(crate) fn report_flags_of_others(reader: &mut OptionReader<'_>, subcommand: Subcommand) {
    use Subcommand::{Doctor, Login, Logout};
    const OF_SOME: [(Key, &str, &[Subcommand]); 6] = [
        (Key::SsoSession, "login and logout", &[Login, Logout]),
        (Key::UseDeviceCode, "login", &[Login]),
        (Key::Remote, "login", &[Login]),
        (Key::NoBrowser, "login", &[Login]),
        (Key::IfNeeded, "login", &[Login]),
        (Key::Json, "doctor", &[Doctor]),
    ];
    for (key, which, subcommands) in OF_SOME {
        if !subcommands.contains(&subcommand)
            && let Some(Value { from, .. }) = reader.args.flag(key)
        {
            reader.report(key, usage_error(&format!("{from} is only for {which}"), "omit it"));
        }
    }
}

/// The profiles of the variable, else those of the flag.
fn profiles(reader: &mut OptionReader<'_>) -> Vec<String> {
    let of_flag = unique(reader.words(Key::Profile));
    // The other two variables are the credential chain's to read: there they rank below keys in the environment.
    let Some(names) = reader.environment.get(PROFILES) else { return of_flag };
    let of_variable = unique(names.split_ascii_whitespace().map(str::to_owned).collect());
    if !of_flag.is_empty() && of_flag != of_variable {
        let (used, unused) = (of_variable.join(" "), of_flag.join(" "));
        reader.warn(format!("{PROFILES} {used} is used instead of --profile {unused}"));
    }
    of_variable
}

fn unique(mut names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Without a flag or variable, the default of the service comes before the general one.
fn max_in_flight(reader: &mut OptionReader<'_>, service: &str, target: &Target) -> usize {
    let endpoint = &target.endpoint;
    let facts = ServiceFacts::of(service, endpoint.service_host(), endpoint.path());
    match (reader.args.value(Key::MaxInFlight), facts.max_in_flight) {
        (None, Some(of_service)) => of_service,
        _ => reader.or_default(Key::MaxInFlight, values::count),
    }
}

/// Where CI is set, no person is there to follow a link.
fn login(reader: &mut OptionReader<'_>) -> LoginMode {
    let ci = reader.environment.get("CI");
    let is_ci = ci.is_some_and(|ci| ci != "0" && !ci.eq_ignore_ascii_case("false"));
    match reader.or_default(Key::Login, values::login) {
        LoginMode::Auto if is_ci => LoginMode::Off,
        mode => mode,
    }
}

fn get_stream(reader: &mut OptionReader<'_>) -> GetStream {
    match reader.switch(Key::Sse) {
        None => GetStream::Auto,
        Some(false) => GetStream::Off,
        Some(true) => GetStream::On,
    }
}

fn log_level(reader: &mut OptionReader<'_>) -> Level {
    let is_verbose = reader.is_on(Key::Verbose);
    let level = reader.or_default(Key::LogLevel, values::log_level);
    if is_verbose && reader.args.flag(Key::LogLevel).is_none() { Level::Debug } else { level }
}

fn words_or_default(reader: &OptionReader<'_>, key: Key) -> Vec<String> {
    let words = reader.words(key);
    if words.is_empty() {
        return table::row(key).default.split(' ').map(str::to_owned).collect();
    }
    words
}

fn metadata(reader: &mut OptionReader<'_>) -> Vec<(String, String)> {
    let mut metadata: Vec<(String, String)> = Vec::new();
    let mut unread = Vec::new();
    for entry in reader.words(Key::Metadata).into_iter().filter(|entry| !entry.is_empty()) {
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.trim().is_empty())
        else {
            unread.push(entry);
            continue;
        };
        let name = name.trim();
        let others = metadata.iter().map(|(other, _)| other.as_str());
        if let Some(other) = others.chain([WORKING_REGION]).find(|other| is_variant_of(name, other))
        {
            let what = format!("--metadata {name} is the same as {other} for some JSON parsers");
            let fix = "keep one of them, with one spelling";
            reader.report(Key::Metadata, usage_error(&what, fix));
        }
        metadata.retain(|(earlier, _)| earlier != name);
        metadata.push((name.to_owned(), value.trim().to_owned()));
    }
    if let Some(first) = unread.first() {
        // Entries are not shown: they may be secret.
        let is_region = first.eq_ignore_ascii_case(WORKING_REGION);
        let fix = if is_region { "write AWS_REGION=VALUE" } else { "write NAME=VALUE" };
        let error = usage_error("an entry of --metadata is not NAME=VALUE", fix);
        reader.report(Key::Metadata, error);
    }
    metadata
}

/// The metadata to send; none if the region is empty.
fn sent(mut metadata: Vec<(String, String)>) -> Vec<(String, String)> {
    metadata.retain(|(name, value)| name != WORKING_REGION || !value.is_empty());
    metadata
}
