//! Warnings about settings that can be used and were probably not meant as they are.

use crate::aws::agentcore;
use crate::aws::region::region_hint;
use crate::cli::parsed_args::{ParsedArgs, Value};
use crate::cli::row::Key;
use crate::cli::table::TABLE;
use crate::suggest::flaw_of_option;

/// What is wrong with the values of an option, as words that follow its name. Variables in headers are not placeholders
/// (`headers` replaces them).
pub(crate) fn flaw_of(args: &ParsedArgs<'_>, key: Key) -> Option<(String, &'static str)> {
    if matches!(key, Key::Header | Key::Headers) {
        return None;
    }
    let variable = args.variable(key).filter(|_| args.flag(key).is_none());
    let mut values = args.flags(key).cloned().chain(variable);
    values.find_map(|Value { text, from }| Some((from, flaw_of_option(&text)?)))
}

/// Warnings about placeholders that were not replaced, quotes that were not removed, and backslashes that JSON took. Values are
/// not shown: some are secret.
pub(crate) fn of_values(args: &ParsedArgs<'_>) -> Vec<String> {
    let flaws = TABLE.iter().filter_map(|row| flaw_of(args, row.key));
    flaws.map(|(from, flaw)| format!("{from} {flaw}")).collect()
}

/// Warnings about availability zones and misspelt regions, each text once.
pub(crate) fn of_regions<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut warnings = Vec::new();
    for Value { text, from } in values {
        for region in text.split(',').map(str::trim) {
            if !seen.contains(&region) {
                seen.push(region);
                warnings.extend(region_hint(region).map(|hint| format!("{from}: {hint}")));
            }
        }
    }
    warnings
}

/// A warning if another region is signed for than the one that the host names. `named_by`: what names the host.
pub(crate) fn of_host(used: &Value, of_host: &str, named_by: &str) -> Option<String> {
    let Value { text, from } = used;
    (!includes(text, of_host)).then(|| format!("{from} {text} is used; {named_by} names {of_host}"))
}

/// A warning if a host of one region gets the ARN of a runtime in another, which it does not know.
pub(crate) fn of_arn(path: &str, of_host: &str, named_by: &str) -> Option<String> {
    let of_arn = agentcore::region_in_path(path).filter(|region| region != of_host)?;
    Some(format!(
        "{named_by} names {of_host}, the ARN in the URL {of_arn}: use the host of that region"
    ))
}

/// Warnings about values of `--metadata` that seem to hold another entry, as in `A=1,B=2`. Values are not shown.
pub(crate) fn of_metadata(metadata: &[(String, String)]) -> impl Iterator<Item = String> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let holds_entry = move |value: &str| {
        let mut parts = value.split(',').skip(1).filter_map(|part| part.split_once('='));
        parts.any(|(name, _)| is_name(name.trim()))
    };
    metadata.iter().filter(move |(_, value)| holds_entry(value)).map(|(name, _)| {
        format!("the value of --metadata {name} contains what may be another entry: separate entries with spaces, not commas")
    })
}

/// Whether a region set includes the region. An entry that ends in `*` stands for all regions that begin so.
fn includes(set: &str, region: &str) -> bool {
    set.split(',').map(str::trim).any(|entry| match entry.split_once('*') {
        Some((prefix, _)) => region.starts_with(prefix),
        None => entry == region,
    })
}
