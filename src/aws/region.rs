//! Names of regions: as AWS writes them, as host names allow them, and as they are misspelt. Pure.

use crate::aws::partition::regions;
use crate::suggest::nearest;

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

/// Whether a text can be the region in a host name of AWS or another service: a label of letters, digits and `-` that is not
/// a number.
pub(crate) fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first region that a region set of SigV4a names: `eu-west-1,us-east-1`; none of `*`. Any other text is returned as it is.
pub(crate) fn first_of_set(text: &str) -> Option<&str> {
    if !text.contains([',', '*']) {
        return Some(text);
    }
    text.split(',').map(str::trim).find(|region| is_host_label(region))
}

/// The region that was probably meant by a text, as a sentence; `None` if the text is a region or resembles none.
pub(crate) fn region_hint(text: &str) -> Option<String> {
    let region = meant_region(text)?;
    Some(match region_of_zone(text) {
        Some(_) => format!("{text} is an availability zone; did you mean its region {region}?"),
        None => format!("{text} is not an AWS region; did you mean {region}?"),
    })
}

/// The region that was probably meant by a text that is not a region of AWS. `None` for regions, for names that a future
/// region may have, and for texts that resemble no region.
pub(crate) fn meant_region(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_ ".contains(&byte);
    if text.len() > 40 || !text.bytes().all(is_plain) || regions().any(|region| region == text) {
        return None;
    }
    let written = text.to_ascii_lowercase().replace(['_', ' '], "-");
    let without_hyphens = |text: &str| text.replace('-', "");
    let same = regions().find(|region| without_hyphens(region) == without_hyphens(&written));
    if same.is_none() && is_named_like_region(text) {
        return None;
    }
    let zone = || region_of_zone(&written);
    same.map(str::to_owned)
        .or_else(zone)
        .or_else(|| nearest(&written, regions()).map(str::to_owned))
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
    fn first_regions_of_sets() {
        for (text, expected) in [
            ("us-east-1", Some("us-east-1")),
            ("us_east", Some("us_east")),
            ("eu-west-1,us-east-1", Some("eu-west-1")),
            ("*, us-east-1", Some("us-east-1")),
            ("eu-*,*", None),
            ("*", None),
            (",", None),
        ] {
            assert_eq!(first_of_set(text), expected, "{text}");
        }
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
