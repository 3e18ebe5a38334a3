//! Assembles the parts of the program from `Options`. The only file that depends on both.

use crate::aws::hostname;
use crate::aws::region::region_hint;
use crate::aws::runtime_session::{RUNTIME_SESSION_HEADER, RuntimeSession};
use crate::bridge::{self, Bridge};
use crate::cli::{
    BridgeMode, GetStream, Header, ListenAddress, ListenToken, LoginMode, Options, ProfileSettings,
    SignInOptions, WORKING_REGION,
};
use crate::client::ClientRequests;
use crate::clock;
use crate::conversation::{self, Conversation};
use crate::credentials::Role;
use crate::credentials::{CredentialCache, ProfileFiles, Settings, Terminal};
use crate::environment::Environment;
use crate::environment::file;
use crate::error::{Error, Kind, io_message};
use crate::http::{CaBundle, HttpClient, Limits, ProxySettings, proxy_passwords};
use crate::listener;
use crate::log::Log;
use crate::mcp::tool_policy::{self, ToolPolicy};
use crate::prompt::{self, SignInGate};
use crate::redact::Redactor;
use crate::sign_in::login;
use crate::stdio;
use crate::streamable_http::{self, Exchanger, ProfileRouter};
use crate::suggest::flaw_of_option;
use crate::upstream::{self, ServiceCorrection, SignedClient, Unsigned};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time that running credential look-ups get to end when the process ends.
const LOOK_UP_END_TIMEOUT: Duration = Duration::from_millis(150);

/// Variables that hold secrets.
const SECRET_VARIABLES: [&str; 4] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// The connection of one profile to the server.
#[derive(Debug)]
pub struct Connection {
    pub exchanger: Arc<Exchanger>,
    pub credentials: CredentialCache,
}

/// A redactor with the secrets of the environment, created before any text can quote them.
pub fn redactor(environment: &Environment) -> Redactor {
    let redactor = Redactor::default();
    let secrets = SECRET_VARIABLES.into_iter().filter_map(|name| environment.get(name));
    secrets.chain(proxy_passwords(environment)).for_each(|secret| redactor.add(secret));
    redactor
}

/// Opens the log that the options name, and registers their secrets.
///
/// # Errors
/// `Kind::Usage`: the log file cannot be written.
pub fn log(options: &Options, redactor: &Redactor) -> Result<Log, Error> {
    add_secrets(redactor, options);
    let file = options.log_file.as_deref();
    Log::new(options.log_level, options.log_format, file, redactor.clone())
        .map_err(|error| unusable_log_file(options, &error))
}

/// Registers the id of `--runtime-session`, the secrets in the URL's query and the values of `--header` as secrets, except those
/// that messages name anyway, such as the region or a media type.
pub fn add_secrets(redactor: &Redactor, options: &Options) {
    let endpoint = &options.endpoint;
    let hosts = [endpoint.host(), endpoint.service_host()];
    let named = [options.service.as_str(), &options.region, hosts[0], hosts[1]];
    let is_named =
        |value: &str| named.contains(&value) || options.profiles.iter().any(|name| name == value);
    if let RuntimeSession::Fixed(id) = &options.runtime_session {
        redactor.add(id.expose());
    }
    let in_query = endpoint.secrets_in_query().filter(|value| !is_named(value.expose()));
    in_query.for_each(|value| redactor.add(value.expose()));
    let is_media_type = |header: &&Header| {
        ["accept", "content-type"].iter().any(|name| header.name.eq_ignore_ascii_case(name))
    };
    let headers = options.headers.iter().filter(|header| !is_media_type(header));
    let values = headers.map(|header| header.value.expose()).filter(|value| !is_named(value));
    values.for_each(|value| redactor.add_header(value));
}

/// Whether the user sends a User-Agent of their own.
fn has_user_agent(options: &Options) -> bool {
    options.headers.iter().any(|header| header.name.eq_ignore_ascii_case("user-agent"))
}

fn unusable_log_file(options: &Options, error: &io::Error) -> Error {
    let path = file::absolute(&options.log_file.clone().unwrap_or_default());
    let (named_by, path, why) = (&options.origins.log_file, path.display(), io_message(error));
    let what = format!("configuration error: {named_by} {path}: {why}");
    let error = Error::new(Kind::Usage, what).hint(match error.kind() {
        io::ErrorKind::NotFound => "use a file in an existing directory",
        _ => "use a writable regular file",
    });
    with_flaw_of_path(error, named_by, options.log_file.as_deref())
}

/// The error about a file. A flaw of its name is the likely cause, and no warning about it was shown yet.
fn with_flaw_of_path(error: Error, named_by: &str, path: Option<&Path>) -> Error {
    match path.and_then(|path| flaw_of_option(&path.to_string_lossy())) {
        Some(flaw) => error.hint(format!("{named_by} {flaw}")),
        None => error,
    }
}

/// Configuration errors for missing profiles, if several are named. A single missing profile is an error of each request
/// instead: it may be created while the process runs.
pub fn unknown_profiles(options: &Options, files: &ProfileFiles<'_>) -> Vec<Error> {
    let names = Some(&options.profiles).filter(|names| names.len() > 1);
    let unknown = names.map(|names| files.unknown(names));
    let problem = |unknown: Error| {
        let error = Error::new(Kind::Usage, unknown.message()).context("configuration error");
        error.hint(unknown.hint_text().unwrap_or("remove it, or spell it as in these files"))
    };
    unknown.into_iter().flatten().map(problem).collect()
}

/// Configuration errors for proxy variables with unusable values.
pub fn proxy_problems(options: &Options, environment: &Environment) -> Vec<Error> {
    ProxySettings::new(environment).problems(&options.endpoint)
}

/// Settings of an AWS profile other than credentials. Without a name: the default profile.
///
/// # Errors
/// The shared configuration cannot be read.
pub fn profile_settings(
    files: &ProfileFiles<'_>,
    profile: Option<&str>,
) -> Result<ProfileSettings, Error> {
    let names = ["region", "ca_bundle", "sigv4a_signing_region_set"];
    let [region, ca_bundle, region_set] = files.settings(profile, names)?;
    Ok(ProfileSettings { region, ca_bundle, region_set })
}

/// Reads the certificates that the options and the profiles add. All profiles trust the same: they share connections.
///
/// # Errors
/// A file cannot be read or contains no certificate.
pub fn ca_bundle(
    options: &Options,
    environment: &Environment,
    files: &ProfileFiles<'_>,
) -> Result<CaBundle, Error> {
    let of_profile = |name: &String| {
        let path = profile_settings(files, Some(name)).ok()?.ca_bundle?;
        Some((environment.path(&path), format!("ca_bundle of profile {name:?}")))
    };
    let others = options.profiles.iter().skip(1).filter(|_| options.ca_bundle_is_of_profiles);
    let named = options.ca_bundle.iter().cloned().chain(others.filter_map(of_profile));
    named.map(|(path, named_by)| read_ca_bundle(&path, &named_by)).collect()
}

fn read_ca_bundle(path: &Path, named_by: &str) -> Result<CaBundle, Error> {
    CaBundle::read(path, named_by).map_err(|error| {
        let error = error.context("configuration error");
        with_flaw_of_path(error, named_by, Some(path))
    })
}

/// One connection for each profile, in their order. All share one HTTP client, so that their idle connections have a common
/// limit.
pub fn connections(
    options: &Options,
    ca_bundle: &CaBundle,
    environment: &Environment,
    files: &ProfileFiles<'_>,
    terminal: Terminal,
    log: &Log,
) -> Vec<Connection> {
    let limits = Limits {
        connect: options.connect_timeout,
        read: options.read_timeout,
        write: options.write_timeout,
    };
    let http =
        HttpClient::new(&options.endpoint, limits, ca_bundle, &ProxySettings::new(environment));
    let http = Arc::new(http.keeping_connections(log.clone()));
    let service_correction = ServiceCorrection::default();
    let connect = |options: &Options| {
        let settings = credential_settings(options, ca_bundle, terminal, log.redactor());
        let credentials = CredentialCache::new(environment.clone(), settings, clock::now());
        let client = SignedClient::new(
            upstream_settings(options, &service_correction),
            Arc::clone(&http),
            credentials.clone(),
            log.clone(),
        );
        let exchanger = Arc::new(Exchanger::new(exchange_settings(options), client, log.clone()));
        Connection { exchanger, credentials }
    };
    let others = options.profiles.iter().skip(1).map(|name| {
        let settings = profile_settings(files, Some(name)).unwrap_or_default();
        if let Some(hint) = settings.region.as_deref().and_then(region_hint) {
            log.warn(format_args!("profile {name:?}: region: {hint}"));
        }
        connect(&options.for_profile(name, &settings))
    });
    std::iter::once(connect(options)).chain(others).collect()
}

/// The credentials of each profile, or of the one that the environment selects, for signing in and out. The target need not
/// be named.
pub fn identities(
    options: &Options,
    ca_bundle: &CaBundle,
    environment: &Environment,
    redactor: &Redactor,
) -> Vec<CredentialCache> {
    let names = options.profiles.iter().map(|name| vec![name.clone()]);
    let names: Vec<Vec<String>> = names.collect();
    let selected = if names.is_empty() { vec![Vec::new()] } else { names };
    let identity = |profiles: Vec<String>| {
        let options = Options { profiles, ..options.clone() };
        let settings = credential_settings(&options, ca_bundle, Terminal::Kept, redactor);
        CredentialCache::new(environment.clone(), settings, clock::now())
    };
    selected.into_iter().map(identity).collect()
}

/// How `login` signs in.
pub fn login_settings(options: &SignInOptions) -> login::Settings {
    login::Settings {
        uses_device_code: options.uses_device_code,
        is_remote: options.is_remote,
        opens_browser: options.opens_browser,
        only_if_needed: options.only_if_needed,
    }
}

/// The conversation of a client with the servers of `exchangers`: at least one, in the order of the profiles.
pub fn conversation(
    options: &Options,
    mut exchangers: impl Iterator<Item = Arc<Exchanger>>,
    log: &Log,
) -> Arc<Conversation> {
    let first = exchangers.next().expect("there is one connection at least");
    let others = options.profiles.iter().skip(1).cloned().zip(exchangers).collect();
    let client = ClientRequests::default();
    let parts = conversation::Parts {
        profiles: ProfileRouter::new(tool_policy(options), first, others),
        bridge: Arc::new(bridge(options, &client, log)),
        sign_ins: sign_ins(options, &client, log),
        client,
    };
    Arc::new(Conversation::new(parts, log.clone()))
}

/// The handler of the listener's requests: each of its clients has a conversation of its own, over the same connections.
pub fn handler(options: &Options, connections: &[Connection], log: &Log) -> listener::Handler {
    let exchangers = connections.iter().map(|connection| Arc::clone(&connection.exchanger));
    let (exchangers, own, own_log): (Vec<_>, _, _) =
        (exchangers.collect(), options.clone(), log.clone());
    let make = move || {
        let exchangers = exchangers.iter().map(|first| Arc::new(first.for_another_client()));
        conversation(&own, exchangers, &own_log)
    };
    let opens_get_stream = options.sse != GetStream::Off;
    listener::Handler::new(make, options.max_in_flight, opens_get_stream, log.clone())
}

/// The bridge between the client and the servers of all connections.
fn bridge(options: &Options, client: &ClientRequests, log: &Log) -> Bridge {
    let settings = bridge::Settings {
        is_on: options.bridge != BridgeMode::Off,
        is_lazy: options.lazy,
        answers_discover: options.bridge == BridgeMode::Always,
        opens_get_stream: options.sse != GetStream::Off,
    };
    Bridge::new(settings, client.clone(), log.clone())
}

/// The sign-ins that calls begin.
fn sign_ins(options: &Options, client: &ClientRequests, log: &Log) -> Arc<SignInGate> {
    let mode = match options.login {
        LoginMode::Auto => prompt::Mode::Link,
        LoginMode::Browser => prompt::Mode::Browser,
        LoginMode::Off => prompt::Mode::Off,
    };
    Arc::new(SignInGate::new(mode, client.clone(), log.clone()))
}

fn upstream_settings(
    options: &Options,
    service_correction: &ServiceCorrection,
) -> upstream::Settings {
    let headers = options.headers.iter();
    upstream::Settings {
        endpoint: options.endpoint.clone(),
        algorithm: options.algorithm,
        service: options.service.clone(),
        service_is_inferred: options.service_is_inferred,
        service_correction: service_correction.clone(),
        region: options.region.clone(),
        unsigned_payload: options.unsigned_payload,
        unsigned: match (options.skip_auth, options.ignores_unusable_credentials) {
            (_, true) => Unsigned::WithoutUsableCredentials,
            (true, false) => Unsigned::WithoutCredentials,
            (false, false) => Unsigned::Never,
        },
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    }
}

fn exchange_settings(options: &Options) -> streamable_http::Settings {
    streamable_http::Settings {
        policy: tool_policy(options),
        is_lazy: options.lazy,
        merges_lists: options.merge_lists,
        names_client: options.names_client && !has_user_agent(options),
        runtime_session: runtime_session(options),
        timeout: options.timeout,
        tool_timeout: options.tool_timeout,
        retries: options.retries,
        max_message_bytes: options.max_message_bytes,
    }
}

/// The runtime session that the options choose; none if a header of the user names one.
fn runtime_session(options: &Options) -> RuntimeSession {
    let is_its_header = |name: &str| name.eq_ignore_ascii_case(RUNTIME_SESSION_HEADER);
    let is_named = options.headers.iter().any(|header| is_its_header(&header.name));
    match &options.runtime_session {
        RuntimeSession::Auto if is_named => RuntimeSession::Off,
        chosen => chosen.clone(),
    }
}

fn tool_policy(options: &Options) -> ToolPolicy {
    let region = options.working_region.as_ref().and_then(|region| region.name());
    let region = region.map(|region| (WORKING_REGION.to_owned(), region.to_owned()));
    ToolPolicy::new(tool_policy::Settings {
        read_only: options.read_only,
        allowed_tools: options.allowed_tools.clone(),
        denied_tools: options.denied_tools.clone(),
        metadata: options.metadata.iter().cloned().chain(region).collect(),
        profiles: options.profiles.clone(),
        profile_tools: options.profile_tools.clone(),
    })
}

/// Settings of the client's side.
pub fn stdio_settings(options: &Options) -> stdio::Settings {
    stdio::Settings {
        max_message_bytes: options.max_message_bytes,
        max_in_flight: options.max_in_flight,
        drain_timeout: options.drain_timeout,
        opens_get_stream: options.sse != GetStream::Off,
        is_lazy: options.lazy,
    }
}

/// Settings of the HTTP side; none if clients come in by stdio.
pub fn listener_settings(
    options: &Options,
    environment: &Environment,
) -> Option<listener::Settings> {
    let listen = options.listen.clone()?;
    Some(listener::Settings {
        address: listen_address(&listen.address),
        path: listen.path,
        anyone: listen.anyone,
        origins: listen.origins,
        hosts: listen.hosts,
        token: match listen.token {
            ListenToken::Made => {
                listener::TokenSource::Made { folder: private_folder(environment) }
            }
            ListenToken::File(path) => listener::TokenSource::File(path),
            ListenToken::NotRequired => listener::TokenSource::NotRequired,
        },
        max_message_bytes: options.max_message_bytes,
        max_in_flight: options.max_in_flight,
        drain_timeout: options.drain_timeout,
    })
}

/// Where the listener listens.
pub(crate) fn listen_address(address: &ListenAddress) -> listener::Address {
    match address {
        ListenAddress::Tcp(address) => listener::Address::Tcp(*address),
        ListenAddress::Unix(path) => listener::Address::Unix(path.clone()),
    }
}

/// The user's own folder for the time of a login, or else the one for temporary files. `su` and `sudo` may leave the variable with
/// the folder of someone else.
fn private_folder(environment: &Environment) -> PathBuf {
    let of_login = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let is_own = |folder: &PathBuf| {
        let is_shared = file::is_writable_by_everyone(folder) || file::belongs_to_another(folder);
        folder.is_absolute() && folder.is_dir() && !is_shared
    };
    let of_login = of_login.filter(is_own);
    of_login.unwrap_or_else(std::env::temp_dir)
}

fn credential_settings(
    options: &Options,
    ca_bundle: &CaBundle,
    terminal: Terminal,
    redactor: &Redactor,
) -> Settings {
    let role = options.role.clone().map(|role| Role {
        arn: role.arn,
        external_id: role.external_id,
        ..Role::default()
    });
    // The region set `*` names no region for STS.
    let of_host = hostname::of_host(options.endpoint.service_host()).reach.default_region();
    let target_regions: Vec<&str> = std::iter::once(&*options.region).chain(of_host).collect();
    Settings {
        profile: options.profile().map(str::to_owned),
        region: options.named_region.clone(),
        target_region: Some(target_regions.join(",")).filter(|regions| !regions.is_empty()),
        role,
        session_name: options.role_session_name.clone(),
        ca_bundle: ca_bundle.clone(),
        redactor: redactor.clone(),
        allow_http: options.allow_http,
        terminal,
    }
}

/// Ends running credential look-ups of all profiles and the processes that they started, within `LOOK_UP_END_TIMEOUT`.
pub fn end_look_ups(connections: &[Connection]) {
    for connection in connections {
        connection.credentials.cancel();
    }
    let deadline = Instant::now() + LOOK_UP_END_TIMEOUT;
    for connection in connections {
        connection.credentials.wait_until_idle(deadline);
    }
}
