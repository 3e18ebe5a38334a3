//! `Command`: the subcommand to run, with its options.

use crate::cli::command_line::{self, Flags, Line, Subcommand};
use crate::cli::flag_names::VARIABLES_OF_OTHERS;
use crate::cli::option_reader::OptionReader;
use crate::cli::options::{Options, ProfileSettings, SignInOptions};
use crate::cli::parsed_args::ParsedArgs;
use crate::cli::row::{Key, Row};
use crate::cli::table::{self, TABLE};
use crate::cli::{completions, help, resolve, target, version};
use crate::environment::Environment;
use crate::error::Error;
use std::ffi::OsString;

/// The subcommand to run.
#[derive(Debug)]
pub enum Command {
    /// Check everything and report.
    Doctor(Checkup),
    /// Sign in for what the options configure.
    Login(Box<Options>, SignInOptions),
    /// Sign out.
    Logout(Box<Options>, SignInOptions),
    /// Print this text.
    Print(String),
    Run(Box<Options>),
    /// Print how to use the program, and this error.
    Usage(Error),
}

/// What `doctor` checks.
#[derive(Debug)]
pub struct Checkup {
    /// Invalid values are replaced by placeholders, so that the checks can continue.
    pub options: Box<Options>,
    pub problems: Vec<Error>,
    pub server_checks: ServerChecks,
    pub as_json: bool,
}

/// Which checks of the server `doctor` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerChecks {
    All,
    /// Those that send nothing to it: options that decide what is sent are invalid.
    Unsent,
    /// None: the listener alone is checked.
    None,
}

/// Reads the arguments (without the program's name) and the environment.
///
/// `profile` looks up the settings of the named or default profile. It is called at most once, and only for values that
/// nothing else provides. The credential chain reports its errors; here they matter only where the region is missing.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    profile: impl FnOnce(Option<&str>) -> Result<ProfileSettings, Error>,
) -> Result<Command, Vec<Error>> {
    let mut profile = Some(profile);
    command(arguments.into_iter().collect(), environment, &mut |name| {
        profile.take().map_or_else(|| Ok(ProfileSettings::default()), |profile| profile(name))
    })
}

fn command(
    arguments: Vec<OsString>,
    environment: &Environment,
    profile: &mut dyn FnMut(Option<&str>) -> Result<ProfileSettings, Error>,
) -> Result<Command, Vec<Error>> {
    let has_arguments = !arguments.is_empty();
    let (subcommand, flags) = match command_line::read(arguments)? {
        Line::BriefHelp => return Ok(Command::Print(help::brief())),
        Line::Help => return Ok(Command::Print(help::help())),
        Line::Completions(shell) => return Ok(Command::Print(shell.completions())),
        Line::Version => return Ok(Command::Print(version::text())),
        Line::Run(subcommand, flags) => (subcommand, flags),
    };
    let Flags { values, mut ignored, abbreviated, mut in_doubt, may_hold_missing, problems } =
        flags;
    // `Environment::problems` reports these.
    let is_unreadable =
        |row: &&Row| row.environment.iter().any(|name| !environment.is_readable(name));
    in_doubt.extend(TABLE.iter().filter(is_unreadable).map(|row| row.key));
    let is_set = |name: &&str| environment.get(name).is_some();
    ignored.extend(VARIABLES_OF_OTHERS.into_iter().filter(is_set).map(str::to_owned));
    let args = ParsedArgs::new(values, environment);
    if !has_arguments && args.value(Key::TargetUrl).is_none() {
        return Ok(Command::Usage(target::missing()));
    }
    // `doctor --listen` without a server checks the listener alone.
    let is_of_listener = subcommand == Subcommand::Doctor
        && args.value(Key::Listen).is_some()
        && args.value(Key::TargetUrl).is_none();
    if is_of_listener || matches!(subcommand, Subcommand::Login | Subcommand::Logout) {
        let of_server = [Key::TargetUrl, Key::Region, Key::ServiceName];
        in_doubt.extend(of_server.into_iter().filter(|key| args.value(*key).is_none()));
    }
    let mut reader = OptionReader::new(args, environment, in_doubt, may_hold_missing);
    let as_json = reader.is_on(Key::Json);
    let sign_in = resolve::sign_in_options(&mut reader);
    resolve::report_flags_of_others(&mut reader, subcommand);
    let options = resolve::options(&mut reader, &mut |name| {
        profile(name).map_err(|error| match subcommand {
            // Its check of the credentials says how to fix the profile.
            Subcommand::Doctor => error.hint("set AWS_REGION or --region, or fix the profile"),
            _ => error,
        })
    });
    let (problems_of_values, warnings) = reader.finish();
    let is_blocked = !environment.problems().is_empty()
        || problems_of_values.iter().any(|(key, _)| table::row(*key).group.decides_what_is_sent());
    let server_checks = match (is_of_listener, is_blocked) {
        (true, _) => ServerChecks::None,
        (false, true) => ServerChecks::Unsent,
        (false, false) => ServerChecks::All,
    };
    let options = Box::new(Options { warnings, abbreviated, ignored, ..options });
    let is_of_line = !problems.is_empty();
    let problems: Vec<Error> = problems
        .into_iter()
        .chain(environment.problems())
        .chain(problems_of_values.into_iter().map(|(_, error)| error))
        .collect();
    Ok(match subcommand {
        // All at once, so that they can be fixed at once.
        _ if is_of_line => return Err(problems),
        Subcommand::Doctor => {
            Command::Doctor(Checkup { options, problems, server_checks, as_json })
        }
        _ if !problems.is_empty() => return Err(problems),
        Subcommand::Login => Command::Login(options, sign_in),
        Subcommand::Logout => Command::Logout(options, sign_in),
        Subcommand::Proxy => Command::Run(options),
    })
}

/// docs/sigv4-proxy.1.
pub fn man_page() -> String {
    completions::man_page()
}

/// The generated part of docs/configuration.md.
pub fn markdown() -> String {
    help::markdown()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{BridgeMode, GetStream, LoginMode, RoleToAssume};
    use crate::error::Kind;
    use crate::log;
    use crate::signing::Algorithm;
    use std::path::PathBuf;
    use std::time::Duration;

    const API: &str = "https://abc.execute-api.us-east-1.amazonaws.com/prod/mcp";

    /// Splits `line` at spaces and parses it with the variables `pairs`; there is no profile.
    fn parse_line(line: &str, pairs: &[(&str, &str)]) -> Result<Command, Vec<Error>> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        parse(line.split_whitespace().map(OsString::from), &environment, |_| {
            Ok(ProfileSettings::default())
        })
    }

    fn options(line: &str, pairs: &[(&str, &str)]) -> Options {
        match parse_line(line, pairs) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn problems(line: &str, pairs: &[(&str, &str)]) -> Vec<String> {
        let problems = parse_line(line, pairs).expect_err(line);
        assert!(problems.iter().all(|error| error.kind() == Kind::Usage), "{line}");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_texts_users_know() {
        let check =
            |line: &str, expected: &[&str]| assert_eq!(problems(line, &[]), expected, "{line}");
        let url =
            "configuration error: target URL is required (set MCP_TARGET_URL or --target-url)";
        let region = "configuration error: region is required (set AWS_REGION or --region)";
        let service = "configuration error: service name is required \
                       (set AWS_SERVICE_NAME or --service-name)";
        check("--region us-east-1", &[url]);
        check("--region us-east-1 --service-name s3", &[url]);
        check("https://mcp.example.com", &[region, service]);
        check("https://mcp.example.com --service s3", &[region]);
        check("https://mcp.example.com --region us-east-1", &[service]);

        let ftp = "configuration error: target URL must use http or https scheme, got: ftp";
        check("ftp://abc.execute-api.us-east-1.amazonaws.com", &[ftp]);
        check("ftp://mcp.example.com --region us-east-1 --service s3", &[ftp]);
        check("ftp://mcp.example.com", &[ftp, region, service]);
        // Service and region may be part of a URL that cannot be read.
        let host = "configuration error: target URL has an invalid character in its host";
        check("https://a_[b].execute-api.us-east-1.amazonaws.com", &[host]);
        let word = "configuration error: target URL has no scheme: word \
                    (write https://…; the commands are doctor, login, logout, completions, help, version)";
        check("word", &[word]);
        check(
            "https://localhost:1 --sign-host a_[b].example.com",
            &[
                "configuration error: --sign-host: the host to sign for has an invalid character in its host",
            ],
        );

        let version = "unsupported signature version: v5 (must be 'v4' or 'v4a')";
        check(&format!("{API} --sig-version v5"), &[version]);
        check(&format!("{API} --sig-version v5 --region a,b"), &[version]);
        check("--sig-version v5 --service-name s3", &[url, version]);
    }

    #[test]
    fn every_problem_is_listed_in_the_order_of_the_table() {
        let shown = problems(
            "--log-format xml --max-in-flight 0 --retries 11 --timeout x --header a --service-name S3 \
             --region US-EAST-1",
            &[
                ("MCP_TARGET_URL", "gopher://x"),
                ("MCP_ENABLE_SSE", "maybe"),
                ("MCP_TIMEOUT", "ignored"),
            ],
        );
        let expected = [
            "target URL must use http or https scheme, got: gopher",
            "--region: not a region: US-EAST-1 (did you mean us-east-1?)",
            "--service-name: not a service name: S3 (did you mean s3?)",
            "--header has a header without a value \
             (write --header \"NAME: VALUE\" or --header NAME=VALUE)",
            "MCP_ENABLE_SSE: not a boolean: maybe \
             (write true, yes, on, 1 or false, no, off, 0)",
            "--max-in-flight: not a number from 1 to 1024: 0 (256 is usual)",
            "--retries: not a number from 0 to 10: 11 (3 is usual)",
            "--timeout: invalid duration: x \
             (write 30s, 1m30s, 500ms or plain seconds such as 180; 0 means no limit)",
            "--log-format: unknown log format: xml (text or json)",
        ];
        assert_eq!(shown, expected.map(|text| format!("configuration error: {text}")));
    }

    #[test]
    fn no_problem_is_listed_twice() {
        let check = |line: &str, expected: &[&str]| {
            let expected: Vec<String> =
                expected.iter().map(|text| format!("configuration error: {text}")).collect();
            assert_eq!(problems(&format!("{API} {line}"), &[]), expected, "{line}");
        };
        let header = "--header has a header without a value \
                      (write --header \"NAME: VALUE\" or --header NAME=VALUE)";
        check("--header a b --header c", &[header]);
        let several = "an entry of --metadata is not NAME=VALUE (write AWS_REGION=VALUE)";
        check("--metadata AWS_REGION eu-west-1", &[several]);
        let one = "an entry of --metadata is not NAME=VALUE (write NAME=VALUE)";
        check("--metadata A=1 hush", &[one]);
        let origin = "--allow-origin: not an origin: * \
                      (write scheme and host, such as https://app.example.com; * and null are not accepted)";
        check("--listen 127.0.0.1:0 --allow-origin * * --allow-origin=*", &[origin]);
        let many: Vec<String> = (0..1000).map(|at| format!(" --allow-host={at}/")).collect();
        let many = many.concat();
        assert_eq!(problems(&format!("{API} --listen 127.0.0.1:0{many}"), &[]).len(), 64);
    }

    #[test]
    fn what_is_not_understood_is_listed_with_the_rest() {
        let check = |line: &str, expected: &[&str]| {
            let expected: Vec<String> =
                expected.iter().map(|text| format!("configuration error: {text}")).collect();
            assert_eq!(problems(line, &[]), expected, "{line}");
        };
        let unknown = "unknown flag --regoin (did you mean --region?)";
        let retries = "--retries: not a number from 0 to 10: 11 (3 is usual)";
        check(
            &format!("--frob --retries 11 {API}"),
            &["unknown flag --frob (see --help)", retries],
        );
        // What was probably meant is not reported missing as well.
        let custom = "https://mcp.example.com --service s3";
        check(&format!("{custom} --regoin us-east-1 --retries=11"), &[unknown, retries]);
        check(&format!("{custom} --regoin"), &[unknown]);
        check(
            &format!("--target-ulr {API} --retries 11"),
            &["unknown flag --target-ulr (did you mean --target-url?)", retries],
        );
        check(&format!("{custom} --region"), &["--region needs a value (write --region REGION)"]);
        // Its value may be what is missing.
        for zone in ["--zone=us-east-1", "--zone us-east-1"] {
            let line = format!("{zone} {custom} --retries=11");
            assert_eq!(problems(&line, &[]).len(), 2, "{line}");
        }
        check(&format!("--where={API}"), &["unknown flag --where (see --help)"]);
        check(&format!("--where {API}"), &["unknown flag --where (see --help)"]);
        let line = format!("doctor {API} --retires 11");
        check(&line, &["unknown flag --retires (did you mean --retries?)"]);
    }

    #[test]
    fn a_role_to_assume() {
        const ROLE: &str = "arn:aws-cn:iam::123456789012:role/path/Name";
        let role = |line: &str| options(&format!("{API} {line}"), &[]).role;
        assert_eq!(role(""), None);
        let expected = RoleToAssume { arn: ROLE.into(), external_id: Some("a:b/c".into()) };
        assert_eq!(role(&format!("--role-arn {ROLE} --external-id a:b/c")), Some(expected));
        for (line, problem) in [
            (
                "--role-arn Admin",
                "--role-arn: not the ARN of a role: Admin (write arn:aws:iam::ACCOUNT:role/NAME)",
            ),
            (
                "--external-id ab",
                "--external-id requires --role-arn (add --role-arn, or set external_id in the profile)",
            ),
        ] {
            let line = format!("{API} {line}");
            assert_eq!(problems(&line, &[]), [format!("configuration error: {problem}")]);
        }
        let line = format!("{API} --role-arn {ROLE} --role-session-name a/b --external-id a;b");
        let shown = problems(&line, &[]);
        assert!(
            shown[0].contains("--external-id: not an external ID") && shown.len() == 2,
            "{shown:?}"
        );
        assert!(shown[1].contains("--role-session-name: not a session name: a/b"), "{shown:?}");
    }

    #[test]
    fn the_session_name_is_for_any_role() {
        let name = |line: &str, variable: &str| {
            let pairs = [("AWS_ROLE_SESSION_NAME", variable)];
            options(&format!("{API} {line}"), &pairs).role_session_name
        };
        assert_eq!(name("--role-session-name me@here", "other").as_deref(), Some("me@here"));
        assert_eq!(name("", "a/b"), None, "the variable may be for other programs");
        let role = "--role-arn arn:aws:iam::123456789012:role/A";
        assert_eq!(name(role, "me@here").as_deref(), Some("me@here"));
        let shown = problems(&format!("{API} {role}"), &[("AWS_ROLE_SESSION_NAME", "a/b")]);
        assert!(shown[0].contains("AWS_ROLE_SESSION_NAME: not a session name: a/b"), "{shown:?}");
    }

    #[test]
    fn help_and_version_come_before_everything() {
        let unread =
            |_: Option<&str>| -> Result<ProfileSettings, Error> { panic!("not to be read") };
        let environment = Environment::from_pairs([("MCP_TIMEOUT", "nonsense")]);
        let ask = |flag: &str| parse([OsString::from(flag)], &environment, unread);
        let help = ask("--help");
        assert!(matches!(help, Ok(Command::Print(text)) if text.starts_with("Usage: sigv4-proxy")));
        let brief = ask("-h");
        assert!(
            matches!(brief, Ok(Command::Print(text)) if text.starts_with("Usage: sigv4-proxy"))
        );
        assert!(matches!(ask("-V"), Ok(Command::Print(text)) if text.starts_with("sigv4-proxy ")));
    }

    #[test]
    fn defaults() {
        let options = options(API, &[]);
        assert_eq!(options.endpoint.to_string(), API);
        assert_eq!(options.region, "us-east-1");
        assert_eq!(options.service, "execute-api");
        assert_eq!(options.algorithm, Algorithm::V4);
        assert!(options.unsigned_payload.is_none() && !options.allow_http);
        assert_eq!(options.profile(), None);
        assert_eq!(options.headers, []);
        assert_eq!(options.sse, GetStream::Auto);
        assert_eq!(options.bridge, BridgeMode::Auto);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(options.timeout, seconds(3600));
        assert_eq!(options.tool_timeout, None);
        assert_eq!(options.connect_timeout, seconds(20));
        assert_eq!(options.read_timeout, seconds(300));
        assert_eq!(options.write_timeout, seconds(60));
        assert_eq!(options.drain_timeout, Duration::from_secs(5));
        assert_eq!(options.max_message_bytes, 128 << 20);
        assert_eq!((options.max_in_flight, options.retries), (256, 3));
        assert_eq!((options.named_region, options.role), (None, None));
        assert_eq!((options.ca_bundle, options.log_file), (None, None));
        assert_eq!((options.log_level, options.log_format), (log::Level::Info, log::Format::Text));
        assert_eq!(options.notes, [""; 0]);
    }

    #[test]
    fn flags_win_over_variables_and_blank_ones_do_not_count() {
        let target = |options: &Options| {
            [&options.endpoint.to_string(), &options.region, &options.service].map(String::clone)
        };
        let line = "-target-url=https://a.example -region r1 --service s1 --timeout 90 --no-sse \
                    --max-message-bytes 64K --log-level WARNING --log-file /f --log-format json \
                    --drain-timeout 0 --read-timeout 0 --max-in-flight 8";
        let pairs = [
            ("MCP_TARGET_URL", "https://b.example"),
            ("AWS_REGION", "r2"),
            ("AWS_SERVICE_NAME", "s2"),
            ("MCP_TIMEOUT", "1m"),
            ("MCP_ENABLE_SSE", "yes"),
            ("MCP_MAX_MESSAGE_BYTES", "1MB"),
            ("MCP_LOG_LEVEL", "silent"),
            ("MCP_LOG_FILE", "~/g"),
            ("MCP_LOG_FORMAT", "text"),
            ("HOME", "/home/ann"),
        ];
        let flags = options(line, &pairs);
        assert_eq!(target(&flags), ["https://a.example/", "r1", "s1"]);
        assert_eq!((flags.timeout, flags.sse), (Some(Duration::from_secs(90)), GetStream::Off));
        assert_eq!((flags.max_message_bytes, flags.max_in_flight), (65_536, 8));
        assert_eq!((flags.log_level, flags.log_format), (log::Level::Warn, log::Format::Json));
        assert_eq!(flags.log_file, Some(PathBuf::from("/f")));
        assert_eq!((flags.drain_timeout, flags.read_timeout), (Duration::ZERO, None));

        let set = options("", &pairs);
        assert_eq!(target(&set), ["https://b.example/", "r2", "s2"]);
        assert_eq!((set.timeout, set.sse), (Some(Duration::from_secs(60)), GetStream::On));
        assert_eq!(set.max_message_bytes, 1_000_000);
        assert_eq!((set.log_level, set.log_format), (log::Level::Silent, log::Format::Text));
        assert_eq!(set.log_file, Some(PathBuf::from("/home/ann/g")));

        let pairs = [
            ("MCP_TARGET_URL", " "),
            ("MCP_SERVER_URL", "https://c.example"),
            ("AWS_REGION", ""),
            ("AWS_DEFAULT_REGION", "r3"),
            ("AWS_SERVICE_NAME", "\t"),
            ("AWS_SERVICE", "s3"),
            ("MCP_TIMEOUT", " "),
        ];
        let second = options("--region= --timeout=", &pairs);
        assert_eq!(target(&second), ["https://c.example/", "r3", "s3"]);
        assert_eq!(second.timeout, Some(Duration::from_secs(3600)));

        let last = options(&format!("{API} --timeout 1 --timeout 2 --sse --no-sse"), &[]);
        assert_eq!((last.timeout, last.sse), (Some(Duration::from_secs(2)), GetStream::Off));
    }

    #[test]
    fn calls_begin_sign_ins_except_in_ci() {
        for (line, pairs, expected) in [
            ("", &[][..], LoginMode::Auto),
            ("", &[("CI", "true")], LoginMode::Off),
            ("", &[("CI", "1")], LoginMode::Off),
            ("", &[("CI", "false")], LoginMode::Auto),
            ("", &[("CI", "0")], LoginMode::Auto),
            ("", &[("CI", "")], LoginMode::Auto),
            ("", &[("MCP_LOGIN", "browser"), ("CI", "true")], LoginMode::Browser),
            ("--login=off", &[("MCP_LOGIN", "browser")], LoginMode::Off),
            ("--login Auto", &[("MCP_LOGIN", "off")], LoginMode::Auto),
        ] {
            let options = options(&format!("{API} {line}"), pairs);
            assert_eq!(options.login, expected, "{line} {pairs:?}");
        }
        let problem =
            "configuration error: --login: unknown login mode: maybe (auto, browser or off)";
        assert_eq!(problems(&format!("{API} --login=maybe"), &[]), [problem]);
    }

    #[test]
    fn region_by_flag_then_url_then_environment_then_profile() {
        let check = |line: &str, [variable, profile]: [&str; 2], expected: &str, note: &str| {
            let environment = Environment::from_pairs([("AWS_REGION", variable)]);
            let words = line.split_whitespace().map(OsString::from);
            let settings =
                ProfileSettings { region: Some(profile.to_owned()), ..ProfileSettings::default() };
            match parse(words, &environment, |_| Ok(settings)) {
                Ok(Command::Run(options)) => {
                    assert_eq!(options.region, expected, "{line}");
                    assert_eq!(options.warnings.join("\n"), note, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        };
        let custom = "https://mcp.example.com --service execute-api";
        let flag = "--region r1 is used; the URL names us-east-1";
        check(&format!("{API} --region r1"), ["r2", "r3"], "r1", flag);
        check(API, ["r2", "r3"], "us-east-1", "");
        let unread = "AWS_REGION: US-EAST-1 is not an AWS region; did you mean us-east-1?";
        check(API, ["US-EAST-1", ""], "us-east-1", unread);
        check(API, ["us-east-1", "r3"], "us-east-1", "");
        check(custom, ["r2", "r3"], "r2", "");
        check(custom, ["", "r3"], "r3", "");
        check("https://knowledge-mcp.global.api.aws", ["r2", ""], "r2", "");
        check(&format!("{API} --sig-version v4a"), ["", ""], "us-east-1", "");
        check(&format!("{custom} --sig-version V4A --region a,b"), ["", ""], "a,b", "");
        check(&format!("{custom} --sig-version v4a"), ["*", ""], "*", "");
    }

    #[test]
    fn zones_and_misspelt_regions_are_warned_of_wherever_they_are() {
        let custom = "https://mcp.example.com --service s";
        let check = |line: &str, pairs: &[(&str, &str)], profile: &str, expected: &[&str]| {
            let settings =
                ProfileSettings { region: Some(profile.to_owned()), ..ProfileSettings::default() };
            let environment = Environment::from_pairs(pairs.iter().copied());
            let read =
                parse(line.split_whitespace().map(OsString::from), &environment, |_| Ok(settings));
            let Ok(Command::Run(options)) = read else { panic!("{line}: {read:?}") };
            assert_eq!(options.warnings.len(), expected.len(), "{line}: {:?}", options.warnings);
            for (warning, expected) in options.warnings.iter().zip(expected) {
                assert!(warning.contains(expected), "{line}: {warning}");
            }
        };
        let flag = format!("{custom} --region us-east-1a");
        check(&flag, &[], "", &["--region: us-east-1a is an availability zone"]);
        check(custom, &[("AWS_REGION", "us-east1")], "", &["AWS_REGION: us-east1 is not"]);
        check(custom, &[("AWS_DEFAULT_REGION", "us-east1")], "", &["AWS_DEFAULT_REGION: us"]);
        check(custom, &[], "eu-west-1b", &["the profile's region: eu-west-1b is an"]);
        let set = [("AWS_SIGV4A_SIGNING_REGION_SET", "us-east-1,eu-west1")];
        check(&format!("{custom} --sig-version v4a"), &set, "", &["REGION_SET: eu-west1 is not"]);
        let metadata = format!("{custom} --region local --metadata AWS_REGION=us-east1");
        check(&metadata, &[], "", &["--metadata AWS_REGION: us-east1"]);
        let url = "https://abc.execute-api.us-east-1a.amazonaws.com --service s --region us-east-1";
        check(url, &[], "", &["the URL: us-east-1a is an availability zone"]);
        let twice = format!("{custom} --region us-east1");
        check(&twice, &[("AWS_REGION", "us-east1")], "", &["--region: us-east1 is not"]);
        check(&format!("{custom} --region us-east-9"), &[("AWS_REGION", "local")], "auto", &[]);
    }

    #[test]
    fn a_region_set_that_includes_the_region_of_the_url_does_not_contradict_it() {
        let check = |line: &str, set: &str, expected: &str| {
            let pairs = [("AWS_SIGV4A_SIGNING_REGION_SET", set)];
            let options = options(&format!("{API} --sig-version v4a {line}"), &pairs);
            assert_eq!(options.warnings.concat(), expected, "{line} {set}");
        };
        for set in ["us-east-1", "eu-west-1,us-east-1", "us-*", "*"] {
            check("", set, "");
            check(&format!("--region {set}"), "", "");
        }
        check("--region eu-*", "us-*", "--region eu-* is used; the URL names us-east-1");
        let contradiction =
            "AWS_SIGV4A_SIGNING_REGION_SET sa-east-1 is used; the URL names us-east-1";
        check("", "sa-east-1", contradiction);
    }

    #[test]
    fn a_runtime_of_another_region_than_its_host_is_warned_of() {
        let url = |region: &str, separator: &str| {
            let arn = ["arn", "aws", "bedrock-agentcore", region, "123456789012", "runtime/a-1"];
            let arn = arn.join(separator);
            format!("https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/{arn}/invocations")
        };
        for separator in [":", "%3A", "%253A"] {
            let other = options(&url("eu-west-1", separator), &[]).warnings;
            let expected = "the URL names us-east-1, the ARN in the URL eu-west-1: use the host of that region";
            assert_eq!(other, [expected], "{separator}");
            assert_eq!(options(&url("us-east-1", separator), &[]).warnings.len(), 0);
        }
        let hop = url("us-east-1", ":")
            .replace("bedrock-agentcore.us-east-1.amazonaws.com", "tunnel.example");
        let line = format!("{hop} --sign-host bedrock-agentcore.eu-west-1.amazonaws.com");
        let expected = "--sign-host names eu-west-1, the ARN in the URL us-east-1: use the host of that region";
        assert_eq!(options(&line, &[]).warnings, [expected]);
    }

    #[test]
    fn entries_of_metadata_that_commas_separate_are_warned_of() {
        let warnings = |entry: &str| options(&format!("{API} --metadata {entry}"), &[]).warnings;
        let expected = "the value of --metadata A contains what may be another entry: separate entries with spaces, not commas";
        for entry in ["A=1,B=2", "A=,b_2=", "A=1,2,B=2 C=3", "C=3 A=hush,x=y"] {
            assert_eq!(warnings(entry), [expected], "{entry}");
        }
        for entry in ["A=1 B=2", "A=1,2", "A=x=1,2", "A={\"a\":1,\"b\":\"=\"}", "A=1,=2"] {
            assert_eq!(warnings(entry).len(), 0, "{entry}");
        }
    }

    #[test]
    fn the_quotes_around_a_profile_s_region_are_the_hint_of_its_error() {
        let words = ["https://mcp.example.com", "--service=s"].map(OsString::from);
        let settings = ProfileSettings {
            region: Some("'us-east-1'".to_owned()),
            ..ProfileSettings::default()
        };
        let read = parse(words, &Environment::default(), |_| Ok(settings));
        let Err(problems) = read else { panic!("{read:?}") };
        let expected = "the profile's region begins with a quote, which becomes part of the value";
        assert_eq!(problems[0].hint_text(), Some(expected), "{problems:?}");
    }

    #[test]
    fn placeholders_and_quotes_are_named_and_their_values_are_not_shown() {
        let line = format!("{API} --metadata key=${{hush}} --log-file C:\\\u{8}in.log");
        let pairs = [("AWS_PROFILE", "'work'"), ("AWS_EXTERNAL_ID", "")];
        let options = options(&line, &pairs);
        let expected = [
            "AWS_PROFILE begins with a quote, which becomes part of the value",
            "--metadata contains a placeholder such as ${…} that was not replaced",
            "--log-file contains a line break or a tab; in JSON, write each backslash twice",
        ];
        assert_eq!(options.warnings, expected);
        for (line, named) in [
            ("https://a.example --service s --region ${REGION}", "--region contains a placeholder"),
            ("https://a.example --service \"s\" --region r", "--service begins with a quote"),
            ("https://${HOST}/mcp --service s --region r", "URL contains a placeholder"),
        ] {
            let shown = problems(line, &[]).join("\n");
            assert!(shown.contains(named), "{shown}");
        }
    }

    #[test]
    fn the_profile_is_read_once_for_what_nothing_else_provides() {
        let check = |line: &str, pairs: &[(&str, &str)], expected: Option<Option<&str>>| {
            let environment = Environment::from_pairs(pairs.iter().copied());
            let mut asked = None;
            let _ = parse(line.split_whitespace().map(OsString::from), &environment, |profile| {
                asked = Some(profile.map(str::to_owned));
                Ok(ProfileSettings::default())
            });
            assert_eq!(asked, expected.map(|name| name.map(str::to_owned)), "{line}");
        };
        check("https://a.example", &[], Some(None));
        check("https://a.example", &[("AWS_PROFILE", "p")], Some(None));
        check("https://a.example --profile p q", &[], Some(Some("p")));
        check(API, &[], Some(None));
        check(&format!("{API} --ca-bundle f"), &[], None);
        check("https://a.example --region r --ca-bundle f", &[], None);
    }

    #[test]
    fn a_profile_that_cannot_be_read_is_reported_if_its_region_is_needed() {
        let check = |line: &str, expected: &[&str]| {
            let words = line.split_whitespace().map(OsString::from);
            let unread = |_: Option<&str>| {
                let what = "~/.aws/config: line 2: neither a setting nor a section header";
                Err(Error::new(Kind::Credentials, what).hint("fix line 2"))
            };
            let read = parse(words, &Environment::default(), unread);
            let shown: Vec<String> =
                read.err().unwrap_or_default().iter().map(ToString::to_string).collect();
            assert_eq!(shown, expected, "{line}");
        };
        check(API, &[]);
        check("https://a.example --service s3 --region us-east-1", &[]);
        let unread = "configuration error: region is required, and the profile cannot be read: \
                      ~/.aws/config: line 2: neither a setting nor a section header (fix line 2)";
        check("https://a.example --service s3", &[unread]);
    }

    #[test]
    fn a_ca_bundle_by_flag_then_environment_then_profile() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let environment = Environment::from_pairs(pairs.iter().copied());
            let settings = ProfileSettings {
                ca_bundle: Some("~/p.pem".to_owned()),
                ..ProfileSettings::default()
            };
            match parse([OsString::from(API)], &environment, |_| Ok(settings)) {
                Ok(Command::Run(options)) => {
                    let path = options.ca_bundle.map(|(path, _)| path);
                    assert_eq!(path, Some(PathBuf::from(expected)));
                }
                other => panic!("{other:?}"),
            }
        };
        check(&[("HOME", "/home/ann")], "/home/ann/p.pem");
        check(&[("SSL_CERT_FILE", "/b")], "/b");
        check(&[("SSL_CERT_FILE", "/b"), ("AWS_CA_BUNDLE", "/c")], "/c");
    }

    #[test]
    fn profiles_named_by_flag_or_variable() {
        let check = |line: &str, pairs: &[(&str, &str)], expected: &[&str]| {
            let options = options(&format!("{line} --target-url {API}"), pairs);
            assert_eq!(options.profiles, expected, "{line}");
            assert_eq!(options.profile(), expected.first().copied(), "{line}");
        };
        check("--profile a b", &[], &["a", "b"]);
        check("--profile a --profile b a", &[], &["a", "b"]);
        check("--profile a", &[("AWS_MCP_PROXY_PROFILES", "b c")], &["b", "c"]);
        check("--profile a", &[("AWS_MCP_PROXY_PROFILES", " ")], &["a"]);
        check("", &[("AWS_MCP_PROXY_PROFILES", "b  c"), ("AWS_PROFILE", "d")], &["b", "c"]);
        check("", &[("AWS_PROFILE", "d"), ("AWS_DEFAULT_PROFILE", "e")], &[]);

        let warnings = |line: &str| {
            let line = format!("{line} --target-url {API}");
            options(&line, &[("AWS_MCP_PROXY_PROFILES", "b c")]).warnings
        };
        assert_eq!(warnings(""), [""; 0]);
        assert_eq!(warnings("--profile b c"), [""; 0]);
        let expected = "AWS_MCP_PROXY_PROFILES b c is used instead of --profile c b";
        assert_eq!(warnings("--profile c --profile b"), [expected]);
    }

    #[test]
    fn service_by_flag_then_environment_then_url() {
        let check = |line: &str, variable: &str, expected: &str, note: &str| {
            let options = options(&format!("{line} {API}"), &[("AWS_SERVICE_NAME", variable)]);
            assert_eq!(options.service, expected, "{line}");
            assert!(options.warnings.concat().contains(note), "{:?}", options.warnings);
        };
        let flag = "--service-name s1 is used; the URL belongs to the service execute-api";
        check("--service-name s1", "s2", "s1", flag);
        check("", "s2", "s2", "AWS_SERVICE_NAME s2 is used");
        check("", "", "execute-api", "");
        check("--service iam", "", "iam", "use execute-api for API Gateway");
    }

    #[test]
    fn an_arn_needs_nothing_else() {
        let arn = "arn:aws-cn:bedrock-agentcore:cn-north-1:123456789012:runtime/a-1";
        let options = options(&format!("{arn} --qualifier b"), &[("AWS_REGION", "us-east-1")]);
        let url = options.endpoint.to_string();
        assert!(url.starts_with("https://bedrock-agentcore.cn-north-1.amazonaws.com.cn/"), "{url}");
        assert!(url.ends_with("?qualifier=b"), "{url}");
        assert_eq!([options.region, options.service], ["cn-north-1", "bedrock-agentcore"]);
    }

    #[test]
    fn what_a_corrected_target_provides_is_not_reported_missing() {
        assert_eq!(problems("arn:aws:s3:::bucket", &[]).len(), 1);
        assert_eq!(problems("abc.execute-api.us-east-1.amazonaws.com/mcp", &[]).len(), 1);
        let expected = "configuration error: --qualifier is only for the ARN of a runtime \
                        (omit it, or write ?qualifier=NAME into the URL)";
        assert_eq!(problems(&format!("{API} --qualifier beta"), &[]), [expected]);
    }

    #[test]
    fn an_unsigned_body_needs_tls() {
        let check = |line: &str, expected: Option<bool>| {
            assert_eq!(options(line, &[]).unsigned_payload, expected, "{line}");
        };
        let lattice = "https://a.7d6.vpc-lattice-svcs.us-west-2.on.aws/mcp";
        check(API, None);
        check(&format!("{API} --unsigned-payload"), Some(true));
        check(lattice, None);
        check(&format!("{lattice} --no-unsigned-payload"), Some(false));
        let over_http = lattice.replace("https:", "http:");
        check(&format!("{over_http} --allow-http"), None);
        check(&format!("{over_http} --allow-http --unsigned-payload"), None);
        let custom = "--region r --service s3 --unsigned-payload --allow-http";
        check(&format!("http://127.0.0.1:9 {custom}"), Some(true));
        let expected = "configuration error: --unsigned-payload requires https \
                        (use an https URL, or omit it)";
        assert_eq!(problems(&format!("http://mcp.example.com {custom}"), &[]), [expected]);
    }

    #[test]
    fn header_values_are_not_printed() {
        let pairs = [("MCP_HEADERS", "a=hush,b=${B}"), ("B", "hush")];
        let options = options(&format!("{API} --header X-Key=hush"), &pairs);
        assert_eq!(options.headers.len(), 3);
        assert!(!format!("{options:?} {options:#?}").contains("hush"));
    }
}
