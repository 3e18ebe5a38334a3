//! Runtime sessions of Bedrock `AgentCore`, by whose ids it routes requests to one micro-VM. Pure.

use crate::signing::Secret;
use sha2::{Digest, Sha256};

/// The header of an MCP session, which `AgentCore` routes by.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";

/// The header of `AgentCore`'s other protocols, which MCP may use as well.
pub(crate) const RUNTIME_SESSION_HEADER: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// Lengths of an id that a caller may choose.
pub(crate) const ID_LENGTHS: std::ops::RangeInclusive<usize> = 33..=256;

/// Minimum number of digits of a time in a session name, in seconds since 1970.
const TIME_DIGITS: usize = 10;

/// The runtime session that requests of MCP 2026-07-28 are sent in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeSession {
    /// The one that the responses of a runtime name.
    Auto,
    /// None: each request may start a micro-VM.
    Off,
    /// The caller's own, shared by all processes that sign as this caller.
    Identity,
    /// The one with this id.
    Fixed(Secret),
}

/// Whether requests to this URL are routed by session: those to a runtime are, those to a gateway are not.
pub(crate) fn is_routed(host: &str, path: &str, is_agentcore: bool) -> bool {
    let is_gateway = host.split('.').any(|label| label.eq_ignore_ascii_case("gateway"));
    is_agentcore && !is_gateway && path.starts_with("/runtimes/")
}

/// The id of the caller's own session. A role session name that ends in a time, as SDKs generate them, does not identify the
/// caller and is omitted.
pub(crate) fn id_of_caller(arn: &str) -> Secret {
    let is_made_up = |name: &str| {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        digits >= TIME_DIGITS
            && name.len() > digits
            && name.as_bytes()[name.len() - digits - 1] == b'-'
    };
    let caller = match arn.rsplit_once('/') {
        Some((role, name)) if role.contains(":assumed-role/") && is_made_up(name) => role,
        _ => arn,
    };
    Secret::new(format!("sigv4-proxy-{}", hex::encode(Sha256::digest(caller))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_runtimes_are_routed() {
        let runtime = "/runtimes/arn%3Aaws/invocations";
        for (host, path, is_agentcore, expected) in [
            ("bedrock-agentcore.us-east-1.amazonaws.com", runtime, true, true),
            ("agents.example.com", runtime, true, true),
            ("agents.example.com", runtime, false, false),
            ("agents.example.com", "/mcp", true, false),
            ("gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com", "/mcp", true, false),
            ("gw-1.Gateway.bedrock-agentcore.us-east-1.amazonaws.com", runtime, true, false),
        ] {
            assert_eq!(is_routed(host, path, is_agentcore), expected, "{host}{path}");
        }
    }

    #[test]
    fn an_id_belongs_to_the_caller_and_not_to_the_process() {
        let id = |arn: &str| id_of_caller(arn).expose().to_owned();
        let role = "arn:aws:sts::123456789012:assumed-role/Dev";
        let made_up = id(&format!("{role}/sigv4-proxy-1764333333"));
        assert!(ID_LENGTHS.contains(&made_up.len()), "{made_up}");
        for name in [
            "sigv4-proxy-1764999999",
            "botocore-session-1764333333",
            "aws-go-sdk-1764333333123456789",
        ] {
            assert_eq!(id(&format!("{role}/{name}")), made_up, "{name}");
        }
        let mut others = [
            "arn:aws:iam::123456789012:user/ada".to_owned(),
            "arn:aws:iam::123456789012:user/ada-1764333333".to_owned(),
            "arn:aws:sts::123456789012:assumed-role/Ops/sigv4-proxy-1764333333".to_owned(),
            "arn:aws:sts::210987654321:assumed-role/Dev/sigv4-proxy-1764333333".to_owned(),
            format!("{role}/ada@example.com"),
            format!("{role}/i-0123456789abcdef0"),
            format!("{role}/1764333333"),
        ]
        .map(|arn| id(&arn));
        assert!(!others.contains(&made_up));
        others.sort();
        assert!(others.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
