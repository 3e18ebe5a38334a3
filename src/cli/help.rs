//! `-h`, `--help`, the usage shown without arguments, and the tables of docs/configuration.md, written from the table of options.

use crate::cli::row::{Arity, Group, Key, Row};
use crate::cli::table::{self, TABLE};
use std::fmt::Write as _;

/// The options that most users need, with a text that fits one line.
const COMMON: [(Key, &str); 11] = [
    (Key::Profile, "AWS profile; more than one can be given"),
    (Key::Region, "signing region, if not in the URL"),
    (Key::ServiceName, "signing name, if not in the URL"),
    (Key::RoleArn, "role to assume"),
    (Key::Header, "header to send and sign"),
    (Key::ReadOnly, "only tools that change nothing"),
    (Key::Timeout, "time limit for one request"),
    (Key::CaBundle, "CA certificates of your network"),
    (Key::Listen, "serve HTTP clients instead of stdin"),
    (Key::Verbose, "log every request"),
    (Key::Version, "version, commit, target and libc"),
];

/// The usage shown when there are no arguments.
pub const USAGE: &str = "\
sigv4-proxy connects an MCP client to MCP servers protected by AWS IAM.
  sigv4-proxy URL          sign and relay; your MCP client starts it this way
  sigv4-proxy doctor URL   check credentials, network and server
  sigv4-proxy --help       list all options
";

/// Shown to a user in a terminal.
pub const IN_TERMINAL: &str = "waiting for an MCP client on stdin; press Ctrl-C to stop; \
     to check the setup, run sigv4-proxy doctor URL";

/// The text of `-h`: one screen.
pub(crate) fn brief() -> String {
    let mut text = format!("{SYNOPSIS}\nCommon flags:\n");
    for (key, what) in COMMON {
        let row = table::row(key);
        let flag = match row.takes {
            Arity::Switch => format!("--{}", row.flags[0]),
            Arity::Value(name) | Arity::Words(name) | Arity::OptionalWords(name) => {
                format!("--{} {name}", row.flags[0])
            }
        };
        let _ = writeln!(text, "  {flag:<25}{what}");
    }
    text + "  --help                   all flags and their environment variables\n\nExample:\n  \
            sigv4-proxy https://abc123.execute-api.us-east-1.amazonaws.com/prod/mcp\n"
}

/// The text of `--help`, at most 80 columns wide.
pub(crate) fn help() -> String {
    let mut text = format!("{SYNOPSIS}{INTRODUCTION}");
    for group in Group::ALL {
        let _ = write!(text, "\n{}:\n", group.title());
        for row in TABLE.iter().filter(|row| row.group == group) {
            let _ = writeln!(text, "  {}", spelling(row));
            let _ = writeln!(text, "{:10}{}", "", wrapped(&remarks(row), 10, 10, 80));
        }
    }
    text + CLOSING
}

/// The tables of docs/configuration.md.
pub(crate) fn markdown() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = write!(
            text,
            "### {}\n\n| flag | environment | default | meaning |\n|---|---|---|---|\n",
            group.title()
        );
        for row in TABLE.iter().filter(|row| row.group == group) {
            let mut flags = code(row.flags.iter().map(|flag| format!("--{flag}")));
            if row.key == Key::TargetUrl {
                flags = format!("`URL` or `ARN` alone, {flags}");
            }
            let placeholder = match row.takes {
                Arity::Switch => String::new(),
                Arity::Value(name) => format!(" *{name}*"),
                Arity::Words(name) | Arity::OptionalWords(name) => {
                    format!(" *{name}*…, repeatable")
                }
            };
            let environment = code(row.environment.iter().copied());
            for cell in [&(flags + &placeholder), &environment, row.default, row.help] {
                let cell = cell.replace('|', "\\|");
                let gap = if cell.is_empty() { "" } else { " " };
                let _ = write!(text, "|{gap}{cell} ");
            }
            text.push_str("|\n");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn spelling(row: &Row) -> String {
    let mut names: Vec<String> = row
        .flags
        .iter()
        .map(|flag| if flag.len() == 1 { format!("-{flag}") } else { format!("--{flag}") })
        .collect();
    if row.key == Key::TargetUrl {
        names.insert(0, "URL|ARN".to_owned());
    }
    let names = names.join(", ");
    match row.takes {
        Arity::Switch => names,
        Arity::Value(name) => format!("{names} {name}"),
        Arity::Words(name) => format!("{names} {name}..."),
        Arity::OptionalWords(name) => format!("{names} [{name}...]"),
    }
}

fn remarks(row: &Row) -> String {
    let mut facts = Vec::new();
    if !row.default.is_empty() {
        facts.push(format!("default: {}", row.default));
    }
    if !row.environment.is_empty() {
        facts.push(format!("env: {}", row.environment.join(", ")));
    }
    if facts.is_empty() {
        return row.help.to_owned();
    }
    format!("{} [{}]", row.help, facts.join("; "))
}

/// A text that begins at column `at`, wrapped between words before the column `end`. Its further lines begin at `indent`. A
/// quoted command stays in one line; what fits in none is left to the terminal, which breaks it.
pub(crate) fn wrapped(text: &str, mut at: usize, indent: usize, end: usize) -> String {
    let mut wrapped = String::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let closing = text.strip_prefix('"').and_then(|text| text.find('"')).map(|at| at + 1);
        let quoted = closing.filter(|closing| indent + closing < end).unwrap_or(0);
        let word = text[quoted..].find(' ').map_or(text, |space| &text[..quoted + space]);
        rest = text.get(word.len() + 1..);
        let width = word.chars().count();
        if wrapped.is_empty() {
            at += width;
        } else if at + 1 + width > end && indent + width <= end {
            let _ = write!(wrapped, "\n{:indent$}", "");
            at = indent + width;
        } else {
            wrapped.push(' ');
            at += 1 + width;
        }
        wrapped.push_str(word);
        at = if at > end { at % end } else { at };
    }
    wrapped
}

fn code<T: AsRef<str>>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names
        .map(|name| match name.as_ref() {
            "--h" => "`-h`".to_owned(),
            "--V" => "`-V`".to_owned(),
            name => format!("`{name}`"),
        })
        .collect();
    names.join(", ")
}

const SYNOPSIS: &str = "\
Usage: sigv4-proxy [FLAGS] URL|ARN
       sigv4-proxy doctor [FLAGS] URL|ARN   check everything and report
       sigv4-proxy login [FLAGS]            sign in: SSO, MFA, aws login
       sigv4-proxy logout [FLAGS]           sign out
       sigv4-proxy completions SHELL        for bash, fish, powershell, zsh
";

const INTRODUCTION: &str = "
An MCP server on stdin and stdout that signs each message with your AWS
credentials and relays it to a remote MCP server protected by IAM.
";

pub(crate) const CLOSING: &str = "
Flags take precedence over environment variables; an empty value counts as
unset. Write --flag VALUE or --flag=VALUE, with one dash or two; after two
dashes, an unambiguous beginning of the name is enough. --no-FLAG switches a
switch off. A duration is 30s, 1m30s, 500ms or plain seconds; 0 means no limit.
A size is plain bytes, 64K, 64MiB or 64MB. HTTPS_PROXY and NO_PROXY name proxies
and exceptions, as for curl.

Examples, for sh, PowerShell and cmd.exe:
  sigv4-proxy https://abc123.execute-api.us-east-1.amazonaws.com/prod/mcp
  sigv4-proxy arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/my-Ab1
  sigv4-proxy --region eu-west-1 --service s3 https://mcp.example.com/mcp
  sigv4-proxy doctor --profile work --header \"X-Team: search\" URL
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_eighty_columns_and_names_everything() {
        let help = help();
        for line in help.lines() {
            assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line:?}");
        }
        for row in TABLE {
            for name in row.flags.iter().chain(row.environment) {
                assert!(help.contains(name), "{name}");
            }
        }
        assert_eq!(help.matches("\n  sigv4-proxy ").count(), 4);
        // cmd.exe does not know single quotes, nor a backslash at the end of a line.
        assert!(!help.contains(" '") && !help.contains("\\\n"));
    }

    #[test]
    fn texts_are_wrapped_between_words_with_a_hanging_indent() {
        let url = "https://abc.example/a/long/path/to/mcp";
        for (text, expected) in [
            ("", ""),
            ("one two three four", "one two three four"),
            // The first line begins further left, and lines are full.
            ("one two three fours", "one two three\n    fours"),
            ("one two three four five 678 90", "one two three four\n    five 678 90"),
            ("über über über über", "über über über\n    über"),
            // A command can be copied.
            ("run it: \"a b\" or not", "run it: \"a b\" or\n    not"),
            ("do run it now: \"é b é\", or", "do run it now:\n    \"é b é\", or"),
            ("an \"open quote is text", "an \"open quote is\n    text"),
            ("a \"longer text than a line\"", "a \"longer text\n    than a line\""),
            // What fits in no line has no line to itself: the terminal breaks it.
            (&format!("at {url} [x] and some more"), &format!("at {url} [x] and some\n    more")),
        ] {
            assert_eq!(wrapped(text, 2, 4, 20), expected, "{text}");
        }
    }

    #[test]
    fn the_brief_help_fits_one_screen() {
        let brief = brief();
        assert!(brief.lines().count() <= 24, "{brief}");
        for line in brief.lines().chain(USAGE.lines()) {
            assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line:?}");
        }
        assert_eq!(USAGE.lines().count(), 4);
    }
}
