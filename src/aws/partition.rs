//! `Partition`: AWS's partitions, the suffixes of their host names and their regions, in one table. Pure.

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
    },
    Partition {
        name: "aws-cn",
        suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
        sign_in_suffix: Some("signin.amazonaws.cn"),
        region_prefix: "cn-",
    },
    Partition {
        name: "aws-eusc",
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
        sign_in_suffix: None,
        region_prefix: "eusc-",
    },
    Partition {
        name: "aws-iso",
        suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
        sign_in_suffix: None,
        region_prefix: "us-iso-",
    },
    Partition {
        name: "aws-iso-b",
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
        sign_in_suffix: None,
        region_prefix: "us-isob-",
    },
    Partition {
        name: "aws-iso-e",
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
        sign_in_suffix: None,
        region_prefix: "eu-isoe-",
    },
    Partition {
        name: "aws-iso-f",
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
        sign_in_suffix: None,
        region_prefix: "us-isof-",
    },
    Partition {
        name: "aws-us-gov",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        sign_in_suffix: Some("signin.amazonaws-us-gov.com"),
        region_prefix: "us-gov-",
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
}
