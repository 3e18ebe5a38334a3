//! The entry point: parses the command line, assembles the parts, returns the exit code.

use sigv4_proxy::assembly::{self, Connection};
use sigv4_proxy::cli::{self, Checkup, Command, Options, ServerChecks};
use sigv4_proxy::credentials::{CredentialCache, ProfileFiles, Terminal};
use sigv4_proxy::doctor::{Doctor, Style};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::error::{Error, Kind, io_message};
use sigv4_proxy::http::CaBundle;
use sigv4_proxy::listener;
use sigv4_proxy::log::{Format, Level, Log, SESSION_FLUSH_TIMEOUT};
use sigv4_proxy::process;
use sigv4_proxy::redact::Redactor;
use sigv4_proxy::sign_in::login::Login;
use sigv4_proxy::sign_in::logout;
use sigv4_proxy::stdio::{self, ShutdownReason};
use sigv4_proxy::sync::channel;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: process::Heap = process::empty_heap();

/// Flush timeout for the errors of a failed start, which are its only output.
const EXIT_FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if let Some(error) = process::become_other_program(std::env::args_os()) {
        return fail(&[Error::new(Kind::Internal, io_message(&error))], &Redactor::default());
    }
    process::wait_for_children();
    let environment = Environment::of_process();
    let redactor = assembly::redactor(&environment);
    let arguments = std::env::args_os().skip(1);
    let files = ProfileFiles::new(&environment);
    let profile = |name: Option<&str>| assembly::profile_settings(&files, name);
    match cli::parse(arguments, &environment, profile) {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::Doctor(checkup)) => doctor(checkup, &environment, &files, &redactor),
        Ok(Command::Login(options, sign_in)) => {
            let mut login = Login::new(assembly::login_settings(&sign_in), redactor.clone());
            for_identities(&options, &environment, &files, &redactor, |credentials| match &sign_in
                .sso_session
            {
                Some(session) => login.session(credentials, session),
                None => login.profile(credentials),
            })
        }
        Ok(Command::Logout(options, sign_in)) => {
            for_identities(&options, &environment, &files, &redactor, |credentials| match &sign_in
                .sso_session
            {
                Some(session) => logout::session(credentials, session, &redactor),
                None => logout::profile(credentials, &redactor),
            })
        }
        Ok(Command::Run(options)) => run(&options, &environment, files, &redactor),
        Ok(Command::Usage(error)) => usage(&error, &redactor),
        Err(errors) => fail(&errors, &redactor),
    }
}

/// Relays between stdin, stdout and the server until one of them ends or a signal arrives.
fn run(
    options: &Options,
    environment: &Environment,
    files: ProfileFiles<'_>,
    redactor: &Redactor,
) -> ExitCode {
    let mut problems = assembly::unknown_profiles(options, &files);
    problems.extend(assembly::proxy_problems(options, environment));
    if !problems.is_empty() {
        return fail(&problems, redactor);
    }
    match relay(options, environment, files, redactor) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&[error], redactor),
    }
}

fn relay(
    options: &Options,
    environment: &Environment,
    files: ProfileFiles<'_>,
    redactor: &Redactor,
) -> Result<(), Error> {
    process::protect_memory();
    let log = assembly::log(options, redactor)?;
    for note in &options.notes {
        log.debug(note);
    }
    for warning in &options.warnings {
        log.warn(warning);
    }
    for note in &options.abbreviated {
        log.info(note);
    }
    for name in &options.ignored {
        log.info(format_args!("{name} has no equivalent here and is ignored"));
    }
    let ca_bundle = assembly::ca_bundle(options, environment, &files)?;
    let connections =
        assembly::connections(options, &ca_bundle, environment, &files, Terminal::Withheld, &log);
    // The files hold secrets, and the settings in use are copied.
    drop(files);
    report_panics(&log);
    log.info(format_args!(
        "signing for {} in {} with {}, relaying to {}{}",
        options.service,
        options.region,
        options.algorithm.name(),
        options.endpoint,
        options.endpoint.signed_authority().map(|host| format!(" as {host}")).unwrap_or_default()
    ));
    let ended = match assembly::listener_settings(options, environment) {
        Some(settings) => serve_http(settings, options, &connections, &log),
        None => serve_stdio(options, &connections, &log),
    };
    assembly::end_look_ups(&connections);
    log.flush(SESSION_FLUSH_TIMEOUT);
    ended
}

/// Serves one client by stdin and stdout.
fn serve_stdio(options: &Options, connections: &[Connection], log: &Log) -> Result<(), Error> {
    let (end, ends) = channel();
    let on_signal = end.clone();
    process::watch_signals(move || {
        let _ = on_signal.send(ShutdownReason::Signal);
    });
    log.info("Proxy is ready to accept MCP protocol messages");
    if io::stdin().is_terminal() {
        log.info(cli::IN_TERMINAL);
    }
    let (stdin, stdout) = (process::stdin(), process::stdout());
    let settings = assembly::stdio_settings(options);
    let exchangers = connections.iter().map(|connection| Arc::clone(&connection.exchanger));
    let conversation = assembly::conversation(options, exchangers, log);
    stdio::run(stdin, stdout, conversation, settings, log.clone(), (end, &ends)).map(drop)
}

/// Serves clients by HTTP.
fn serve_http(
    settings: listener::Settings,
    options: &Options,
    connections: &[Connection],
    log: &Log,
) -> Result<(), Error> {
    process::raise_open_files_limit();
    let (signal, signals) = channel();
    process::watch_signals(move || {
        let _ = signal.send(());
    });
    listener::run(settings, assembly::handler(options, connections, log), log, &signals)
}

/// Logs the location of a panic, not its message, which might quote a secret.
fn report_panics(log: &Log) {
    let log = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        log.error(format_args!("bug in sigv4-proxy at {location}; please report it"));
    }));
}

/// Calls `act` for each profile, one after the other. A signal ends it.
fn for_identities(
    options: &Options,
    environment: &Environment,
    files: &ProfileFiles<'_>,
    redactor: &Redactor,
    mut act: impl FnMut(&CredentialCache) -> Result<(), Error>,
) -> ExitCode {
    process::protect_memory();
    let ca_bundle = match assembly::ca_bundle(options, environment, files) {
        Ok(ca_bundle) => ca_bundle,
        Err(error) => return fail(&[error], redactor),
    };
    let identities = assembly::identities(options, &ca_bundle, environment, redactor);
    let on_signal = identities.clone();
    process::watch_signals(move || on_signal.iter().for_each(CredentialCache::cancel));
    let mut errors = Vec::new();
    for credentials in &identities {
        match act(credentials) {
            Err(error) if error.kind() == Kind::Cancelled => {
                return ExitCode::from(INTERRUPTED);
            }
            outcome => errors.extend(outcome.err()),
        }
    }
    if errors.is_empty() { ExitCode::SUCCESS } else { fail(&errors, redactor) }
}

/// Runs all checks and prints the report.
fn doctor(
    checkup: Checkup,
    environment: &Environment,
    files: &ProfileFiles<'_>,
    redactor: &Redactor,
) -> ExitCode {
    process::protect_memory();
    let Checkup { options, mut problems, mut server_checks, as_json } = checkup;
    let options = &*options;
    assembly::add_secrets(redactor, options);
    // The report holds all findings; the log adds details on request.
    let level = if options.log_level == Level::Debug { Level::Debug } else { Level::Silent };
    let Ok(log) = Log::new(level, options.log_format, None, redactor.clone()) else {
        return ExitCode::FAILURE;
    };
    // Only the newer terminals of Windows understand escape sequences without being switched, which is unsafe code.
    let has_escapes = !cfg!(windows) || environment.first(&["WT_SESSION", "TERM"]).is_some();
    let is_plain = environment.get("NO_COLOR").is_some() || environment.get("TERM") == Some("dumb");
    let columns = process::terminal_columns();
    let has_colours = columns.is_some() && has_escapes && !is_plain;
    let style = if as_json { Style::Json } else { Style::Text { columns, has_colours } };
    let ca_bundle = assembly::ca_bundle(options, environment, files).unwrap_or_else(|error| {
        problems.push(error);
        if server_checks == ServerChecks::All {
            server_checks = ServerChecks::Unsent;
        }
        CaBundle::default()
    });
    // Never lazy: the check needs the server's own response to `initialize`.
    let eager = Options { lazy: false, ..options.clone() };
    let connections =
        assembly::connections(&eager, &ca_bundle, environment, files, Terminal::Kept, &log);
    let doctor = Doctor {
        options,
        problems: &problems,
        server_checks,
        proxy_problems: &assembly::proxy_problems(options, environment),
        connections: &connections,
        redactor,
    };
    let passed = doctor.run(&mut io::LineWriter::new(process::stdout()), style);
    assembly::end_look_ups(&connections);
    log.flush(SESSION_FLUSH_TIMEOUT);
    if passed.is_ok_and(|passed| passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints how to use the program, and why it does not run.
fn usage(error: &Error, redactor: &Redactor) -> ExitCode {
    let mut text = cli::USAGE.to_owned();
    if io::stdin().is_terminal() {
        text += "With a URL it waits for an MCP client on stdin until Ctrl-C; doctor checks the setup.\n";
    }
    let _ = process::stderr().write_all(text.as_bytes());
    fail(std::slice::from_ref(error), redactor)
}

fn print(text: &str) -> ExitCode {
    match process::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints each error on a line. The exit code is 2 for usage errors and 1 for others.
fn fail(errors: &[Error], redactor: &Redactor) -> ExitCode {
    if let Ok(log) = Log::new(Level::Error, Format::Text, None, redactor.clone()) {
        for error in errors {
            log.error(error);
        }
        log.flush(EXIT_FLUSH_TIMEOUT);
    }
    let is_usage = errors.iter().any(|error| error.kind() == Kind::Usage);
    ExitCode::from(if is_usage { 2 } else { 1 })
}
