//! Mistakes on the command line, as the program reports them.

use crate::harness::program::Launch;

const URL: &str = "https://abc.execute-api.us-east-1.amazonaws.com/prod/mcp";

/// The errors of these arguments, without what all of them begin with.
fn errors(arguments: &[&str]) -> Vec<String> {
    let ended = Launch::bare(arguments).run("");
    assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.log);
    let error = |line: &str| line.replacen("ERROR: configuration error: ", "", 1);
    ended.log.lines().map(error).collect()
}

#[test]
fn words_that_are_left_over_are_named_with_what_was_meant() {
    for (arguments, expected) in [
        (
            &[URL, "--profile=dev", "prod"][..],
            "left over after --profile: prod (write --profile before each value, or quote a value that contains spaces)",
        ),
        (
            &["doctor", "--region=us-east-1", "eu-west-1", URL],
            "left over after --region: eu-west-1 (--region takes one value: quote it if it contains spaces, or remove the rest)",
        ),
        (
            &[URL, "--header=X-Key: Bearer", "hush", "hush"],
            "left over after --header: 2 words that are not shown (write --header before each value, or quote a value that contains spaces)",
        ),
        (&[URL, "--lazy", "false"], "left over after --lazy: false (write --lazy=false)"),
        (&["docter", URL], "not understood: docter (did you mean doctor?)"),
        (
            &[URL, "dev", "prod"],
            "not understood: dev, prod (remove them, or quote values that contain spaces; the commands are doctor, login, logout, completions, help, version)",
        ),
        (&["login", "dev"], "not understood: dev (remove it, or write --profile before it)"),
        // Not what it is already.
        (&["login", "logout"], "not understood: logout (remove it, or write --profile before it)"),
    ] {
        assert_eq!(errors(arguments), [expected], "{arguments:?}");
    }
}

#[test]
fn dashes_that_an_editor_made_of_hyphens_are_those_of_flags() {
    let bare = "http://localhost:1/mcp";
    for (arguments, expected) in [
        (&[URL, "—profile", "dev"][..], "unknown flag —profile (did you mean --profile?)"),
        (&["–profile=dev", URL], "unknown flag –profile (did you mean --profile?)"),
        (&[URL, "--profile", "dev", "−−sse"], "unknown flag −−sse (did you mean --sse?)"),
        (&[URL, "-–read-only"], "unknown flag –read-only (did you mean --read-only?)"),
        (&[URL, "—regoin", "us-east-1"], "unknown flag —regoin (did you mean --region?)"),
        (&[URL, "—profile dev"], "unknown flag —profile (did you mean --profile?)"),
        (&[URL, "—"], "unknown flag — (see --help)"),
        // What it stands for is not reported missing.
        (
            &[bare, "--service=s3", "—region", "us-east-1"],
            "unknown flag —region (did you mean --region?)",
        ),
    ] {
        assert_eq!(errors(arguments), [expected], "{arguments:?}");
    }
}

#[test]
fn flags_of_other_programs_say_what_to_do_instead() {
    const CERTIFICATES: &str =
        "omit it: certificates are always verified; --ca-bundle FILE adds an authority";
    const PROXY: &str = "omit it: HTTPS_PROXY and NO_PROXY are always used";
    const AUTHORITY: &str = "write --ca-bundle FILE; client certificates are not supported";
    const LISTENER: &str =
        "omit it; to serve HTTP clients, write --listen 127.0.0.1:PORT and --listen-path PATH";
    const KEYS: &str =
        "omit it: set --profile or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
    for (arguments, fix) in [
        (&["--insecure"][..], CERTIFICATES),
        (&["-k"], CERTIFICATES),
        (&["--no-verify-ssl"], CERTIFICATES),
        (&["--verify", "false"], CERTIFICATES),
        (&["--skip-tls-verify"], CERTIFICATES),
        (&["--proxy", "http://proxy:3128"], PROXY),
        (&["--http-proxy=http://proxy:3128"], PROXY),
        (&["--no-proxy", "localhost"], PROXY),
        (&["--cacert", "/ca.pem"], AUTHORITY),
        (&["--ca-cert=/ca.pem"], AUTHORITY),
        (&["--assume-role", "arn:aws:iam::123456789012:role/a"], "write --role-arn ARN"),
        (&["--session-name", "ann"], "write --role-session-name NAME"),
        (
            &["--role-session-duration", "900"],
            "set it in the profile of the role, in ~/.aws/config",
        ),
        (&["--aws-secret-access-key", "hush"], KEYS),
        (&["--secret_key=hush"], KEYS),
        (
            &["--client-secret", "hush"],
            "omit it: requests are signed with AWS credentials instead of OAuth tokens",
        ),
        (&["--port", "8080"], "write --listen 127.0.0.1:PORT"),
        (&["--http"], LISTENER),
        (&["--host", "0.0.0.0"], LISTENER),
        (&["--path=/mcp"], LISTENER),
        (&["--no-sign-request"], "write --skip-auth"),
        // A misspelt flag of this program is still that.
        (&["--ca-bundel", "/ca.pem"], "did you mean --ca-bundle?"),
    ] {
        let flag = arguments[0].split('=').next().unwrap_or_default();
        let expected = [format!("unknown flag {flag} ({fix})")];
        assert_eq!(errors(&[&[URL], arguments].concat()), expected, "{arguments:?}");
        assert_eq!(errors(&[arguments, &[URL]].concat()), expected, "{arguments:?}");
    }
}

#[test]
fn a_header_joined_with_a_flag_of_curl_is_not_shown() {
    for argument in ["-HX-Api-Key:hush1234", "-HX-Api-Key: hush1234", "-HX-Api-Key:a=hush1234"] {
        let expected = ["unknown flag -HX-Api-Key:… (write --header \"NAME: VALUE\")"];
        assert_eq!(errors(&[URL, argument]), expected, "{argument}");
    }
}

#[test]
fn flags_that_are_not_read_keep_their_values_to_themselves() {
    let fix = "(write flags before --, and without a space before their dashes)";
    let unread = |flag: &str| format!("not read as a flag: {flag} {fix}");
    let joined = "a URL and a flag are in one argument (write each as a separate argument)";
    let in_one = |flag: &str| {
        format!("{flag} and another flag are in one argument (write each as a separate argument)")
    };
    let old = "the arguments contain the command of another program \
               (remove uvx mcp-proxy-for-aws: it belongs to the old command)";
    for (arguments, expected) in [
        (&["--profile", "a", "b", "--", URL, "--header=X-Api-Key: hush"][..], unread("--header=…")),
        (&["--", URL, "--header=X-Api-Key:hush"], unread("--header=…")),
        (&["--", URL, "--header", "X-Api-Key:", "hush"], unread("--header")),
        (&["--", URL, "--headers=X-Api-Key=hush"], unread("--headers=…")),
        (&["--", "doctor", URL, "--external-id=hush"], unread("--external-id=…")),
        (&["--", "--header=X-Api-Key:hush", URL], unread("--header=…")),
        (&[URL, " --header=X-Api-Key:hush"], unread("--header=…")),
        // What it names is not reported missing.
        (
            &["--", "https://mcp.example.com", "--service=hush", "--region=hush"],
            unread("--service=…"),
        ),
        (&[&format!("{URL} --header X-Api-Key:hush")], joined.to_owned()),
        (&[&format!("--url={URL} --header X-Api-Key:hush")], joined.to_owned()),
        (&["--url", &format!("{URL} --header=X-Api-Key:hush")], joined.to_owned()),
        (&[URL, "--region=us-east-1 --header X-Api-Key:hush"], in_one("--region")),
        (&[URL, "--profile", "a --header=X-Api-Key:hush"], in_one("--profile")),
        (&["doctor", URL, "--service=s3 --external-id hush"], in_one("--service")),
        (&["uvx mcp-proxy-for-aws --header X-Api-Key:hush", URL], old.to_owned()),
        (
            &["uvx", "mcp-proxy-for-aws", "-y --header X-Api-Key:hush", URL],
            old.replace("aws: it", "aws -y: it"),
        ),
    ] {
        let errors = errors(arguments);
        assert_eq!(errors[0], expected, "{arguments:?}");
        assert!(!errors.concat().contains("hush"), "{errors:?}");
        let others = errors.iter().skip(1).filter(|error| !error.starts_with("not read as a flag"));
        assert_eq!(others.count(), 0, "{errors:?}");
    }
    let ended = Launch::bare(&[]).env("MCP_TARGET_URL", &format!("{URL} --header X:hush")).run("");
    assert_eq!(ended.log, format!("ERROR: configuration error: {joined}\n"));
}

#[test]
fn windows_users_get_help_with_a_slash() {
    let ended = Launch::bare(&["/?"]).run("");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.lines.iter().any(|line| line.contains("--target-url")));
}

#[test]
fn one_mistake_is_one_line() {
    for (arguments, expected) in [
        (
            &[URL, "--metadata", "AWS_REGION", "eu-west-1"][..],
            "an entry of --metadata is not NAME=VALUE (write AWS_REGION=VALUE)",
        ),
        (
            &[URL, "--header", "hush", "hush"],
            "--header has a header without a value (write --header \"NAME: VALUE\" or --header NAME=VALUE)",
        ),
        (
            &["https://mcp.example.com", "--service=s3", "--profile=nope"],
            "region is required, and the profile cannot be read: profile \"nope\" could not be found in ~/.aws/config or \
             ~/.aws/credentials",
        ),
    ] {
        let errors = errors(arguments);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{arguments:?}: {errors:?}");
    }
}

#[test]
fn usage_errors_are_listed_together_and_nothing_starts() {
    let ended = Launch::bare(&["--sig-version", "v5", "ftp://x", "--frobnicate"]).run("");
    assert_eq!((ended.code, ended.lines.len()), (Some(2), 0));
    let ended = Launch::bare(&[]).run("");
    assert_eq!(
        ended.log,
        "sigv4-proxy connects an MCP client to MCP servers protected by AWS IAM.\n  \
         sigv4-proxy URL          sign and relay; your MCP client starts it this way\n  \
         sigv4-proxy doctor URL   check credentials, network and server\n  \
         sigv4-proxy --help       list all options\n\
         ERROR: configuration error: target URL is required (set MCP_TARGET_URL or --target-url)\n"
    );
    let ended = Launch::bare(&["--region=us-east-1"]).run("");
    assert_eq!(
        ended.log,
        "ERROR: configuration error: target URL is required (set MCP_TARGET_URL or --target-url)\n"
    );
    let ended = Launch::bare(&["--frobnicate"]).run("");
    assert_eq!(ended.log, "ERROR: configuration error: unknown flag --frobnicate (see --help)\n");
    let ended = Launch::bare(&[
        "--target-url",
        "ftp://abc.execute-api.us-east-1.amazonaws.com",
        "--region=us-east-1",
        "--service-name=execute-api",
    ])
    .run("");
    assert_eq!(
        ended.log,
        "ERROR: configuration error: target URL must use http or https scheme, got: ftp\n"
    );
    let ended =
        Launch::bare(&["https://abc.execute-api.us-east-1.amazonaws.com", "--sig-version", "v5"])
            .run("");
    assert_eq!(ended.log, "ERROR: unsupported signature version: v5 (must be 'v4' or 'v4a')\n");
}
