//! `Partition`: AWS's partitions, the suffixes of their host names and their regions, in one table. Pure.

use crate::suggest::nearest;

/// A partition of AWS. Its host names are `SERVICE.REGION.SUFFIX`.
#[derive(Debug)]
pub(crate) struct Partition {
    /// As ARNs have it.
    pub(crate) name: &'static str,
    pub(crate) suffix: &'static str,
    pub(crate) dual_stack_suffix: &'static str,
    /// The suffix of sign-in's hosts, if it differs.
    pub(crate) sign_in_suffix: Option<&'static str>,
    /// How its regions begin. Empty for the commercial partition, which has all other regions, also future ones.
    region_prefix: &'static str,
    /// The regions that were known when this was written: for suggestions only, since AWS adds others.
    regions: &'static [&'static str],
}

/// The suffix of the hosts of customers' resources.
pub(crate) const CUSTOMER_SUFFIX: &str = "on.aws";

/// No suffix ends in another.
pub(crate) static PARTITIONS: [Partition; 8] = [
    Partition {
        name: "aws",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        sign_in_suffix: Some("signin.aws.amazon.com"),
        region_prefix: "",
        regions: &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    },
    Partition {
        name: "aws-cn",
        suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
        sign_in_suffix: Some("signin.amazonaws.cn"),
        region_prefix: "cn-",
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        name: "aws-eusc",
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
        sign_in_suffix: None,
        region_prefix: "eusc-",
        regions: &["eusc-de-east-1"],
    },
    Partition {
        name: "aws-iso",
        suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
        sign_in_suffix: None,
        region_prefix: "us-iso-",
        regions: &["us-iso-east-1", "us-iso-west-1"],
    },
    Partition {
        name: "aws-iso-b",
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
        sign_in_suffix: None,
        region_prefix: "us-isob-",
        regions: &["us-isob-east-1", "us-isob-west-1"],
    },
    Partition {
        name: "aws-iso-e",
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
        sign_in_suffix: None,
        region_prefix: "eu-isoe-",
        regions: &["eu-isoe-west-1"],
    },
    Partition {
        name: "aws-iso-f",
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
        sign_in_suffix: None,
        region_prefix: "us-isof-",
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
    Partition {
        name: "aws-us-gov",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        sign_in_suffix: Some("signin.amazonaws-us-gov.com"),
        region_prefix: "us-gov-",
        regions: &["us-gov-east-1", "us-gov-west-1"],
    },
];

impl Partition {
    /// The partition that ARNs name so.
    pub(crate) fn named(name: &str) -> Option<&'static Partition> {
        PARTITIONS.iter().find(|partition| partition.name == name)
    }

    /// The partition of a region.
    pub(crate) fn of_region(region: &str) -> &'static Partition {
        let has_prefix = |partition: &&Partition| {
            !partition.region_prefix.is_empty() && region.starts_with(partition.region_prefix)
        };
        PARTITIONS.iter().find(has_prefix).unwrap_or(&PARTITIONS[0])
    }
}

/// Whether a label of a host name is written like a region of AWS: `us-east-1`, `eusc-de-east-1`, `us-isob-east-1`.
pub(crate) fn looks_like_region(label: &str) -> bool {
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

/// Whether a text can stand in a host name as a region must, however AWS or another service writes its regions: a label of
/// letters, digits and `-` that is not a number.
pub(crate) fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a text was probably meant to be that is not a region of AWS, as a sentence. `None` for regions, for unknown ones
/// that are named as AWS names regions, and for names that resemble none.
pub(crate) fn region_hint(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_ ".contains(&byte);
    if text.len() > 40 || !text.bytes().all(is_plain) || regions().any(|region| region == text) {
        return None;
    }
    let did_you_mean =
        |region: &str| Some(format!("{text} is not an AWS region; did you mean {region}?"));
    let written = text.to_ascii_lowercase().replace(['_', ' '], "-");
    let squeezed = |text: &str| text.replace('-', "");
    if let Some(region) = regions().find(|region| squeezed(region) == squeezed(&written)) {
        return did_you_mean(region);
    }
    if is_named_like_region(text) {
        return None;
    }
    match region_of_zone(&written) {
        Some(region) => {
            Some(format!("{text} is an availability zone; did you mean its region {region}?"))
        }
        None => did_you_mean(nearest(&written, regions())?),
    }
}

fn regions() -> impl Iterator<Item = &'static str> {
    PARTITIONS.iter().flat_map(|partition| partition.regions).copied()
}

/// Whether a text is made of the words of known regions and of a number, so that it may be a newer region.
fn is_named_like_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_number = matches!(number.as_bytes(), [b'1'..=b'9']);
    let (first, rest) = words.split_once('-').unwrap_or((words, ""));
    let is_first = regions().any(|region| region.split('-').next() == Some(first));
    let is_word = |word| regions().any(|region| region.split('-').skip(1).any(|w| w == word));
    looks_like_region(text) && is_number && is_first && rest.split('-').all(is_word)
}

/// The region of an availability zone (`us-east-1a`), a local zone (`us-west-2-lax-1a`) or the id of a zone (`use1-az4`).
fn region_of_zone(text: &str) -> Option<String> {
    if let Some((code, _)) = text.split_once("-az") {
        return regions().find(|region| zone_code(region) == code).map(str::to_owned);
    }
    let zone = text.strip_suffix(|last: char| last.is_ascii_lowercase())?;
    let parts: Vec<&str> = zone.split('-').collect();
    let starts = (3..=parts.len().min(4)).map(|count| parts[..count].join("-"));
    starts.into_iter().find(|start| is_named_like_region(start))
}

/// The beginning of the ids of a region's zones: `use1` for `us-east-1`, `apne2` for `ap-northeast-2`.
fn zone_code(region: &str) -> String {
    let mut parts = region.split('-');
    let first = parts.next().unwrap_or_default();
    let short = parts.map(|part| match part {
        "northeast" => "ne",
        "northwest" => "nw",
        "southeast" => "se",
        other => &other[..1],
    });
    std::iter::once(first).chain(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_writes_regions_so() {
        for region in [
            "us-east-1",
            "ap-northeast-3",
            "us-gov-west-1",
            "eusc-de-east-1",
            "eu-isoe-west-1",
            "mx-central-1",
        ] {
            assert!(looks_like_region(region) && is_host_label(region), "{region}");
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
            assert!(!looks_like_region(label), "{label}");
        }
    }

    #[test]
    fn any_host_label_can_be_a_region() {
        for good in ["us-east-1", "a", "x1", "aws-global"] {
            assert!(is_host_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "1", "a.b", "us-east-1/", "*", "a,b", &"a".repeat(64)] {
            assert!(!is_host_label(bad), "{bad}");
        }
    }

    #[test]
    fn a_region_is_of_one_partition() {
        for (region, name) in [
            ("us-east-1", "aws"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("xx-new-9", "aws"),
        ] {
            assert_eq!(Partition::of_region(region).name, name, "{region}");
            assert_eq!(Partition::named(name).map(|found| found.name), Some(name));
        }
        assert!(Partition::named("aws-moon").is_none());
    }

    #[test]
    fn regions_and_names_like_theirs_are_not_doubted() {
        let known = regions().inspect(|region| assert!(looks_like_region(region), "{region}"));
        for text in known.chain(["us-east-9", "eu-east-1", "sa-gov-west-2", "local", "auto", "*"]) {
            assert_eq!(region_hint(text), None, "{text}");
        }
        for text in ["", "a", "region-with-1-more", "aws-global", "\u{e9}u-west-1", "us-east-1\n"] {
            assert_eq!(region_hint(text), None, "{text}");
        }
    }

    #[test]
    fn zones_and_misspelt_regions_are_suggested_a_region() {
        for (text, region) in [
            ("us-east-1a", "us-east-1"),
            ("ap-southeast-9c", "ap-southeast-9"),
            ("us-gov-west-1b", "us-gov-west-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("use1-az4", "us-east-1"),
            ("apne2-az1", "ap-northeast-2"),
            ("usgw1-az1", "us-gov-west-1"),
            ("us-east1", "us-east-1"),
            ("useast1", "us-east-1"),
            ("us_east_1", "us-east-1"),
            ("US-EAST-1", "us-east-1"),
            ("EU West 2", "eu-west-2"),
            ("us-east-01", "us-east-1"),
            ("us-east-l", "us-east-1"),
            ("us-eats-1", "us-east-1"),
            ("eu-cental-1", "eu-central-1"),
            ("ap-south-east-2", "ap-southeast-2"),
            ("eu-frankfurt-1", ""),
            ("us-east", "us-east-1"),
        ] {
            let hint = region_hint(text).unwrap_or_default();
            assert!(hint.contains(region), "{text}: {hint}");
            assert_eq!(hint.is_empty(), region.is_empty(), "{text}: {hint}");
        }
    }
}
