//! What an AWS host name or ARN says of itself: service, region, URL. Pure text.
//!
//! Nothing is guessed. A host that is not AWS's own (a custom domain, loopback) says nothing, and
//! a label counts as a region only if it is written like one.

use crate::error::{Error, Kind};
use crate::percent;

/// What could be read out of a host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inferred {
    /// The signing name, which often differs from the first label: `bedrock-runtime` signs as `bedrock`.
    pub service: Option<String>,
    pub region: Option<String>,
}

/// Reads service and region out of `host`, which has no port. Letter case and a trailing dot do not matter.
pub fn of_host(host: &str) -> Inferred {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let Some((labels, customer)) = aws_labels(&host) else {
        return Inferred::default();
    };
    let (before, region, after) = split_at_region(&labels);
    let service = match (before, region, after) {
        // `search-x.us-east-1.es.amazonaws.com`: these few stand behind the region.
        (_, Some(_), [last]) => behind_region(last),
        (before, Some(_), []) => signing_name(before),
        // `sts.amazonaws.com`, `bucket.s3.amazonaws.com`.
        ([only], None, []) => signing_name(&[only]),
        ([.., last], None, []) if last.starts_with("s3") => signing_name(&[last]),
        _ => None,
    };
    match service {
        // Under `on.aws` customers' own names stand too.
        Some(service) if customer && !CUSTOMER_SERVICES.contains(&service) => Inferred::default(),
        Some(service) => Inferred {
            service: Some(service.to_owned()),
            region: region.filter(|region| !PLACELESS.contains(region)).map(str::to_owned),
        },
        None => Inferred::default(),
    }
}

/// The URL of a Bedrock `AgentCore` runtime or gateway, in the partition its ARN names.
pub fn agentcore_url(arn: &str, qualifier: &str) -> Result<String, Error> {
    let refuse = |what: String| {
        Err(Error::new(Kind::Usage, what).hint(
            "an ARN must be arn:<partition>:bedrock-agentcore:<region>:<account>:runtime/<name>, or \
             gateway/<id>; for anything else give the URL",
        ))
    };
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = fields[..] else {
        return refuse("not a complete ARN".to_owned());
    };
    let Some((_, suffix)) = PARTITIONS.iter().find(|(name, _)| *name == partition) else {
        return refuse(format!("unknown partition in the ARN: {partition}"));
    };
    if service != "bedrock-agentcore" {
        return refuse(format!("an ARN of {service} has no MCP endpoint of its own"));
    }
    if !is_region(region) {
        return refuse(format!("the ARN names no region: {region}"));
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("the account in the ARN is not twelve digits".to_owned());
    }
    let id_of = |kind: &str| {
        let id = resource.strip_prefix(kind)?.strip_prefix('/')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (!id.is_empty() && id.bytes().all(plain)).then_some(id)
    };
    if let Some(id) = id_of("gateway") {
        return Ok(format!("https://{id}.gateway.bedrock-agentcore.{region}.{suffix}/mcp"));
    }
    if id_of("runtime").is_none() {
        return refuse(format!("the ARN is neither a runtime's nor a gateway's: {resource}"));
    }
    Ok(format!(
        "https://bedrock-agentcore.{region}.{suffix}/runtimes/{}/invocations?qualifier={}",
        percent_encoded(arn),
        percent_encoded(qualifier)
    ))
}

/// The path of a runtime's URL as it must be, if the ARN in it is not encoded exactly once.
pub fn mended_runtime_path(path: &str) -> Option<String> {
    let typed = path.strip_prefix("/runtimes/")?;
    let typed = typed.strip_suffix('/').unwrap_or(typed);
    let typed = typed.strip_suffix("/invocations").unwrap_or(typed);
    let mut arn = typed.to_owned();
    // Encoded twice is usual, more often is not.
    for _ in 0..3 {
        arn = String::from_utf8(percent::decode(&arn)).ok()?;
    }
    agentcore_url(&arn, "").ok()?;
    let right = format!("/runtimes/{}/invocations", percent_encoded(&arn));
    (right != path).then_some(right)
}

/// Whether `label` is written like a region: `us-east-1`, `eusc-de-east-1`, `us-isob-east-1`.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let [first, middle @ .., number] = &parts[..] else {
        return false;
    };
    let word = |part: &str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase());
    word(first)
        && first.len() <= 4
        && (1..=2).contains(&middle.len())
        && middle.iter().all(|part| word(part))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The labels in front of AWS's own suffix, without those that only say how the host is reached, and whether
/// customers' names stand under that suffix.
fn aws_labels(host: &str) -> Option<(Vec<&str>, bool)> {
    let suffix = SUFFIXES.iter().find(|suffix| {
        host.strip_suffix(**suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    })?;
    let labels = host[..host.len() - suffix.len() - 1].split('.');
    let labels = labels.filter(|label| !matches!(*label, "dualstack" | "vpce")).collect();
    Some((labels, suffix.starts_with("on.")))
}

/// The labels before the last region, the region, the labels after it. Without a region all stand before it.
fn split_at_region<'a, 'b>(
    labels: &'b [&'a str],
) -> (&'b [&'a str], Option<&'a str>, &'b [&'a str]) {
    match labels.iter().rposition(|label| is_region(label) || PLACELESS.contains(label)) {
        Some(at) => (&labels[..at], Some(labels[at]), &labels[at + 1..]),
        // `s3-us-west-2.amazonaws.com`: S3's old way.
        None => match labels.last().and_then(|last| last.strip_prefix("s3-")) {
            Some(region) if is_region(region) => (&["s3"], Some(region), &[]),
            _ => (labels, None, &[]),
        },
    }
}

/// The signing name behind the labels that end where the region begins.
fn signing_name<'a>(labels: &[&'a str]) -> Option<&'a str> {
    let (last, before) = labels.split_last()?;
    let last = last.strip_suffix("-fips").unwrap_or(last);
    if last.is_empty() || last.starts_with("vpce-") || NOT_SERVICES.contains(&last) {
        return None;
    }
    // A private endpoint may name its parts the other way round: `bedrock-agentcore.gateway`.
    if last == "gateway" && before.last() == Some(&"bedrock-agentcore") {
        return Some("bedrock-agentcore");
    }
    let previous = before.last().map(|label| label.strip_suffix("-fips").unwrap_or(label));
    if let Some((.., name)) = PAIRS.iter().find(|pair| Some(pair.0) == previous && pair.1 == last) {
        return Some(name);
    }
    if last == "iot" && previous.is_some_and(|label| label.ends_with("-ats")) {
        return Some("iotdata");
    }
    if last.starts_with("s3express-") {
        return Some("s3express");
    }
    Some(SIGNING_NAMES.iter().find(|(label, _)| *label == last).map_or(last, |(_, name)| name))
}

fn behind_region(label: &str) -> Option<&'static str> {
    match label {
        "aoss" => Some("aoss"),
        "elb" => Some("elasticloadbalancing"),
        "es" => Some("es"),
        "neptune-graph" => Some("neptune-graph"),
        _ => None,
    }
}

/// Everything but RFC 3986's unreserved characters.
fn percent_encoded(text: &str) -> String {
    percent::encode(text.as_bytes(), b"")
}

/// A partition and the suffix of its endpoints.
const PARTITIONS: [(&str, &str); 8] = [
    ("aws", "amazonaws.com"),
    ("aws-cn", "amazonaws.com.cn"),
    ("aws-eusc", "amazonaws.eu"),
    ("aws-iso", "c2s.ic.gov"),
    ("aws-iso-b", "sc2s.sgov.gov"),
    ("aws-iso-e", "cloud.adc-e.uk"),
    ("aws-iso-f", "csp.hci.ic.gov"),
    ("aws-us-gov", "amazonaws.com"),
];

/// Plain, dual-stack, and the one under which customers' resources stand. No one ends in another.
const SUFFIXES: [&str; 15] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "sc2s.sgov.gov",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "api.aws",
    "api.aws.hci.ic.gov",
    "api.aws.ic.gov",
    "api.aws.scloud",
    "api.cloud-aws.adc-e.uk",
    "on.aws",
];

/// Labels that stand where a region would: `knowledge-mcp.global.api.aws`.
const PLACELESS: [&str; 2] = ["global", "us-gov"];

/// The services whose hosts are under `on.aws`.
const CUSTOMER_SERVICES: [&str; 4] = ["aoss", "es", "lambda", "vpc-lattice-svcs"];

/// Machines and resources of customers, which AWS's signature does not guard.
const NOT_SERVICES: [&str; 4] = ["compute", "compute-1", "rds", "s3-website"];

/// Where the label before the region is not the name AWS signs with.
const SIGNING_NAMES: &[(&str, &str)] = &[
    ("agreement-marketplace", "aws-marketplace"),
    ("aos", "es"),
    ("appconfigdata", "appconfig"),
    ("appstream2", "appstream"),
    ("appsync-api", "appsync"),
    ("appsync-realtime-api", "appsync"),
    ("aps-workspaces", "aps"),
    ("bedrock-agent", "bedrock"),
    ("bedrock-agent-runtime", "bedrock"),
    ("bedrock-agentcore-control", "bedrock-agentcore"),
    ("bedrock-data-automation", "bedrock"),
    ("bedrock-data-automation-runtime", "bedrock"),
    ("bedrock-runtime", "bedrock"),
    ("cassandra-streams", "cassandra"),
    ("catalog-marketplace", "aws-marketplace"),
    ("cloudhsmv2", "cloudhsm"),
    ("contact-lens", "connect"),
    ("control-kinesis", "kinesis"),
    ("data-kinesis", "kinesis"),
    ("data-signer", "signer"),
    ("ddb", "dynamodb"),
    ("deployment-marketplace", "aws-marketplace"),
    ("discovery-marketplace", "aws-marketplace"),
    ("elb", "elasticloadbalancing"),
    ("email", "ses"),
    ("entitlement-marketplace", "aws-marketplace"),
    ("forecastquery", "forecast"),
    ("identity-chime", "chime"),
    ("ivsrealtime", "ivs"),
    ("kafka-api", "kafka"),
    ("lambda-url", "lambda"),
    ("mail-manager", "ses"),
    ("marketplace", "aws-marketplace"),
    ("media-pipelines-chime", "chime"),
    ("meetings-chime", "chime"),
    ("memory-db", "memorydb"),
    ("messaging-chime", "chime"),
    ("metering-marketplace", "aws-marketplace"),
    ("migrationhub-config", "mgh"),
    ("models-v2-lex", "lex"),
    ("mturk-requester-sandbox", "mturk-requester"),
    ("oidc", "sso-oauth"),
    ("personalize-events", "personalize"),
    ("personalize-runtime", "personalize"),
    ("pinpoint", "mobiletargeting"),
    ("reporting-marketplace", "aws-marketplace"),
    ("runtime-v2-lex", "lex"),
    ("s3-accelerate", "s3"),
    ("s3-accesspoint", "s3"),
    ("s3-control", "s3"),
    ("s3-global", "s3"),
    ("servicecatalog-appregistry", "servicecatalog"),
    ("streams-dynamodb", "dynamodb"),
    ("timestream-ingest", "timestream"),
    ("timestream-query", "timestream"),
    ("transcribestreaming", "transcribe"),
    ("voice-chime", "chime"),
];

/// Where it takes two labels to tell, in the order they stand: `maps.geo` signs as `geo-maps`.
const PAIRS: &[(&str, &str, &str)] = &[
    ("data", "iotevents", "ioteventsdata"),
    ("jobs", "iot", "iot-jobs-data"),
    ("maps", "geo", "geo-maps"),
    ("participant", "connect", "execute-api"),
    ("places", "geo", "geo-places"),
    ("portal", "sso", "awsssoportal"),
    ("portal", "sso-fips", "awsssoportal"),
    ("routes", "geo", "geo-routes"),
    ("sms-voice", "pinpoint", "sms-voice"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, service: &str, region: &str) {
        let expected = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let inferred = Inferred { service: expected(service), region: expected(region) };
        assert_eq!(of_host(host), inferred, "{host}");
    }

    #[test]
    fn mcp_servers_of_aws() {
        check("bedrock-agentcore.us-east-1.amazonaws.com", "bedrock-agentcore", "us-east-1");
        check(
            "gw-1.gateway.bedrock-agentcore.eu-west-1.amazonaws.com",
            "bedrock-agentcore",
            "eu-west-1",
        );
        check(
            "x.runtime.bedrock-agentcore.us-west-2.amazonaws.com",
            "bedrock-agentcore",
            "us-west-2",
        );
        check(
            "bedrock-agentcore-control.us-east-1.amazonaws.com",
            "bedrock-agentcore",
            "us-east-1",
        );
        check("aws-mcp.us-east-1.api.aws", "aws-mcp", "us-east-1");
        check("eks-mcp.ap-southeast-2.api.aws", "eks-mcp", "ap-southeast-2");
        check("knowledge-mcp.global.api.aws", "knowledge-mcp", "");
    }

    #[test]
    fn what_customers_put_in_front_of_theirs() {
        check("abc123.execute-api.us-east-1.amazonaws.com", "execute-api", "us-east-1");
        check("abc123-vpce-0a1b.execute-api.us-east-1.amazonaws.com", "execute-api", "us-east-1");
        check("vpce-0a-1b.execute-api.us-east-1.vpce.amazonaws.com", "execute-api", "us-east-1");
        check(
            "vpce-0a-1b-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com",
            "execute-api",
            "us-east-1",
        );
        check("abc.lambda-url.eu-central-1.on.aws", "lambda", "eu-central-1");
        check("svc-0a.7d67968.vpc-lattice-svcs.us-west-2.on.aws", "vpc-lattice-svcs", "us-west-2");
        check("my-alb-1234.us-east-1.elb.amazonaws.com", "elasticloadbalancing", "us-east-1");
        check(
            "dualstack.my-alb-1.us-east-1.elb.amazonaws.com",
            "elasticloadbalancing",
            "us-east-1",
        );
        check("internal-my-alb-1.eu-west-3.elb.amazonaws.com", "elasticloadbalancing", "eu-west-3");
        check("my-nlb-1234.elb.us-east-1.amazonaws.com", "elasticloadbalancing", "us-east-1");
    }

    #[test]
    fn services() {
        check("dynamodb.us-east-1.amazonaws.com", "dynamodb", "us-east-1");
        check("lambda.us-east-1.amazonaws.com", "lambda", "us-east-1");
        check("monitoring.us-east-1.amazonaws.com", "monitoring", "us-east-1");
        check("123456789012.dkr.ecr.us-east-1.amazonaws.com", "ecr", "us-east-1");
        check("bedrock-runtime.us-east-1.amazonaws.com", "bedrock", "us-east-1");
        check("runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker", "us-east-1");
        check("email.us-east-1.amazonaws.com", "ses", "us-east-1");
        check("abc-ats.iot.us-east-1.amazonaws.com", "iotdata", "us-east-1");
        check("data-ats.iot.us-east-1.amazonaws.com", "iotdata", "us-east-1");
        check("data.jobs.iot.us-east-1.amazonaws.com", "iot-jobs-data", "us-east-1");
        check("iot.us-east-1.amazonaws.com", "iot", "us-east-1");
        check("portal.sso.us-east-1.amazonaws.com", "awsssoportal", "us-east-1");
        check("portal.sso-fips.us-east-1.amazonaws.com", "awsssoportal", "us-east-1");
        check("oidc.us-east-1.amazonaws.com", "sso-oauth", "us-east-1");
        check("abc.appsync-api.us-east-1.amazonaws.com", "appsync", "us-east-1");
        check("aps.us-east-1.amazonaws.com", "aps", "us-east-1");
        check("aps-workspaces.us-east-1.amazonaws.com", "aps", "us-east-1");
        check("us-east-1.es.amazonaws.com", "es", "us-east-1");
        check("search-x-abc.us-east-1.es.amazonaws.com", "es", "us-east-1");
        check("es.us-east-1.amazonaws.com", "es", "us-east-1");
        check("search-x.aos.us-east-1.on.aws", "es", "us-east-1");
        check("abc.us-east-1.aoss.amazonaws.com", "aoss", "us-east-1");
        check("sts.amazonaws.com", "sts", "");
    }

    #[test]
    fn buckets() {
        check("s3.us-east-1.amazonaws.com", "s3", "us-east-1");
        check("my.dotted.bucket.s3.us-east-1.amazonaws.com", "s3", "us-east-1");
        check("bucket.s3.dualstack.us-east-1.amazonaws.com", "s3", "us-east-1");
        check("bucket.s3-us-west-2.amazonaws.com", "s3", "us-west-2");
        check("bucket.s3.amazonaws.com", "s3", "");
        check("mrap.accesspoint.s3-global.amazonaws.com", "s3", "");
        check("point-123456789012.s3-accesspoint.us-east-1.amazonaws.com", "s3", "us-east-1");
        check("bucket.vpce-0a.s3.us-east-1.vpce.amazonaws.com", "s3", "us-east-1");
        check(
            "b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com",
            "s3express",
            "us-east-1",
        );
    }

    #[test]
    fn partitions_fips_and_private_endpoints() {
        check("execute-api.cn-north-1.amazonaws.com.cn", "execute-api", "cn-north-1");
        check("abc.execute-api.cn-northwest-1.amazonaws.com.cn", "execute-api", "cn-northwest-1");
        check("abc.execute-api.us-gov-west-1.amazonaws.com", "execute-api", "us-gov-west-1");
        check("abc.execute-api.eusc-de-east-1.amazonaws.eu", "execute-api", "eusc-de-east-1");
        check("sts.us-iso-east-1.c2s.ic.gov", "sts", "us-iso-east-1");
        check("sts.us-isob-east-1.sc2s.sgov.gov", "sts", "us-isob-east-1");
        check("sts.eu-isoe-west-1.cloud.adc-e.uk", "sts", "eu-isoe-west-1");
        check("sts.us-isof-south-1.csp.hci.ic.gov", "sts", "us-isof-south-1");
        check("sts.cn-north-1.api.amazonwebservices.com.cn", "sts", "cn-north-1");
        check("sts.us-iso-east-1.api.aws.ic.gov", "sts", "us-iso-east-1");
        check("execute-api-fips.us-east-1.amazonaws.com", "execute-api", "us-east-1");
        check("bedrock-runtime-fips.us-east-1.amazonaws.com", "bedrock", "us-east-1");
        check("sts-fips.us-east-1.api.aws", "sts", "us-east-1");
        check("vpce-0a.bedrock-runtime.us-east-1.vpce.amazonaws.com", "bedrock", "us-east-1");
        check(
            "vpce-0a.gateway.bedrock-agentcore.us-east-1.vpce.amazonaws.com",
            "bedrock-agentcore",
            "us-east-1",
        );
        check(
            "vpce-0a.bedrock-agentcore.gateway.us-east-1.vpce.amazonaws.com",
            "bedrock-agentcore",
            "us-east-1",
        );
    }

    #[test]
    fn spelling_does_not_matter() {
        check("AWS-MCP.US-East-1.API.AWS", "aws-mcp", "us-east-1");
        check("aws-mcp.us-east-1.api.aws.", "aws-mcp", "us-east-1");
    }

    #[test]
    fn what_is_not_awss_own_says_nothing() {
        let check = |host: &str| assert_eq!(of_host(host), Inferred::default(), "{host}");
        check("mcp.example.com");
        check("execute-api.us-east-1.example.com");
        check("execute-api.us-east-1.amazonaws.com.evil.example");
        check("abc.execute-api.us-east-1.notamazonaws.com");
        check("d111111abcdef8.cloudfront.net");
        check("abc.us-east-1.awsapprunner.com");
        check("localhost");
        check("127.0.0.1");
        check("::1");
        check("");
        check(".");
        check("amazonaws.com");
        check(".amazonaws.com");
        check("us-east-1.amazonaws.com");
        check("abc.lambda-url.custom.on.aws");
        check("my-app.ecs.us-east-1.on.aws");
        check("abc.my-thing.amazonaws.com");
        check("ec2-1-2-3-4.us-west-2.compute.amazonaws.com");
        check("ec2-1-2-3-4.compute-1.amazonaws.com");
        check("db.abc.us-east-1.rds.amazonaws.com");
        check("vpce-0a.vpce-svc-0b.us-east-1.vpce.amazonaws.com");
    }

    #[test]
    fn a_region_is_written_like_one() {
        for region in [
            "us-east-1",
            "ap-northeast-3",
            "us-gov-west-1",
            "eusc-de-east-1",
            "eu-isoe-west-1",
            "mx-central-1",
        ] {
            assert!(is_region(region), "{region}");
        }
        for label in [
            "",
            "us",
            "us-east",
            "us-east-1a",
            "US-EAST-1",
            "my-alb-1234",
            "server-a-1",
            "1-2-3",
            "us--1",
            "a-b-1",
        ] {
            assert!(!is_region(label), "{label}");
        }
    }

    #[test]
    fn a_runtime_arn_becomes_its_url_in_every_partition() {
        let check = |partition: &str, region: &str, suffix: &str| {
            let arn = format!(
                "arn:{partition}:bedrock-agentcore:{region}:123456789012:runtime/my_agent-Ab1"
            );
            let expected = format!(
                "https://bedrock-agentcore.{region}.{suffix}/runtimes/arn%3A{partition}%3Abedrock-agentcore%3A\
                 {region}%3A123456789012%3Aruntime%2Fmy_agent-Ab1/invocations?qualifier=DEFAULT"
            );
            assert_eq!(agentcore_url(&arn, "DEFAULT").unwrap(), expected);
            let arn = arn.replace("runtime/my_agent-Ab1", "gateway/gw-1");
            let expected = format!("https://gw-1.gateway.bedrock-agentcore.{region}.{suffix}/mcp");
            assert_eq!(agentcore_url(&arn, "DEFAULT").unwrap(), expected);
        };
        check("aws", "us-east-1", "amazonaws.com");
        check("aws-us-gov", "us-gov-west-1", "amazonaws.com");
        check("aws-cn", "cn-north-1", "amazonaws.com.cn");
        check("aws-eusc", "eusc-de-east-1", "amazonaws.eu");
        check("aws-iso", "us-iso-east-1", "c2s.ic.gov");
        check("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov");
        check("aws-iso-e", "eu-isoe-west-1", "cloud.adc-e.uk");
        check("aws-iso-f", "us-isof-south-1", "csp.hci.ic.gov");

        let arn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a";
        assert!(agentcore_url(arn, "a b&c").unwrap().ends_with("?qualifier=a%20b%26c"));
    }

    /// T25a: the usual slips of the hand that writes the URL.
    #[test]
    fn the_arn_in_a_url_is_encoded_once() {
        let arn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-1";
        let once = percent_encoded(arn);
        let right = format!("/runtimes/{once}/invocations");
        assert_eq!(mended_runtime_path(&right), None);
        let twice = once.replace('%', "%25");
        for arn in [arn, &once, &twice, &twice.replace('%', "%25"), &once.to_lowercase()] {
            for end in ["/invocations", "", "/", "/invocations/"] {
                let path = format!("/runtimes/{arn}{end}");
                let mended = mended_runtime_path(&path);
                assert!(mended.is_none_or(|mended| mended == right), "{path}");
                assert!(path == right || mended_runtime_path(&path).is_some(), "{path}");
            }
        }
        for other in ["/mcp", "/runtimes/a/invocations", "/runtimes/arn%3Aaws/invocations", "/"] {
            assert_eq!(mended_runtime_path(other), None, "{other}");
        }
    }

    #[test]
    fn other_arns_are_refused_with_a_reason() {
        let check = |arn: &str, expected: &str| {
            let error = agentcore_url(arn, "DEFAULT").unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(expected), "{arn}: {error}");
        };
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:x",
            "an ARN of lambda has no MCP endpoint",
        );
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:x",
            ":bedrock-agentcore:<region>:<account>:runtime/<name>",
        );
        check("arn:aws", "not a complete ARN");
        check("arn:aws-moon:bedrock-agentcore:us-east-1:123456789012:runtime/a", "aws-moon");
        check("arn:aws:bedrock-agentcore::123456789012:runtime/a", "names no region");
        check("arn:aws:bedrock-agentcore:x.evil/:123456789012:runtime/a", "names no region");
        check("arn:aws:bedrock-agentcore:us-east-1:12345:runtime/a", "twelve digits");
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:memory/a",
            "neither a runtime's nor a gateway's: memory/a",
        );
        check("arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/", "neither a runtime's");
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a/runtime-endpoint/b",
            "neither a runtime's",
        );
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a b",
            "neither a runtime's",
        );
    }
}
