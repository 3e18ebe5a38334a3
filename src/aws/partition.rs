//! `Partition`: AWS's partitions, the suffixes of their host names and their regions, in one table. Pure.

/// A partition of AWS. Its host names are `SERVICE.REGION.SUFFIX`.
#[derive(Debug)]
pub(crate) struct Partition {
    /// As ARNs have it.
    pub(crate) name: &'static str,
    pub(crate) suffix: &'static str,
    pub(crate) dual_stack_suffix: &'static str,
    /// The suffix of the hosts of customers' resources.
    pub(crate) customer_suffix: &'static str,
    /// The region to sign for at hosts that serve all regions.
    pub(crate) global_region: &'static str,
    /// The suffix of sign-in's hosts, which have only the region before it.
    pub(crate) sign_in_suffix: &'static str,
    /// How its regions begin. Empty for the commercial partition, which has all other regions, also future ones.
    region_prefix: &'static str,
    /// The regions that were known when this was written: for suggestions only, since AWS adds others.
    pub(crate) regions: &'static [&'static str],
}

/// No suffix ends in another.
pub(crate) static PARTITIONS: [Partition; 8] = [
    Partition {
        name: "aws",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        customer_suffix: "on.aws",
        global_region: "us-east-1",
        sign_in_suffix: "signin.aws.amazon.com",
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
        customer_suffix: "on.amazonwebservices.com.cn",
        global_region: "cn-northwest-1",
        sign_in_suffix: "signin.amazonaws.cn",
        region_prefix: "cn-",
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        name: "aws-eusc",
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
        customer_suffix: "on.amazonwebservices.eu",
        global_region: "eusc-de-east-1",
        sign_in_suffix: "signin.amazonaws-eusc.eu",
        region_prefix: "eusc-",
        regions: &["eusc-de-east-1"],
    },
    Partition {
        name: "aws-iso",
        suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
        customer_suffix: "on.aws.ic.gov",
        global_region: "us-iso-east-1",
        sign_in_suffix: "signin.c2shome.ic.gov",
        region_prefix: "us-iso-",
        regions: &["us-iso-east-1", "us-iso-west-1"],
    },
    Partition {
        name: "aws-iso-b",
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
        customer_suffix: "on.aws.scloud",
        global_region: "us-isob-east-1",
        sign_in_suffix: "signin.sc2shome.sgov.gov",
        region_prefix: "us-isob-",
        regions: &["us-isob-east-1", "us-isob-west-1"],
    },
    Partition {
        name: "aws-iso-e",
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
        customer_suffix: "on.cloud-aws.adc-e.uk",
        global_region: "eu-isoe-west-1",
        sign_in_suffix: "signin.csphome.adc-e.uk",
        region_prefix: "eu-isoe-",
        regions: &["eu-isoe-west-1"],
    },
    Partition {
        name: "aws-iso-f",
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
        customer_suffix: "on.aws.hci.ic.gov",
        global_region: "us-isof-south-1",
        sign_in_suffix: "signin.csphome.hci.ic.gov",
        region_prefix: "us-isof-",
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
    Partition {
        name: "aws-us-gov",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        customer_suffix: "on.aws",
        global_region: "us-gov-west-1",
        sign_in_suffix: "signin.amazonaws-us-gov.com",
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

/// The regions of all partitions that are known.
pub(crate) fn regions() -> impl Iterator<Item = &'static str> {
    PARTITIONS.iter().flat_map(|partition| partition.regions).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

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
