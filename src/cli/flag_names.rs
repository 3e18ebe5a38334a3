//! The names of flags: as they are written, abbreviated, misspelled, and those (with variables) of other proxies that mean
//! nothing here.

use crate::cli::problem::usage_error;
use crate::cli::row::{Arity, Row};
use crate::cli::table::TABLE;
use crate::error::Error;
use crate::suggest::nearest;

/// Flags of other proxies that have no equivalent, and whether a value follows. They are accepted so that users can switch by
/// changing only the command.
const OF_OTHERS: [(&str, bool); 3] =
    [("allow-empty-tools", false), ("protocol-version", true), ("retry-empty-response", false)];

/// Variables of other proxies that have no equivalent. They are ignored.
pub(crate) const VARIABLES_OF_OTHERS: [&str; 4] =
    ["MCP_SIGN_TIMEOUT", "MCP_WARM_RETRIES", "MCP_WARM_RETRY_DELAY", "MCP_WARM_TIMEOUT"];

/// Flags of other proxies that serve HTTP clients. Parts of longer names do not stand for them.
const OF_LISTENERS: [&str; 3] = ["host", "http", "path"];

const HEADER: &str = "write --header \"NAME: VALUE\"";

/// Flags of mcp-remote, the AWS CLI, curl and others that do not exist here, and what to do instead. Names are separated by
/// spaces. One that is a part of a longer name, between hyphens, stands for that as well.
const OF_OTHER_PROGRAMS: [(&str, &str); 14] = [
    (
        "insecure k strict-ssl unauthorized verify",
        "omit it: certificates are always verified; --ca-bundle FILE adds an authority",
    ),
    ("proxy", "omit it: HTTPS_PROXY and NO_PROXY are always used"),
    ("ca cacert cafile cert", "write --ca-bundle FILE; client certificates are not supported"),
    ("assume assume-role", "write --role-arn ARN"),
    ("session-name", "write --role-session-name NAME"),
    ("duration mfa serial", "set it in the profile of the role, in ~/.aws/config"),
    (
        "key secret session-token",
        "omit it: set --profile or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
    ),
    (
        "auth auth-timeout client-id client-secret oauth resource scope token",
        "omit it: requests are signed with AWS credentials instead of OAuth tokens",
    ),
    ("anonymous no-sign-request", "write --skip-auth"),
    ("attempts", "write --retries NUMBER"),
    ("H api-key", HEADER),
    ("address bind port", "write --listen 127.0.0.1:PORT"),
    ("q quiet silent", "write --log-level silent"),
    ("stdio transport", "omit it: the transport is detected"),
];

/// The flags of mcp-proxy-for-aws, which takes every unambiguous beginning of their names. They keep their abbreviations,
/// whatever other flags there are.
const OF_ARGPARSE: [&str; 16] = [
    "connect-timeout",
    "disable-telemetry",
    "header",
    "help",
    "log-level",
    "metadata",
    "profile",
    "read-only",
    "read-timeout",
    "region",
    "retries",
    "service",
    "skip-auth",
    "timeout",
    "tool-timeout",
    "write-timeout",
];

/// Hyphens, dashes and the minus sign, which editors and chats make of `--`.
pub(crate) const TYPOGRAPHIC_DASHES: [char; 7] =
    ['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}', '\u{2212}'];

/// What the name of a flag stands for.
pub(crate) enum Named {
    /// The row, and whether the flag is its `--no-` form.
    Row(&'static Row, bool),
    /// A flag that is accepted and ignored, and whether a value follows it.
    Ignored { takes_value: bool },
    /// The beginning of several names.
    Ambiguous(Vec<&'static str>),
    /// The row of the flag with the most similar name, if there is one.
    Unknown(Option<&'static Row>),
}

/// A flag by its name as it is written, without dashes, and its whole name if that is only its beginning. Names with two
/// dashes may be abbreviated.
pub(crate) fn look_up(name: &str, is_long: bool) -> (Named, Option<&'static str>) {
    if let Some(named) = exact(name) {
        return (named, None);
    }
    let candidates = if is_long { beginning_with(name) } else { Vec::new() };
    match candidates[..] {
        [] => (Named::Unknown(meant(name)), None),
        [whole] => (exact(whole).expect("it is the name of a flag"), Some(whole)),
        _ => (Named::Ambiguous(candidates), None),
    }
}

/// The row of a flag, and whether the flag is its `--no-` form.
pub(crate) fn find(name: &str) -> Option<(&'static Row, bool)> {
    let row_of = |name: &str| TABLE.iter().find(|row| row.flags.contains(&name));
    let switch = |row: &&Row| row.takes == Arity::Switch && row.flags[0].len() > 1;
    match name.strip_prefix("no-").and_then(row_of).filter(switch) {
        Some(row) => Some((row, true)),
        None => row_of(name).map(|row| (row, false)),
    }
}

pub(crate) fn unknown_flag(name: &str, meant: Option<&Row>) -> Error {
    // As in curl's `-HNAME:VALUE`; the value may be a secret.
    let without_value = name.split_once(':').map(|(name, _)| format!("{name}:…"));
    let is_header = without_value.is_some() && name.starts_with('H');
    let plain = without_dashes(name);
    let dashes = match name.chars().count() {
        _ if plain != name => "",
        1 => "-",
        _ if is_header => "-",
        _ => "--",
    };
    let flags = meant.map_or(&[][..], |row| row.flags).iter().copied();
    let hint = match (of_whole_name(name), nearest(plain, flags)) {
        (Some(hint), _) => hint.to_owned(),
        _ if is_header => HEADER.to_owned(),
        (None, Some(flag)) => format!("did you mean --{flag}?"),
        (None, None) => {
            name.split(['-', '_']).find_map(of_other_program).unwrap_or("see --help").to_owned()
        }
    };
    let shown = without_value.as_deref().unwrap_or(name);
    usage_error(&format!("unknown flag {dashes}{shown}"), &hint)
}

pub(crate) fn ambiguous_flag(name: &str, candidates: &[&str]) -> Error {
    let candidates: Vec<String> = candidates.iter().map(|flag| format!("--{flag}")).collect();
    let what = format!("--{name} is ambiguous");
    usage_error(&what, &format!("use one of {}", candidates.join(", ")))
}

fn of_whole_name(name: &str) -> Option<&'static str> {
    if OF_LISTENERS.contains(&name) {
        return Some(
            "omit it; to serve HTTP clients, write --listen 127.0.0.1:PORT and --listen-path PATH",
        );
    }
    of_other_program(name)
}

/// What to do instead of a flag of another program, by its whole name or a part of it.
fn of_other_program(name: &str) -> Option<&'static str> {
    let mut rows = OF_OTHER_PROGRAMS.iter();
    rows.find(|(names, _)| names.split(' ').any(|one| one == name)).map(|(_, hint)| *hint)
}

fn exact(name: &str) -> Option<Named> {
    let of_others = OF_OTHERS.iter().find(|(of_others, _)| *of_others == name);
    let ignored = of_others.map(|(_, takes_value)| Named::Ignored { takes_value: *takes_value });
    ignored.or_else(|| find(name).map(|(row, opposite)| Named::Row(row, opposite)))
}

/// The flags that begin so, one for each option. One of mcp-proxy-for-aws's flags alone, if it is the only one of them.
fn beginning_with(name: &str) -> Vec<&'static str> {
    let mut of_argparse = OF_ARGPARSE.iter().copied().filter(|flag| flag.starts_with(name));
    if let (Some(only), None) = (of_argparse.next(), of_argparse.next()) {
        return vec![only];
    }
    let rows = TABLE.iter().map(|row| row.flags);
    let of_rows: Vec<&str> = rows
        .filter_map(|flags| {
            flags.iter().copied().find(|flag| flag.len() > 1 && flag.starts_with(name))
        })
        .collect();
    if !of_rows.is_empty() {
        return of_rows;
    }
    let of_others = OF_OTHERS.iter().map(|(flag, _)| *flag).filter(|flag| flag.len() > 1);
    of_others.filter(|flag| flag.starts_with(name)).collect()
}

/// The name of a flag that was pasted with a typographic dash.
fn without_dashes(name: &str) -> &str {
    name.trim_start_matches(|c: char| c == '-' || TYPOGRAPHIC_DASHES.contains(&c))
}

/// The row of the flag with the most similar name.
pub(crate) fn meant(name: &str) -> Option<&'static Row> {
    if of_whole_name(name).is_some() {
        return None;
    }
    // Only a switch has an opposite.
    let name = without_dashes(name);
    let (name, is_opposite) = name.strip_prefix("no-").map_or((name, false), |name| (name, true));
    let rows = TABLE.iter().filter(|row| !is_opposite || row.takes == Arity::Switch);
    let flags = rows.flat_map(|row| row.flags).filter(|flag| flag.len() > 1);
    let near = nearest(name, flags.copied())?;
    find(near).map(|(row, _)| row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_names() {
        let check = |name: &str, expected: &[&str]| {
            let (named, whole) = look_up(name, true);
            let candidates = match named {
                Named::Ambiguous(candidates) => candidates,
                _ => whole.into_iter().collect(),
            };
            assert_eq!(candidates, expected, "{name}");
        };
        // As in mcp-proxy-for-aws, although there are more flags here.
        for flag in OF_ARGPARSE {
            for end in 1..flag.len() {
                let name = &flag[..end];
                let same = OF_ARGPARSE.iter().filter(|other| other.starts_with(name)).count();
                if same == 1 && exact(name).is_none() {
                    check(name, &[flag]);
                }
            }
        }
        check("meta", &["metadata"]);
        check("prof", &["profile"]);
        check("max-m", &["max-message-bytes"]);
        check("targ", &["target-url"]);
        check("no-ss", &["no-sse"]);
        check("profile-t", &["profile-tools"]);
        check("allow-e", &["allow-empty-tools"]);
        check("re", &["region", "read-only", "retries", "read-timeout", "remote"]);
        check("max", &["max-message-bytes", "max-in-flight"]);
        check("verb", &["verbose"]);
        for name in ["region", "sse", "frobnicate", "regoin"] {
            check(name, &[]);
        }
        assert!(matches!(look_up("reg", false), (Named::Unknown(Some(_)), None)));
    }

    /// Otherwise one would hide the other.
    #[test]
    fn ignored_flags_are_no_options() {
        let of_others = OF_OTHERS.iter().map(|(flag, _)| *flag);
        let of_programs = OF_OTHER_PROGRAMS.iter().flat_map(|(names, _)| names.split(' '));
        let of_all = of_others.chain(of_programs).chain(OF_LISTENERS);
        assert!(of_all.into_iter().all(|flag| find(flag).is_none()));
        assert!(OF_ARGPARSE.iter().all(|flag| find(flag).is_some()));
    }
}
