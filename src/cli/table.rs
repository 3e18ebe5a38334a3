//! The table of all options. It drives parsing, `--help` and docs/configuration.md; nothing else lists them.

/// Subcommands: words that may come first.
pub(crate) const COMMANDS: [&str; 4] = ["doctor", "login", "logout", "completions"];

/// One option.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    /// Without dashes, the usual one first.
    pub(crate) flags: &'static [&'static str],
    /// Environment variables, in the order of precedence.
    pub(crate) environment: &'static [&'static str],
    pub(crate) takes: Arity,
    pub(crate) default: &'static str,
    pub(crate) group: Group,
    pub(crate) help: &'static str,
}

/// What follows a flag; the text is the placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    /// No value, or `=true` and `=false`; `--no-FLAG` is the opposite.
    Switch,
    /// One value; the last one counts.
    Value(&'static str),
    /// One value or several words; all count.
    Words(&'static str),
    /// Any number of words, or none; all count.
    OptionalWords(&'static str),
}

/// Names a row. Problems are listed in this order, which is the table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    TargetUrl,
    Qualifier,
    AllowHttp,
    CaBundle,
    Region,
    ServiceName,
    SignHost,
    SigVersion,
    UnsignedPayload,
    SkipAuth,
    Profile,
    ProfileTools,
    RoleArn,
    ExternalId,
    RoleSessionName,
    Login,
    Header,
    Headers,
    HeaderFile,
    Metadata,
    ReadOnly,
    AllowTool,
    DenyTool,
    MergeLists,
    Lazy,
    Bridge,
    Sse,
    RuntimeSession,
    MaxMessageBytes,
    MaxInFlight,
    Retries,
    DisableTelemetry,
    Timeout,
    ToolTimeout,
    ConnectTimeout,
    ReadTimeout,
    WriteTimeout,
    DrainTimeout,
    LogLevel,
    LogFile,
    LogFormat,
    SsoSession,
    UseDeviceCode,
    Remote,
    NoBrowser,
    IfNeeded,
    Json,
    Help,
    Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Server,
    Signing,
    Messages,
    Limits,
    Log,
    SignIn,
    Other,
}

impl Group {
    pub(crate) const ALL: [Group; 7] = [
        Group::Server,
        Group::Signing,
        Group::Messages,
        Group::Limits,
        Group::Log,
        Group::SignIn,
        Group::Other,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Server => "Server",
            Group::Signing => "Signing",
            Group::Messages => "Messages",
            Group::Limits => "Time limits",
            Group::Log => "Log",
            Group::SignIn => "login and logout",
            Group::Other => "Other",
        }
    }
}

impl Key {
    pub(crate) fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.key == self).expect("every key has a row; a test checks it")
    }
}

pub(crate) const TABLE: &[Row] = &[
    Row {
        key: Key::TargetUrl,
        flags: &["target-url", "url", "runtime-arn", "endpoint"],
        environment: &["MCP_TARGET_URL", "MCP_SERVER_URL", "AGENTCORE_AGENT_ARN", "AGENT_ARN"],
        takes: Arity::Value("URL"),
        default: "",
        group: Group::Server,
        help: "MCP endpoint; required. The ARN of a Bedrock AgentCore runtime or gateway is converted to its URL.",
    },
    Row {
        key: Key::Qualifier,
        flags: &["qualifier"],
        environment: &[],
        takes: Arity::Value("NAME"),
        default: "DEFAULT",
        group: Group::Server,
        help: "Endpoint name of an AgentCore runtime, when the target is its ARN.",
    },
    Row {
        key: Key::AllowHttp,
        flags: &["allow-http"],
        environment: &["MCP_ALLOW_HTTP"],
        takes: Arity::Switch,
        default: "off",
        group: Group::Server,
        help: "Allow http:// to hosts other than this one. Messages and session tokens can then be read on the network.",
    },
    Row {
        key: Key::CaBundle,
        flags: &["ca-bundle"],
        environment: &["AWS_CA_BUNDLE", "SSL_CERT_FILE"],
        takes: Arity::Value("FILE"),
        default: "the profile's ca_bundle",
        group: Group::Server,
        help: "PEM file of certificate authorities to trust in addition to Mozilla's and the system's.",
    },
    Row {
        key: Key::Region,
        flags: &["region", "aws-region"],
        environment: &["AWS_REGION", "AWS_DEFAULT_REGION"],
        takes: Arity::Value("REGION"),
        default: "the profile's",
        group: Group::Signing,
        help: "Signing region; the URL's region ranks between flag and environment. With v4a a region set: us-east-1,eu-west-1 or * for all; there AWS_SIGV4A_SIGNING_REGION_SET ranks right after the flag.",
    },
    Row {
        key: Key::ServiceName,
        flags: &["service-name", "service", "aws-service"],
        environment: &["AWS_SERVICE_NAME", "AWS_SERVICE"],
        takes: Arity::Value("NAME"),
        default: "from the URL",
        group: Group::Signing,
        help: "Signing name of the service, such as execute-api, lambda or bedrock-agentcore.",
    },
    Row {
        key: Key::SignHost,
        flags: &["sign-host", "signing-endpoint"],
        environment: &[],
        takes: Arity::Value("HOST"),
        default: "the URL's",
        group: Group::Signing,
        help: "Host to sign for and to name in requests, if the URL is only the way to it: a tunnel, a VPC endpoint, a CNAME. Service and region follow from it. A URL is taken for its host.",
    },
    Row {
        key: Key::SigVersion,
        flags: &["sig-version"],
        environment: &["AWS_SIG_VERSION"],
        takes: Arity::Value("v4|v4a"),
        default: "v4",
        group: Group::Signing,
        help: "Signature version; v4a is valid in several regions.",
    },
    Row {
        key: Key::UnsignedPayload,
        flags: &["unsigned-payload"],
        environment: &[],
        takes: Arity::Switch,
        default: "off; on for VPC Lattice",
        group: Group::Signing,
        help: "Omit the body from the signature. Only TLS protects it then, so https is required, except for VPC Lattice with --allow-http.",
    },
    Row {
        key: Key::SkipAuth,
        flags: &["skip-auth", "optional-auth"],
        environment: &[],
        takes: Arity::Switch,
        default: "off",
        group: Group::Signing,
        help: "Send unsigned requests if no credentials are found. Expired credentials are still an error. On by default for hosts under global.api.aws.",
    },
    Row {
        key: Key::Profile,
        flags: &["profile", "aws-profile"],
        environment: &["AWS_MCP_PROXY_PROFILES", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"],
        takes: Arity::Words("PROFILE"),
        default: "default",
        group: Group::Signing,
        help: "Profiles in ~/.aws/config and ~/.aws/credentials; the first one signs, a call may choose another by its argument aws_profile. AWS_MCP_PROXY_PROFILES has names separated by spaces and takes precedence over the flag. The other two variables rank below keys in the environment.",
    },
    Row {
        key: Key::ProfileTools,
        flags: &["profile-tools"],
        environment: &[],
        takes: Arity::Words("GLOB"),
        default: "aws___call_aws aws___run_script aws___get_presigned_url aws___get_tasks aws___suggest_aws_commands",
        group: Group::Signing,
        help: "Tools that get the argument aws_profile if there are several profiles; '*' for all.",
    },
    Row {
        key: Key::RoleArn,
        flags: &["role-arn"],
        environment: &["AGENTCORE_ASSUME_ROLE_ARN"],
        takes: Arity::Value("ARN"),
        default: "",
        group: Group::Signing,
        help: "Role to assume with the credentials that were found, and to sign as.",
    },
    Row {
        key: Key::ExternalId,
        flags: &["external-id"],
        environment: &[],
        takes: Arity::Value("ID"),
        default: "",
        group: Group::Signing,
        help: "External ID that the trust policy of --role-arn requires.",
    },
    Row {
        key: Key::RoleSessionName,
        flags: &["role-session-name"],
        environment: &["AWS_ROLE_SESSION_NAME", "AGENTCORE_ASSUME_ROLE_SESSION_NAME"],
        takes: Arity::Value("NAME"),
        default: "sigv4-proxy-TIME",
        group: Group::Signing,
        help: "Session name of roles that are assumed, as CloudTrail shows it; by default constant for the life of the process.",
    },
    Row {
        key: Key::Login,
        flags: &["login"],
        environment: &["MCP_LOGIN"],
        takes: Arity::Value("auto|browser|off"),
        default: "auto",
        group: Group::Signing,
        help: "What a call does when IAM Identity Center (SSO) wants a new sign-in: auto shows a link and a code in the client, browser a link that works on this machine only, off fails. With CI set, auto means off.",
    },
    Row {
        key: Key::Header,
        flags: &["header"],
        environment: &[],
        takes: Arity::Words("'NAME: VALUE'"),
        default: "",
        group: Group::Messages,
        help: "Header to send and sign with every request; also NAME=VALUE. ${VARIABLE} in the value is replaced from the environment.",
    },
    Row {
        key: Key::Headers,
        flags: &["headers"],
        environment: &["MCP_HEADERS"],
        takes: Arity::Value("NAME=VALUE,..."),
        default: "",
        group: Group::Messages,
        help: "Several headers at once, values without commas. A --header of the same name takes precedence.",
    },
    Row {
        key: Key::HeaderFile,
        flags: &["header-file"],
        environment: &[],
        takes: Arity::Words("FILE"),
        default: "",
        group: Group::Messages,
        help: "File of headers, a NAME: VALUE on each line, written as for --header; lines that begin with # are comments. It should be readable by its owner only, and is read once.",
    },
    Row {
        key: Key::Metadata,
        flags: &["metadata"],
        environment: &[],
        takes: Arity::OptionalWords("NAME=VALUE"),
        default: "",
        group: Group::Messages,
        help: "Added to params._meta of every request, unless the client sets that name itself. AWS_REGION, the region to work in, is added as well, and always for hosts under api.aws; AWS_REGION= omits it.",
    },
    Row {
        key: Key::ReadOnly,
        flags: &["read-only"],
        environment: &["MCP_READ_ONLY"],
        takes: Arity::Switch,
        default: "off",
        group: Group::Messages,
        help: "Offer and call only tools that the server marks with readOnlyHint.",
    },
    Row {
        key: Key::AllowTool,
        flags: &["allow-tool"],
        environment: &[],
        takes: Arity::Words("GLOB"),
        default: "",
        group: Group::Messages,
        help: "Offer and call only tools whose names match one of these; * is any text, ? any character.",
    },
    Row {
        key: Key::DenyTool,
        flags: &["deny-tool", "ignore-tool"],
        environment: &[],
        takes: Arity::Words("GLOB"),
        default: "",
        group: Group::Messages,
        help: "Neither offer nor call tools whose names match one of these.",
    },
    Row {
        key: Key::MergeLists,
        flags: &["merge-lists"],
        environment: &["MCP_MERGE_LISTS"],
        takes: Arity::Switch,
        default: "off",
        group: Group::Messages,
        help: "Fetch lists of tools, prompts and resources whole and return them as one page, for clients that read the first page only.",
    },
    Row {
        key: Key::Lazy,
        flags: &["lazy", "lazy-connect"],
        environment: &["MCP_LAZY", "MCP_WARM"],
        takes: Arity::Switch,
        default: "off",
        group: Group::Messages,
        help: "Answer initialize and server/discover immediately, without the server, and start the session with the first request that needs it; the client is then notified that the lists have changed.",
    },
    Row {
        key: Key::Bridge,
        flags: &["bridge"],
        environment: &["MCP_BRIDGE"],
        takes: Arity::Value("WHEN"),
        default: "auto",
        group: Group::Messages,
        help: "Translate between MCP 2026-07-28 and the revisions before it when client and server have none in common: auto, always or off. With always, server/discover is translated as well, for clients that know 2026-07-28 alone.",
    },
    Row {
        key: Key::Sse,
        flags: &["sse", "no-sse", "server-stream"],
        environment: &["MCP_ENABLE_SSE"],
        takes: Arity::Switch,
        default: "try once",
        group: Group::Messages,
        help: "Whether to keep a GET stream open for messages that the server sends on its own.",
    },
    Row {
        key: Key::RuntimeSession,
        flags: &["runtime-session"],
        environment: &["MCP_RUNTIME_SESSION", "RUNTIME_SESSION_MODE"],
        takes: Arity::Value("auto|off|identity|ID"),
        default: "auto",
        group: Group::Messages,
        help: "Runtime session of Bedrock AgentCore for requests of MCP 2026-07-28: the one that its responses name, none, one of the caller's own that restarts and other processes share, or the one with this ID of 33 to 256 letters, digits, - and _.",
    },
    Row {
        key: Key::MaxMessageBytes,
        flags: &["max-message-bytes"],
        environment: &["MCP_MAX_MESSAGE_BYTES"],
        takes: Arity::Value("SIZE"),
        default: "128MiB",
        group: Group::Messages,
        help: "Maximum size of a message, in either direction.",
    },
    Row {
        key: Key::MaxInFlight,
        flags: &["max-in-flight"],
        environment: &["MCP_MAX_IN_FLIGHT"],
        takes: Arity::Value("NUMBER"),
        default: "256",
        group: Group::Messages,
        help: "Maximum number of requests in flight, 1 to 1024; more wait in order. The default is 16 for aws-mcp.REGION.api.aws, where AWS allows an account 27 connections.",
    },
    Row {
        key: Key::Retries,
        flags: &["retries"],
        environment: &["MCP_RETRIES"],
        takes: Arity::Value("NUMBER"),
        default: "3",
        group: Group::Messages,
        help: "Additional attempts where that is safe, 0 to 10: nothing was sent, the server asks to retry later, or the request is idempotent.",
    },
    Row {
        key: Key::DisableTelemetry,
        flags: &["disable-telemetry"],
        environment: &[],
        takes: Arity::Switch,
        default: "off",
        group: Group::Messages,
        help: "Omit the client's name from the User-Agent. Nothing else identifies the client, and nothing is sent anywhere but to the server and AWS.",
    },
    Row {
        key: Key::Timeout,
        flags: &["timeout"],
        environment: &["MCP_TIMEOUT"],
        takes: Arity::Value("TIME"),
        default: "1h",
        group: Group::Limits,
        help: "Time limit for one request, until its response is complete.",
    },
    Row {
        key: Key::ToolTimeout,
        flags: &["tool-timeout"],
        environment: &[],
        takes: Arity::Value("TIME"),
        default: "0",
        group: Group::Limits,
        help: "Time limit for one tools/call.",
    },
    Row {
        key: Key::ConnectTimeout,
        flags: &["connect-timeout"],
        environment: &["AGENTCORE_CONNECT_TIMEOUT"],
        takes: Arity::Value("TIME"),
        default: "20s",
        group: Group::Limits,
        help: "Time limit for connecting to the server: DNS, TCP and TLS.",
    },
    Row {
        key: Key::ReadTimeout,
        flags: &["read-timeout"],
        environment: &["AGENTCORE_READ_TIMEOUT"],
        takes: Arity::Value("TIME"),
        default: "300s",
        group: Group::Limits,
        help: "Idle timeout while waiting for a response; any byte resets it.",
    },
    Row {
        key: Key::WriteTimeout,
        flags: &["write-timeout"],
        environment: &[],
        takes: Arity::Value("TIME"),
        default: "60s",
        group: Group::Limits,
        help: "Time limit for sending one request.",
    },
    Row {
        key: Key::DrainTimeout,
        flags: &["drain-timeout"],
        environment: &[],
        takes: Arity::Value("TIME"),
        default: "5s",
        group: Group::Limits,
        help: "How long requests in flight may still be answered after the end of stdin; here 0 means not at all.",
    },
    Row {
        key: Key::LogLevel,
        flags: &["log-level"],
        environment: &["MCP_LOG_LEVEL"],
        takes: Arity::Value("debug|info|warn|error|silent"),
        default: "info",
        group: Group::Log,
        help: "Level of the log; DEBUG, INFO, WARNING, ERROR and CRITICAL are accepted too.",
    },
    Row {
        key: Key::LogFile,
        flags: &["log-file"],
        environment: &["MCP_LOG_FILE"],
        takes: Arity::Value("FILE"),
        default: "stderr",
        group: Group::Log,
        help: "Log file: a regular file, created for its owner only if it does not exist.",
    },
    Row {
        key: Key::LogFormat,
        flags: &["log-format"],
        environment: &["MCP_LOG_FORMAT"],
        takes: Arity::Value("text|json"),
        default: "text",
        group: Group::Log,
        help: "Format of log lines.",
    },
    Row {
        key: Key::SsoSession,
        flags: &["sso-session"],
        environment: &[],
        takes: Arity::Value("SESSION"),
        default: "",
        group: Group::SignIn,
        help: "Sign in to this [sso-session] of ~/.aws/config, in place of a profile's.",
    },
    Row {
        key: Key::UseDeviceCode,
        flags: &["use-device-code"],
        environment: &[],
        takes: Arity::Switch,
        default: "on without a browser",
        group: Group::SignIn,
        help: "Sign in by a link that works on any device and a code to compare.",
    },
    Row {
        key: Key::Remote,
        flags: &["remote"],
        environment: &[],
        takes: Arity::Switch,
        default: "off",
        group: Group::SignIn,
        help: "For profiles with login_session: the browser is on another machine; enter the text that it shows.",
    },
    Row {
        key: Key::NoBrowser,
        flags: &["no-browser"],
        environment: &[],
        takes: Arity::Switch,
        default: "off",
        group: Group::SignIn,
        help: "Print the link without opening a browser.",
    },
    Row {
        key: Key::IfNeeded,
        flags: &["if-needed"],
        environment: &[],
        takes: Arity::Switch,
        default: "off",
        group: Group::SignIn,
        help: "Sign in only if the credentials cannot be had without it.",
    },
    Row {
        key: Key::Json,
        flags: &["json"],
        environment: &[],
        takes: Arity::Switch,
        default: "off",
        group: Group::Other,
        help: "With doctor: print the report as one JSON document.",
    },
    Row {
        key: Key::Help,
        flags: &["help", "h"],
        environment: &[],
        takes: Arity::Switch,
        default: "",
        group: Group::Other,
        help: "Print this and exit.",
    },
    Row {
        key: Key::Version,
        flags: &["version", "V"],
        environment: &[],
        takes: Arity::Switch,
        default: "",
        group: Group::Other,
        help: "Print the version and exit.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_their_keys_and_groups() {
        assert!(TABLE.is_sorted_by_key(|row| row.key));
        assert!(
            TABLE.is_sorted_by_key(|row| Group::ALL.iter().position(|group| *group == row.group))
        );
        assert_eq!(TABLE.len(), Key::Version as usize + 1, "every key has one row");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> =
            TABLE.iter().flat_map(|row| row.flags.iter().chain(row.environment)).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
