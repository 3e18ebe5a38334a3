//! Warnings about settings that can be used and were probably not meant as they are.

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

/// Whether a region set includes the region. An entry that ends in `*` stands for all regions that begin so.
fn includes(set: &str, region: &str) -> bool {
    set.split(',').map(str::trim).any(|entry| match entry.split_once('*') {
        Some((prefix, _)) => region.starts_with(prefix),
        None => entry == region,
    })
}
