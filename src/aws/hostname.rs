//! AWS host names: the service's signing name and the region. Pure.
//!
//! Nothing is guessed. A host that is not AWS's own (a custom domain, loopback) has neither, and a label counts as a region
//! only if it is written like one.

use crate::aws::partition::{PARTITIONS, Partition};
use crate::aws::region::{self, looks_like_region};

/// The contents of a host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inferred {
    /// The signing name, which often differs from the first label: `bedrock-runtime` signs as `bedrock`.
    pub service: Option<String>,
    pub region: Option<String>,
    pub reach: Reach,
}

/// Which regions a host serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// One, which the name may omit.
    #[default]
    OneRegion,
    /// All of them: `knowledge-mcp.global.api.aws`. A request may be signed for any region, or not at all.
    AllRegions { default_region: &'static str },
    /// One resource in several regions: only SigV4a signatures are valid in all of them.
    SeveralRegions { default_region: &'static str },
}

impl Reach {
    /// A region of the host's partition, where one is needed although the host names none.
    pub(crate) fn default_region(self) -> Option<&'static str> {
        match self {
            Reach::OneRegion => None,
            Reach::AllRegions { default_region } | Reach::SeveralRegions { default_region } => {
                Some(default_region)
            }
        }
    }
}

/// Reads service and region off `host`, which has no port. Letter case and a trailing dot do not matter.
pub fn of_host(host: &str) -> Inferred {
    let host = normal_form(host);
    let Some(AwsName { partition, suffix, labels }) = AwsName::of_host(&host) else {
        return Inferred::default();
    };
    let (before, region, after) = split_at_region(&labels);
    let service = match (before, region, after) {
        (_, Some(_), [last]) => signing_name_after_region(last),
        (before, Some(_), []) => signing_name(before),
        // `sts.amazonaws.com`, `bucket.s3.amazonaws.com`.
        ([only], None, []) => signing_name(&[only]),
        ([.., last], None, []) if last.starts_with("s3") => signing_name(&[last]),
        _ => None,
    };
    let is_known =
        |service: &&str| suffix != Suffix::Customer || CUSTOMER_SERVICES.contains(service);
    let Some(service) = service.filter(is_known) else { return Inferred::default() };
    let region_of_name = region.filter(|region| !WITHOUT_REGION.contains(region));
    let reach = match before.last().map(|last| without_fips(last)) {
        Some(last) if region_of_name.is_none() && SEVERAL_REGIONS.contains(&last) => {
            Reach::SeveralRegions { default_region: partition.global_region }
        }
        _ if region == Some("global") && suffix == Suffix::DualStack => {
            Reach::AllRegions { default_region: partition.global_region }
        }
        _ => Reach::OneRegion,
    };
    Inferred { service: Some(service.to_owned()), region: region_of_name.map(str::to_owned), reach }
}

/// Whether this is a host of AWS's own services, as their MCP servers have: `aws-mcp.us-east-1.api.aws`.
pub(crate) fn is_dual_stack(host: &str) -> bool {
    let host = normal_form(host);
    AwsName::of_host(&host).is_some_and(|name| name.suffix == Suffix::DualStack)
}

/// A hint for an AWS host that has a zone or a misspelt region in place of the region.
pub(crate) fn region_hint(host: &str) -> Option<String> {
    let host = normal_form(host);
    let AwsName { labels, .. } = AwsName::of_host(&host)?;
    let (_, region, _) = split_at_region(&labels);
    labels.iter().filter(|_| region.is_none()).find_map(|label| region::region_hint(label))
}

/// Whether this is an AWS host with the label, or with its FIPS form.
pub(crate) fn has_label(host: &str, label: &str) -> bool {
    let host = normal_form(host);
    let name = AwsName::of_host(&host);
    name.is_some_and(|name| name.labels.into_iter().any(|found| without_fips(found) == label))
}

fn without_fips(label: &str) -> &str {
    label.strip_suffix("-fips").unwrap_or(label)
}

fn normal_form(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// An AWS host name, taken apart.
struct AwsName<'a> {
    partition: &'static Partition,
    suffix: Suffix,
    /// The labels before the suffix, without those for the kind of endpoint.
    labels: Vec<&'a str>,
}

/// The kind of hosts with a suffix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suffix {
    Classic,
    DualStack,
    /// Customers' resources.
    Customer,
}

impl<'a> AwsName<'a> {
    fn of_host(host: &'a str) -> Option<AwsName<'a>> {
        let suffixes = PARTITIONS.iter().flat_map(|partition| {
            [
                (partition, Suffix::Classic, partition.suffix),
                (partition, Suffix::DualStack, partition.dual_stack_suffix),
                (partition, Suffix::Customer, partition.customer_suffix),
            ]
        });
        let (partition, suffix, labels) =
            suffixes.into_iter().find_map(|(partition, kind, text)| {
                let labels = host.strip_suffix(text)?.strip_suffix('.')?;
                (!labels.is_empty()).then_some((partition, kind, labels))
            })?;
        let labels = labels.split('.').filter(|label| !matches!(*label, "dualstack" | "vpce"));
        Some(AwsName { partition, suffix, labels: labels.collect() })
    }
}

/// The labels before the last region, the region, the labels after it. Without a region all are before it.
fn split_at_region<'a, 'b>(
    labels: &'b [&'a str],
) -> (&'b [&'a str], Option<&'a str>, &'b [&'a str]) {
    let is_region = |label: &&str| looks_like_region(label) || WITHOUT_REGION.contains(label);
    match labels.iter().rposition(is_region) {
        Some(at) => (&labels[..at], Some(labels[at]), &labels[at + 1..]),
        // `s3-us-west-2.amazonaws.com`: S3's old form.
        None => match labels.last().and_then(|last| last.strip_prefix("s3-")) {
            Some(region) if looks_like_region(region) => (&["s3"], Some(region), &[]),
            _ => (labels, None, &[]),
        },
    }
}

/// The signing name of the labels before the region.
fn signing_name<'a>(labels: &[&'a str]) -> Option<&'a str> {
    let (last, before) = labels.split_last()?;
    let last = without_fips(last);
    if last.is_empty() || last.starts_with("vpce-") || UNSIGNED.contains(&last) {
        return None;
    }
    // A private endpoint may reverse the order: `bedrock-agentcore.gateway`.
    if last == "gateway" && before.last() == Some(&"bedrock-agentcore") {
        return Some("bedrock-agentcore");
    }
    let previous = before.last().map(|label| without_fips(label));
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

/// The signing name of the few labels that follow the region: `search-x.us-east-1.es.amazonaws.com`.
fn signing_name_after_region(label: &str) -> Option<&'static str> {
    match label {
        "aoss" => Some("aoss"),
        "elb" => Some("elasticloadbalancing"),
        "es" => Some("es"),
        "neptune-graph" => Some("neptune-graph"),
        _ => None,
    }
}

/// Labels in the place of a region: `knowledge-mcp.global.api.aws`.
const WITHOUT_REGION: [&str; 2] = ["global", "us-gov"];

/// The last labels before the place of a region of hosts that are one resource in several regions, if they name no region:
/// `abc.lambda-web.global.on.aws`, `abc.accesspoint.s3-global.amazonaws.com`.
const SEVERAL_REGIONS: [&str; 3] = ["cloudfront-kvs", "lambda-web", "s3-global"];

/// The services that have hosts under `on.aws` and its likes.
const CUSTOMER_SERVICES: [&str; 4] = ["aoss", "es", "lambda", "vpc-lattice-svcs"];

/// Customers' machines and resources, which take no AWS signature.
const UNSIGNED: [&str; 4] = ["compute", "compute-1", "rds", "s3-website"];

/// Labels before the region that differ from the signing name.
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
    ("cloudfront-kvs", "cloudfront-keyvaluestore"),
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
    ("lambda-web", "lambda"),
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

/// Pairs of labels, in their order, that determine the signing name: `maps.geo` signs as `geo-maps`.
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

    /// Checks rows of host, service and region; `-` is none.
    fn check(rows: &str) {
        for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let [host, service, region] = row.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{row}");
            };
            let expected = |text: &str| (text != "-").then(|| text.to_owned());
            let inferred = of_host(host);
            let expected = (expected(service), expected(region));
            assert_eq!((inferred.service, inferred.region), expected, "{host}");
        }
    }

    #[test]
    fn aws_mcp_servers() {
        check(
            "
            bedrock-agentcore.us-east-1.amazonaws.com bedrock-agentcore us-east-1
            gw-1.gateway.bedrock-agentcore.eu-west-1.amazonaws.com bedrock-agentcore eu-west-1
            x.runtime.bedrock-agentcore.us-west-2.amazonaws.com bedrock-agentcore us-west-2
            bedrock-agentcore-control.us-east-1.amazonaws.com bedrock-agentcore us-east-1
            aws-mcp.us-east-1.api.aws aws-mcp us-east-1
            eks-mcp.ap-southeast-2.api.aws eks-mcp ap-southeast-2
            knowledge-mcp.global.api.aws knowledge-mcp -
            connect.aidevops.eu-central-1.api.aws aidevops eu-central-1
            ",
        );
    }

    /// Each form of a host, in every partition, under every spelling of its name.
    #[test]
    fn hosts_of_every_partition() {
        const ONE: Reach = Reach::OneRegion;
        for partition in &PARTITIONS {
            let Partition { suffix, dual_stack_suffix, customer_suffix, .. } = partition;
            let all = Reach::AllRegions { default_region: partition.global_region };
            let several = Reach::SeveralRegions { default_region: partition.global_region };
            for region in partition.regions {
                for (host, service, of_name, reach) in [
                    (format!("abc.lambda-web.{region}.{customer_suffix}"), "lambda", region, ONE),
                    (
                        format!("abc.g1.lambda-web.{region}.{customer_suffix}"),
                        "lambda",
                        region,
                        ONE,
                    ),
                    (
                        format!("abc.lambda-web-fips.{region}.{customer_suffix}"),
                        "lambda",
                        region,
                        ONE,
                    ),
                    (format!("abc.lambda-web.global.{customer_suffix}"), "lambda", &"", several),
                    (format!("lambda-web.{region}.{dual_stack_suffix}"), "lambda", region, ONE),
                    (format!("abc.lambda-url.{region}.{customer_suffix}"), "lambda", region, ONE),
                    (
                        format!("a.7d6.vpc-lattice-svcs.{region}.{customer_suffix}"),
                        "vpc-lattice-svcs",
                        region,
                        ONE,
                    ),
                    (format!("aws-mcp.{region}.{dual_stack_suffix}"), "aws-mcp", region, ONE),
                    (
                        format!("connect.aidevops.{region}.{dual_stack_suffix}"),
                        "aidevops",
                        region,
                        ONE,
                    ),
                    (format!("docs-mcp.global.{dual_stack_suffix}"), "docs-mcp", &"", all),
                    (format!("abc.execute-api.{region}.{suffix}"), "execute-api", region, ONE),
                    (
                        format!("gw.gateway.bedrock-agentcore.{region}.{suffix}"),
                        "bedrock-agentcore",
                        region,
                        ONE,
                    ),
                ] {
                    // Two partitions share their suffixes; of hosts without a region the first one's counts.
                    if region.starts_with("us-gov-") && of_name.is_empty() {
                        continue;
                    }
                    for host in [host.clone(), format!("{host}."), host.to_ascii_uppercase()] {
                        let inferred = of_host(&host);
                        assert_eq!(inferred.service.as_deref(), Some(service), "{host}");
                        assert_eq!(inferred.region.as_deref().unwrap_or(""), *of_name, "{host}");
                        assert_eq!(inferred.reach, reach, "{host}");
                    }
                }
            }
        }
    }

    #[test]
    fn hosts_that_serve_more_than_one_region() {
        let several = Reach::SeveralRegions { default_region: "us-east-1" };
        for (host, reach) in [
            ("knowledge-mcp.global.api.aws", Reach::AllRegions { default_region: "us-east-1" }),
            ("abc.accesspoint.s3-global.amazonaws.com", several),
            ("123456789012.cloudfront-kvs.global.api.aws", several),
            ("sts.amazonaws.com", Reach::OneRegion),
            ("bucket.s3.amazonaws.com", Reach::OneRegion),
            ("iam.us-gov.amazonaws.com", Reach::OneRegion),
            ("abc.lambda-web-fips.global.on.aws", several),
            ("abc.lambda-url.global.on.aws", Reach::OneRegion),
            ("abc.global.on.aws", Reach::OneRegion),
            ("global.api.aws", Reach::OneRegion),
            ("x.global.example.com", Reach::OneRegion),
        ] {
            assert_eq!(of_host(host).reach, reach, "{host}");
        }
    }

    #[test]
    fn hosts_of_customers() {
        check(
            "
            abc123.execute-api.us-east-1.amazonaws.com execute-api us-east-1
            abc123-vpce-0a1b.execute-api.us-east-1.amazonaws.com execute-api us-east-1
            vpce-0a-1b.execute-api.us-east-1.vpce.amazonaws.com execute-api us-east-1
            vpce-0a-1b-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com execute-api us-east-1
            abc.lambda-url.eu-central-1.on.aws lambda eu-central-1
            svc-0a.7d67968.vpc-lattice-svcs.us-west-2.on.aws vpc-lattice-svcs us-west-2
            my-alb-1234.us-east-1.elb.amazonaws.com elasticloadbalancing us-east-1
            dualstack.my-alb-1.us-east-1.elb.amazonaws.com elasticloadbalancing us-east-1
            internal-my-alb-1.eu-west-3.elb.amazonaws.com elasticloadbalancing eu-west-3
            my-nlb-1234.elb.us-east-1.amazonaws.com elasticloadbalancing us-east-1
            ",
        );
    }

    #[test]
    fn services() {
        check(
            "
            dynamodb.us-east-1.amazonaws.com dynamodb us-east-1
            lambda.us-east-1.amazonaws.com lambda us-east-1
            monitoring.us-east-1.amazonaws.com monitoring us-east-1
            123456789012.dkr.ecr.us-east-1.amazonaws.com ecr us-east-1
            bedrock-runtime.us-east-1.amazonaws.com bedrock us-east-1
            runtime.sagemaker.us-east-1.amazonaws.com sagemaker us-east-1
            email.us-east-1.amazonaws.com ses us-east-1
            abc-ats.iot.us-east-1.amazonaws.com iotdata us-east-1
            data-ats.iot.us-east-1.amazonaws.com iotdata us-east-1
            data.jobs.iot.us-east-1.amazonaws.com iot-jobs-data us-east-1
            iot.us-east-1.amazonaws.com iot us-east-1
            portal.sso.us-east-1.amazonaws.com awsssoportal us-east-1
            portal.sso-fips.us-east-1.amazonaws.com awsssoportal us-east-1
            oidc.us-east-1.amazonaws.com sso-oauth us-east-1
            abc.appsync-api.us-east-1.amazonaws.com appsync us-east-1
            aps.us-east-1.amazonaws.com aps us-east-1
            aps-workspaces.us-east-1.amazonaws.com aps us-east-1
            us-east-1.es.amazonaws.com es us-east-1
            search-x-abc.us-east-1.es.amazonaws.com es us-east-1
            es.us-east-1.amazonaws.com es us-east-1
            search-x.aos.us-east-1.on.aws es us-east-1
            abc.us-east-1.aoss.amazonaws.com aoss us-east-1
            sts.amazonaws.com sts -
            ",
        );
    }

    #[test]
    fn buckets() {
        check(
            "
            s3.us-east-1.amazonaws.com s3 us-east-1
            my.dotted.bucket.s3.us-east-1.amazonaws.com s3 us-east-1
            bucket.s3.dualstack.us-east-1.amazonaws.com s3 us-east-1
            bucket.s3-us-west-2.amazonaws.com s3 us-west-2
            bucket.s3.amazonaws.com s3 -
            mrap.accesspoint.s3-global.amazonaws.com s3 -
            point-123456789012.s3-accesspoint.us-east-1.amazonaws.com s3 us-east-1
            bucket.vpce-0a.s3.us-east-1.vpce.amazonaws.com s3 us-east-1
            b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com s3express us-east-1
            ",
        );
    }

    #[test]
    fn partitions_fips_and_private_endpoints() {
        check(
            "
            execute-api.cn-north-1.amazonaws.com.cn execute-api cn-north-1
            abc.execute-api.cn-northwest-1.amazonaws.com.cn execute-api cn-northwest-1
            abc.execute-api.us-gov-west-1.amazonaws.com execute-api us-gov-west-1
            abc.execute-api.eusc-de-east-1.amazonaws.eu execute-api eusc-de-east-1
            sts.us-iso-east-1.c2s.ic.gov sts us-iso-east-1
            sts.us-isob-east-1.sc2s.sgov.gov sts us-isob-east-1
            sts.eu-isoe-west-1.cloud.adc-e.uk sts eu-isoe-west-1
            sts.us-isof-south-1.csp.hci.ic.gov sts us-isof-south-1
            sts.cn-north-1.api.amazonwebservices.com.cn sts cn-north-1
            sts.us-iso-east-1.api.aws.ic.gov sts us-iso-east-1
            execute-api-fips.us-east-1.amazonaws.com execute-api us-east-1
            bedrock-runtime-fips.us-east-1.amazonaws.com bedrock us-east-1
            sts-fips.us-east-1.api.aws sts us-east-1
            vpce-0a.bedrock-runtime.us-east-1.vpce.amazonaws.com bedrock us-east-1
            vpce-0a.gateway.bedrock-agentcore.us-east-1.vpce.amazonaws.com bedrock-agentcore us-east-1
            vpce-0a.bedrock-agentcore.gateway.us-east-1.vpce.amazonaws.com bedrock-agentcore us-east-1
            ",
        );
    }

    #[test]
    fn case_and_a_trailing_dot_do_not_matter() {
        check(
            "
            AWS-MCP.US-East-1.API.AWS aws-mcp us-east-1
            aws-mcp.us-east-1.api.aws. aws-mcp us-east-1
            ",
        );
    }

    #[test]
    fn other_hosts_say_nothing() {
        for host in [
            "mcp.example.com",
            "execute-api.us-east-1.example.com",
            "execute-api.us-east-1.amazonaws.com.evil.example",
            "abc.execute-api.us-east-1.notamazonaws.com",
            "d111111abcdef8.cloudfront.net",
            "abc.us-east-1.awsapprunner.com",
            "localhost",
            "127.0.0.1",
            "::1",
            "",
            ".",
            "amazonaws.com",
            ".amazonaws.com",
            "us-east-1.amazonaws.com",
            "abc.lambda-url.custom.on.aws",
            "my-app.ecs.us-east-1.on.aws",
            "abc.my-thing.amazonaws.com",
            "ec2-1-2-3-4.us-west-2.compute.amazonaws.com",
            "ec2-1-2-3-4.compute-1.amazonaws.com",
            "db.abc.us-east-1.rds.amazonaws.com",
            "vpce-0a.vpce-svc-0b.us-east-1.vpce.amazonaws.com",
        ] {
            assert_eq!(of_host(host), Inferred::default(), "{host}");
        }
    }

    #[test]
    fn a_misspelt_region_is_suggested_another() {
        let hint = |host| region_hint(host).unwrap_or_default();
        assert!(hint("bedrock-agentcore.us-east-1a.amazonaws.com").ends_with("us-east-1?"));
        assert!(hint("aws-mcp.useast1.api.aws").ends_with("us-east-1?"));
        for host in [
            "bedrock-agentcore.us-east-1.amazonaws.com",
            "vpce-0a-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com",
            "us-east1.s3.us-west-2.amazonaws.com",
            "knowledge-mcp.global.api.aws",
            "sts.amazonaws.com",
            "mcp.us-east1.example.com",
        ] {
            assert_eq!(hint(host), "", "{host}");
        }
    }
}
