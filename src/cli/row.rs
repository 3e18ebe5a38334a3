//! `Row`: what the table says of one option.

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
    Listen,
    ListenPath,
    ListenAnyone,
    AllowOrigin,
    AllowHost,
    ListenTokenFile,
    NoListenToken,
    Timeout,
    ToolTimeout,
    ConnectTimeout,
    ReadTimeout,
    WriteTimeout,
    DrainTimeout,
    LogLevel,
    Verbose,
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
    Listener,
    Limits,
    Log,
    SignIn,
    Other,
}

impl Group {
    pub(crate) const ALL: [Group; 8] = [
        Group::Server,
        Group::Signing,
        Group::Messages,
        Group::Listener,
        Group::Limits,
        Group::Log,
        Group::SignIn,
        Group::Other,
    ];

    /// Whether an invalid option of the group leaves it open what would be sent to the server, and where.
    pub(crate) fn decides_what_is_sent(self) -> bool {
        matches!(self, Group::Server | Group::Signing | Group::Messages)
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Server => "Server",
            Group::Signing => "Signing",
            Group::Messages => "Messages",
            Group::Listener => "Listening for HTTP clients",
            Group::Limits => "Time limits",
            Group::Log => "Log",
            Group::SignIn => "login and logout",
            Group::Other => "Other",
        }
    }
}
