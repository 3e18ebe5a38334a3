//! ARNs of Bedrock `AgentCore`, and the URLs of the MCP servers that they name. Pure.

use crate::aws::partition::Partition;
use crate::aws::region::{looks_like_region, meant_region};
use crate::error::{Error, Kind};
use crate::percent;

/// The URL of a runtime or gateway.
///
/// # Errors
/// `Kind::Usage`: it is not the ARN of either.
pub(crate) fn url(arn: &str, qualifier: &str) -> Result<String, Error> {
    let refuse = |what: String| {
        Err(Error::new(Kind::Usage, what).hint(
            "write arn:<partition>:bedrock-agentcore:<region>:<account>:runtime/<name>, or \
             gateway/<id>; for any other target, use its URL",
        ))
    };
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = fields[..] else {
        return refuse("incomplete ARN".to_owned());
    };
    let Some(Partition { suffix, .. }) = Partition::named(partition) else {
        return refuse(format!("unknown partition in the ARN: {partition}"));
    };
    if service != "bedrock-agentcore" {
        return refuse(format!("ARNs of {service} have no MCP endpoint"));
    }
    if !looks_like_region(region) {
        let refused = refuse(format!("invalid region in the ARN: {region}"));
        return refused.map_err(|error| match meant_region(region) {
            Some(meant) => error.hint(format!("did you mean {meant}?")),
            None => error,
        });
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("invalid account in the ARN: must have 12 digits".to_owned());
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
        return refuse(format!("not the ARN of a runtime or a gateway: {resource}"));
    }
    Ok(format!(
        "https://bedrock-agentcore.{region}.{suffix}/runtimes/{}/invocations?qualifier={}",
        percent_encoded(arn),
        percent_encoded(qualifier)
    ))
}

/// The corrected path of a runtime's URL in which the ARN is not percent-encoded exactly once.
pub(crate) fn corrected_runtime_path(path: &str) -> Option<String> {
    let typed = path.strip_prefix("/runtimes/")?;
    let typed = typed.strip_suffix('/').unwrap_or(typed);
    let typed = typed.strip_suffix("/invocations").unwrap_or(typed);
    let mut arn = typed.to_owned();
    // Twice is common, more often is not.
    for _ in 0..3 {
        arn = String::from_utf8(percent::decode(&arn)).ok()?;
    }
    url(&arn, "").ok()?;
    let right = format!("/runtimes/{}/invocations", percent_encoded(&arn));
    (right != path).then_some(right)
}

/// The region of the ARN in the path of a runtime's URL.
pub(crate) fn region_in_path(path: &str) -> Option<String> {
    let arn = String::from_utf8(percent::decode(path.strip_prefix("/runtimes/arn")?)).ok()?;
    arn.split(':').nth(3).map(str::to_owned)
}

/// Encodes all but RFC 3986's unreserved characters.
fn percent_encoded(text: &str) -> String {
    percent::encode(text.as_bytes(), b"")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(url(&arn, "DEFAULT").unwrap(), expected);
            let arn = arn.replace("runtime/my_agent-Ab1", "gateway/gw-1");
            let expected = format!("https://gw-1.gateway.bedrock-agentcore.{region}.{suffix}/mcp");
            assert_eq!(url(&arn, "DEFAULT").unwrap(), expected);
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
        assert!(url(arn, "a b&c").unwrap().ends_with("?qualifier=a%20b%26c"));
    }

    #[test]
    fn the_arn_in_a_url_is_encoded_once() {
        let arn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-1";
        let once = percent_encoded(arn);
        let right = format!("/runtimes/{once}/invocations");
        assert_eq!(corrected_runtime_path(&right), None);
        let twice = once.replace('%', "%25");
        for arn in [arn, &once, &twice, &twice.replace('%', "%25"), &once.to_lowercase()] {
            for end in ["/invocations", "", "/", "/invocations/"] {
                let path = format!("/runtimes/{arn}{end}");
                let corrected = corrected_runtime_path(&path);
                assert!(corrected.is_none_or(|corrected| corrected == right), "{path}");
                assert!(path == right || corrected_runtime_path(&path).is_some(), "{path}");
            }
        }
        for other in ["/mcp", "/runtimes/a/invocations", "/runtimes/arn%3Aaws/invocations", "/"] {
            assert_eq!(corrected_runtime_path(other), None, "{other}");
        }
    }

    #[test]
    fn other_arns_are_refused_with_a_reason() {
        let check = |arn: &str, expected: &str| {
            let error = url(arn, "DEFAULT").unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(expected), "{arn}: {error}");
        };
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:x",
            "ARNs of lambda have no MCP endpoint",
        );
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:x",
            ":bedrock-agentcore:<region>:<account>:runtime/<name>",
        );
        check("arn:aws", "incomplete ARN");
        check("arn:aws-moon:bedrock-agentcore:us-east-1:123456789012:runtime/a", "aws-moon");
        check("arn:aws:bedrock-agentcore::123456789012:runtime/a", "invalid region");
        check("arn:aws:bedrock-agentcore:x.evil/:123456789012:runtime/a", "invalid region");
        check("arn:aws:bedrock-agentcore:us-east-1a:1:runtime/a", "did you mean us-east-1?");
        check("arn:aws:bedrock-agentcore:us-east-1:12345:runtime/a", "12 digits");
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:memory/a",
            "not the ARN of a runtime or a gateway: memory/a",
        );
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/",
            "not the ARN of a runtime or a gateway",
        );
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a/runtime-endpoint/b",
            "not the ARN of a runtime or a gateway",
        );
        check(
            "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a b",
            "not the ARN of a runtime or a gateway",
        );
    }
}
