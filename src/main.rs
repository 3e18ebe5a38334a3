//! Start here: options and environment, the parts, the exit code.

use sigv4_proxy::cli::{self, Command, Options, ProfileSettings};
use sigv4_proxy::clock;
use sigv4_proxy::credentials::config::profile::Role;
use sigv4_proxy::credentials::{self, CredentialCache, Settings};
use sigv4_proxy::doctor::{Doctor, Style};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::error::{Error, Kind, io_message};
use sigv4_proxy::http::{CaBundle, HttpClient, Limits, proxy_passwords};
use sigv4_proxy::log::{Format, Level, Log};
use sigv4_proxy::mcp::tool_policy::Policy;
use sigv4_proxy::process;
use sigv4_proxy::redact::Redactor;
use sigv4_proxy::stdio::server::{self, End};
use sigv4_proxy::streamable_http::exchange::Exchanger;
use sigv4_proxy::streamable_http::profile_router::ProfileRouter;
use sigv4_proxy::upstream::signed_client::SignedClient;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the end of what looks for credentials is waited for.
const LAST_SEARCHES: Duration = Duration::from_millis(150);

fn main() -> ExitCode {
    process::wait_for_children();
    let environment = Environment::of_process();
    let redactor = Redactor::default();
    add_secrets_of_environment(&redactor, &environment);
    let arguments = std::env::args_os().skip(1);
    let profile = |flag: Option<&str>| profile_settings(&environment, flag);
    match cli::parse(arguments, &environment, profile) {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::Version) => print(concat!("sigv4-proxy ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Doctor { options, mut problems, as_json }) => {
            problems.extend(unknown_profiles(&options, &environment));
            doctor(&options, problems, as_json, environment, &redactor)
        }
        Ok(Command::Run(options)) => {
            let problems = unknown_profiles(&options, &environment);
            if !problems.is_empty() {
                return fail(&problems, &redactor);
            }
            match run(&options, &environment, &redactor) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&[error], &redactor),
            }
        }
        Err(errors) => fail(&errors, &redactor),
    }
}

/// What the environment holds of secrets is known before anything can quote it.
fn add_secrets_of_environment(redactor: &Redactor, environment: &Environment) {
    let names = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ];
    let secrets = names.into_iter().filter_map(|name| environment.get(name));
    secrets.chain(proxy_passwords(environment)).for_each(|secret| redactor.add(secret));
}

/// Values of headers are secrets, but for those that every message of ours may name.
fn add_headers(redactor: &Redactor, options: &Options) {
    let named = [options.service.as_str(), &options.region, options.endpoint.host()];
    for value in options.headers.iter().map(|header| header.value.expose()) {
        let is_named = named.contains(&value) || options.profiles.iter().any(|name| name == value);
        if !is_named {
            redactor.add_header(value);
        }
    }
}

fn run(options: &Options, environment: &Environment, redactor: &Redactor) -> Result<(), Error> {
    keep_memory_to_ourselves();
    add_headers(redactor, options);
    let (level, file) = (options.log_level, options.log_file.as_deref());
    let log = Log::new(level, options.log_format, file, redactor.clone())
        .map_err(|error| no_log_file(options, &error))?;
    for note in &options.notes {
        log.debug(note);
    }
    for name in &options.ignored {
        log.info(format_args!("{name} means nothing here and is left out"));
    }
    let ca_bundle = read_ca_bundle(options)?;
    // All profiles share the connections, which are bounded together.
    let http = Arc::new(http(options, &ca_bundle, environment));
    let begin = |options: &Options| {
        parts(options, Arc::clone(&http), ca_bundle.clone(), environment.clone(), log.clone())
    };
    let (conversation, credentials) = begin(options);
    let conversation = Arc::new(conversation);
    let others = options.profiles.iter().skip(1).map(|name| {
        let settings = profile_settings(environment, Some(name)).unwrap_or_default();
        let (conversation, credentials) = begin(&options.for_profile(name, &settings));
        (name.clone(), Arc::new(conversation), credentials)
    });
    let others: Vec<_> = others.collect();

    let panic_log = log.clone();
    // The place is told and not the payload, which might quote what is secret.
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        panic_log.error(format_args!("bug in sigv4-proxy at {place}; please report it"));
    }));

    let (end, ends) = channel();
    let on_signal = end.clone();
    process::watch_signals(move || {
        let _ = on_signal.send(End::Signal);
    });
    log.info(format_args!(
        "signing for {} in {} with {}, relaying to {}",
        options.service,
        options.region,
        options.algorithm.name(),
        options.endpoint
    ));
    log.info("Proxy is ready to accept MCP protocol messages");
    let conversations = others.iter().map(|(name, other, _)| (name.clone(), Arc::clone(other)));
    let profiles = ProfileRouter::new(Policy::new(options), conversation, conversations.collect());
    let ran = server::run(stdin(), stdout(), profiles, options, log.clone(), (end, &ends));
    let credentials: Vec<_> =
        others.iter().map(|(.., credentials)| credentials).chain([&credentials]).collect();
    end_searches(&credentials);
    log.flush();
    ran.map(drop)
}

/// Ends the processes that look for credentials, those of all profiles side by side.
fn end_searches(credentials: &[&CredentialCache]) {
    for credentials in credentials {
        credentials.cancel();
    }
    let deadline = Instant::now() + LAST_SEARCHES;
    for credentials in credentials {
        credentials.wait_until_idle(deadline);
    }
}

fn no_log_file(options: &Options, error: &io::Error) -> Error {
    let path = options.log_file.clone().unwrap_or_default();
    let (named_by, path, why) = (&options.origins.log_file, path.display(), io_message(error));
    Error::new(Kind::Usage, format!("configuration error: {named_by} {path}: {why}")).hint(
        match error.kind() {
            io::ErrorKind::NotFound => "name a file in a folder that exists",
            _ => "name a regular file that can be written",
        },
    )
}

/// Names among several profiles that nobody knows. Of one alone the credential chain tells, with each request: it may
/// be made while we run.
fn unknown_profiles(options: &Options, environment: &Environment) -> Vec<Error> {
    let names = Some(&options.profiles).filter(|names| names.len() > 1);
    let unknown = names.map(|names| credentials::unknown_profiles(environment, names));
    let problem = |unknown: Error| {
        let error = Error::new(Kind::Usage, unknown.message()).context("configuration error");
        error.hint(unknown.hint_text().unwrap_or("leave it out, or write it as in these files"))
    };
    unknown.into_iter().flatten().map(problem).collect()
}

/// What an AWS profile says beside credentials.
fn profile_settings(
    environment: &Environment,
    profile: Option<&str>,
) -> Result<ProfileSettings, Error> {
    let setting = |name| credentials::profile_setting(environment, profile, name);
    Ok(ProfileSettings {
        region: setting("region")?,
        ca_bundle: setting("ca_bundle")?,
        region_set: setting("sigv4a_signing_region_set")?,
    })
}

fn http(options: &Options, ca_bundle: &CaBundle, environment: &Environment) -> HttpClient {
    let limits = Limits {
        connect: options.connect_timeout,
        read: options.read_timeout,
        write: options.write_timeout,
    };
    HttpClient::new(&options.endpoint, limits, ca_bundle, environment)
}

/// What a session is made of.
fn parts(
    options: &Options,
    http: Arc<HttpClient>,
    ca_bundle: CaBundle,
    environment: Environment,
    log: Log,
) -> (Exchanger, CredentialCache) {
    let settings = settings(options, ca_bundle, log.redactor().clone());
    let credentials = CredentialCache::new(environment, settings, clock::now());
    let upstream = SignedClient::new(options, http, credentials.clone(), log.clone());
    (Exchanger::new(options, upstream, log), credentials)
}

fn read_ca_bundle(options: &Options) -> Result<CaBundle, Error> {
    let Some((path, named_by)) = &options.ca_bundle else { return Ok(CaBundle::default()) };
    CaBundle::read(path, named_by).map_err(|error| error.context("configuration error"))
}

fn doctor(
    options: &Options,
    mut problems: Vec<Error>,
    as_json: bool,
    environment: Environment,
    redactor: &Redactor,
) -> ExitCode {
    keep_memory_to_ourselves();
    add_headers(redactor, options);
    // What is found stands in the report; the log is for those who ask for it.
    let level = if options.log_level == Level::Debug { Level::Debug } else { Level::Silent };
    let Ok(log) = Log::new(level, options.log_format, None, redactor.clone()) else {
        return ExitCode::FAILURE;
    };
    let is_terminal = io::stdout().is_terminal() && environment.get("NO_COLOR").is_none();
    let style = match (as_json, is_terminal) {
        (true, _) => Style::Json,
        (false, true) => Style::Terminal,
        (false, false) => Style::Plain,
    };
    let ca_bundle = read_ca_bundle(options).unwrap_or_else(|error| {
        problems.push(error);
        CaBundle::default()
    });
    // What is looked at is the server's own answer to `initialize`.
    let eager = Options { lazy: false, ..options.clone() };
    let http = Arc::new(http(&eager, &ca_bundle, &environment));
    let (conversation, credentials) = parts(&eager, http, ca_bundle, environment, log.clone());
    let doctor = Doctor {
        options,
        problems: &problems,
        credentials: &credentials,
        redactor,
        conversation: &Arc::new(conversation),
        under_way: Mutex::default(),
    };
    let is_well = doctor.run(&mut io::stdout().lock(), style);
    end_searches(&[&credentials]);
    log.flush();
    if is_well.is_ok_and(|well| well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn settings(options: &Options, ca_bundle: CaBundle, redactor: Redactor) -> Settings {
    let role = options.role.clone().map(|role| Role {
        arn: role.arn,
        profile: None,
        external_id: role.external_id,
        session_name: role.session_name,
        duration_seconds: None,
    });
    Settings {
        profile: options.profile().map(str::to_owned),
        region: options.named_region.clone(),
        target_region: Some(options.region.clone()),
        role,
        ca_bundle,
        redactor,
        allow_http: options.allow_http,
    }
}

/// No core dump, and no debugger of the same user: memory holds keys.
fn keep_memory_to_ourselves() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // An old kernel or a sandbox may refuse; then it is as it is for every other program.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// The descriptor itself: the standard library's buffers would copy every message once more.
#[cfg(unix)]
fn stdin() -> impl io::Read + Send {
    use std::os::fd::AsFd;
    let descriptor = io::stdin().as_fd().try_clone_to_owned();
    descriptor.map_or_else(
        |_| Box::new(io::stdin()) as Box<dyn io::Read + Send>,
        |fd| Box::new(std::fs::File::from(fd)),
    )
}

#[cfg(unix)]
fn stdout() -> impl Write + Send {
    use std::os::fd::AsFd;
    let descriptor = io::stdout().as_fd().try_clone_to_owned();
    descriptor.map_or_else(
        |_| Box::new(io::stdout()) as Box<dyn Write + Send>,
        |fd| Box::new(std::fs::File::from(fd)),
    )
}

#[cfg(not(unix))]
fn stdin() -> impl io::Read + Send {
    io::stdin()
}

#[cfg(not(unix))]
fn stdout() -> impl Write + Send {
    io::stdout()
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Each problem on a line of its own: all of them at once, so that they can be mended at once.
fn fail(errors: &[Error], redactor: &Redactor) -> ExitCode {
    if let Ok(log) = Log::new(Level::Error, Format::Text, None, redactor.clone()) {
        for error in errors {
            log.error(error);
        }
        log.flush();
    }
    let is_usage = errors.iter().any(|error| error.kind() == Kind::Usage);
    ExitCode::from(if is_usage { 2 } else { 1 })
}
