//! `ServiceFacts`: facts about AWS services that can serve MCP: the IAM action of a call, the limits that end
//! one and how to raise them, and the quotas that this program respects. One row for each service. Pure.
//!
//! The rows only choose texts and defaults. If AWS changes a fact, a hint is out of date, but no request fails.

use crate::aws::hostname;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceFacts {
    /// The IAM actions that a caller needs.
    pub(crate) action: Option<&'static str>,
    /// How to fix a response that took too long (504).
    pub(crate) timeout: &'static str,
    /// The limit that may have ended an incomplete response.
    pub(crate) cut: Option<&'static str>,
    /// How to fix a refusal for the size of the message (413).
    pub(crate) too_large: &'static str,
    /// How to fix too many requests (429).
    pub(crate) throttled: &'static str,
    /// How to fix a 500 or 502.
    pub(crate) failed: &'static str,
    /// How to fix a 503 that is not throttling.
    pub(crate) unavailable: &'static str,
    /// The reason if the server responds without event streams.
    pub(crate) without_streams: Option<&'static str>,
    /// Default of `--max-in-flight`, if AWS allows fewer connections than the general default.
    pub(crate) max_in_flight: Option<usize>,
    /// Number of requests per second that AWS allows an account.
    pub(crate) requests_per_second: Option<u32>,
}

const LATTICE_IDLE: &str = "VPC Lattice ends a request that is idle for 60 s by default: raise the idle timeout of the service, or make the tool report progress";

const BALANCER_IDLE: &str = "the load balancer ends a request that is idle for 60 s by default: raise its idle timeout, or make the tool report progress";

/// The facts of unknown services.
const OTHER: ServiceFacts = ServiceFacts {
    action: None,
    timeout: "a gateway in front of the server timed out: raise its timeout, or make the tool return sooner",
    cut: None,
    too_large: "the message is larger than the service accepts",
    throttled: "too many requests at once: try again later",
    failed: "the server failed: see its log",
    unavailable: "too many requests at once: try again later",
    without_streams: None,
    max_in_flight: None,
    requests_per_second: None,
};

static UNKNOWN: ServiceFacts = OTHER;

static WEB_FUNCTION: ServiceFacts = ServiceFacts {
    action: Some("lambda:InvokeWebFunctionEndpoint"),
    timeout: "the Lambda web function timed out: raise timeoutSeconds in a new revision (default 30, maximum 900)",
    cut: Some(
        "Lambda ends a web function's stream at timeoutSeconds of its revision (default 30, maximum 900): raise it in a new revision",
    ),
    throttled: "the endpoint's rateLimit or maxEnvironments, or a quota of the account, is reached: raise it, or try again later",
    failed: "the web function failed: see /aws/lambda/web/NAME in CloudWatch Logs",
    ..OTHER
};

static FUNCTION_URL: ServiceFacts = ServiceFacts {
    action: Some("lambda:InvokeFunctionUrl and lambda:InvokeFunction"),
    timeout: "the Lambda function timed out: raise its timeout (default 3 s, maximum 900 s)",
    cut: Some(
        "the response of a function URL ends with the function's timeout (maximum 900 s) and at 200 MB; only the invoke mode RESPONSE_STREAM streams",
    ),
    too_large: "a function URL accepts messages up to 6 MB",
    failed: "the function failed or timed out: see its log in CloudWatch; a response may have 6 MB in invoke mode BUFFERED, 200 MB in RESPONSE_STREAM",
    ..OTHER
};

static API_GATEWAY: ServiceFacts = ServiceFacts {
    action: Some("execute-api:Invoke"),
    timeout: "API Gateway waits 29 s by default: raise the integration timeout of a regional or private REST API, or set its responseTransferMode to STREAM (up to 15 min)",
    cut: Some(
        "API Gateway ends a response after 29 s by default, and a stream (responseTransferMode STREAM) after 15 min or when it is idle for too long",
    ),
    too_large: "API Gateway accepts messages up to 10 MB",
    failed: "the integration of the API failed: see the log of the stage in CloudWatch",
    unavailable: "too many requests at once, or the integration of an HTTP API took more than 30 s, which cannot be raised",
    ..OTHER
};

static RUNTIME: ServiceFacts = ServiceFacts {
    action: Some("bedrock-agentcore:InvokeAgentRuntime"),
    timeout: "AgentCore Runtime ends a request after 15 min: make the tool return sooner, and continue in the background",
    cut: Some(
        "AgentCore ended the request (after 15 min), or the runtime stopped: see its log in CloudWatch, and its idle timeout and maximum lifetime",
    ),
    too_large: "AgentCore Runtime accepts messages up to 100 MB",
    failed: "the runtime failed: see its log in CloudWatch",
    throttled: "AgentCore limits the requests per second of a runtime: try again later, or raise the quota",
    ..OTHER
};

static GATEWAY: ServiceFacts = ServiceFacts {
    action: Some("bedrock-agentcore:InvokeGateway"),
    timeout: "AgentCore Gateway or its target took too long: see the gateway's log and its quotas; make the tool return sooner",
    cut: Some("AgentCore Gateway ended the response: see its log, and that of its target"),
    failed: "the gateway or its target failed: see their logs in CloudWatch",
    throttled: "AgentCore limits the requests per second of a gateway: try again later, or raise the quota",
    without_streams: Some(
        "the gateway responds without event streams: progress, elicitation and sampling require enableResponseStreaming in its protocolConfiguration",
    ),
    ..OTHER
};

static VPC_LATTICE: ServiceFacts = ServiceFacts {
    action: Some("vpc-lattice-svcs:Invoke"),
    timeout: LATTICE_IDLE,
    cut: Some(LATTICE_IDLE),
    ..OTHER
};

static LOAD_BALANCER: ServiceFacts = ServiceFacts {
    timeout: BALANCER_IDLE,
    cut: Some(BALANCER_IDLE),
    unavailable: "check the target group of the load balancer: it has no registered target in use, or the target is overloaded",
    ..OTHER
};

static AWS_MCP: ServiceFacts = ServiceFacts {
    action: Some("aws-mcp:InvokeMcp and the actions of the tool"),
    throttled: "AWS MCP Server accepts 3 requests per second and 27 connections per account and region: try again later",
    // Below the 27 connections, with room for other processes of the account.
    max_in_flight: Some(16),
    requests_per_second: Some(3),
    ..OTHER
};

static AWS_KNOWLEDGE: ServiceFacts = ServiceFacts {
    throttled: "AWS Knowledge limits the rate of requests: try again later",
    // AWS publishes no rate; this one becomes slower while requests are refused.
    requests_per_second: Some(1),
    ..OTHER
};

impl ServiceFacts {
    /// The facts of the service that is signed for. Host and path decide where it has several front ends.
    pub(crate) fn of(service: &str, host: &str, path: &str) -> &'static ServiceFacts {
        match service {
            "lambda" if hostname::has_label(host, "lambda-web") => &WEB_FUNCTION,
            "lambda" => &FUNCTION_URL,
            "execute-api" => &API_GATEWAY,
            "bedrock-agentcore" if path.starts_with("/runtimes/") => &RUNTIME,
            "bedrock-agentcore" => &GATEWAY,
            "vpc-lattice-svcs" => &VPC_LATTICE,
            "elasticloadbalancing" => &LOAD_BALANCER,
            "aws-mcp" => &AWS_MCP,
            "knowledge-mcp" => &AWS_KNOWLEDGE,
            _ => &UNKNOWN,
        }
    }

    /// The facts of Lambda's web functions, whose responses can be recognised also under another name.
    pub(crate) fn of_web_function() -> &'static ServiceFacts {
        &WEB_FUNCTION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_path_decide_between_the_front_ends_of_a_service() {
        for (service, host, path, expected) in [
            ("lambda", "abc.lambda-web.us-east-1.on.aws", "/mcp", &WEB_FUNCTION),
            ("lambda", "ABC.Lambda-Web-FIPS.global.on.aws.", "/", &WEB_FUNCTION),
            ("lambda", "abc.lambda-url.us-east-1.on.aws", "/mcp", &FUNCTION_URL),
            ("lambda", "lambda-web.example.com", "/mcp", &FUNCTION_URL),
            ("lambda", "mcp.example.com", "/mcp", &FUNCTION_URL),
            ("execute-api", "mcp.example.com", "/mcp", &API_GATEWAY),
            (
                "bedrock-agentcore",
                "bedrock-agentcore.us-east-1.amazonaws.com",
                "/runtimes/a",
                &RUNTIME,
            ),
            (
                "bedrock-agentcore",
                "gw.gateway.bedrock-agentcore.us-east-1.amazonaws.com",
                "/mcp",
                &GATEWAY,
            ),
            ("bedrock-agentcore", "mcp.example.com", "/mcp", &GATEWAY),
            ("vpc-lattice-svcs", "orders.internal", "/", &VPC_LATTICE),
            ("aws-mcp", "aws-mcp.us-east-1.api.aws", "/mcp", &AWS_MCP),
            ("knowledge-mcp", "knowledge-mcp.global.api.aws", "/", &AWS_KNOWLEDGE),
            ("eks-mcp", "eks-mcp.us-east-1.api.aws", "/mcp", &UNKNOWN),
            ("", "", "", &UNKNOWN),
        ] {
            assert_eq!(ServiceFacts::of(service, host, path), expected, "{service} {host}");
        }
    }
}
