//! `ParsedArgs`: flags and variables by their row of the table, values not yet interpreted.

use crate::cli::completions::Shell;
use crate::cli::problem::usage_error;
use crate::cli::table::{Arity, Key, Row, TABLE};
use crate::environment::Environment;
use crate::error::Error;
use crate::suggest::nearest;
use std::ffi::{OsStr, OsString};

/// The command line, or what it asks for instead of running.
pub(crate) enum Line {
    /// Run the proxy.
    Proxy(Flags),
    /// `doctor`, with the flags of the proxy.
    Doctor(Flags),
    Completions(Shell),
    Help,
    Version,
}

#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) values: Vec<(Key, Value)>,
    /// Flags of other proxies that are accepted and ignored.
    pub(crate) ignored: Vec<String>,
    /// Errors, in the order of the arguments.
    pub(crate) problems: Vec<Error>,
    /// Options that the problems are about, so that they are not reported missing as well.
    pub(crate) in_doubt: Vec<Key>,
}

impl Flags {
    fn doubt(&mut self, key: Option<Key>, problem: Error) {
        self.in_doubt.extend(key);
        self.problems.push(problem);
    }
}

/// Flags of other proxies, and whether a value follows. They are accepted so that users can switch by changing only the command.
const OF_OTHERS: [(&str, bool); 2] = [("protocol-version", true), ("retry-empty-response", false)];

/// Variables of other proxies that are accepted and ignored.
pub(crate) const VARIABLES_OF_OTHERS: [&str; 4] =
    ["MCP_SIGN_TIMEOUT", "MCP_WARM_RETRIES", "MCP_WARM_RETRY_DELAY", "MCP_WARM_TIMEOUT"];

/// Subcommands: words that may come first.
pub(crate) const COMMANDS: [&str; 2] = ["doctor", "completions"];

/// The subcommand of this command line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Doctor,
    Completions,
}

/// A value and its origin, for messages: `--region`, `AWS_REGION`.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) from: String,
}

/// Flags and environment. Blank values count as unset.
pub(crate) struct ParsedArgs<'a> {
    flags: Vec<(Key, Value)>,
    environment: &'a Environment,
}

impl<'a> ParsedArgs<'a> {
    pub(crate) fn new(flags: Vec<(Key, Value)>, environment: &'a Environment) -> ParsedArgs<'a> {
        ParsedArgs { flags, environment }
    }

    /// The value of the last flag, else of the first variable.
    pub(crate) fn value(&self, key: Key) -> Option<Value> {
        self.flag(key).or_else(|| self.variable(key))
    }

    pub(crate) fn flag(&self, key: Key) -> Option<Value> {
        self.flags(key).last().cloned()
    }

    pub(crate) fn flags(&self, key: Key) -> impl Iterator<Item = &Value> {
        self.flags.iter().filter(move |(of, _)| *of == key).map(|(_, value)| value)
    }

    pub(crate) fn variable(&self, key: Key) -> Option<Value> {
        let (name, text) = self.environment.first(key.row().environment)?;
        Some(Value { text: text.to_owned(), from: name.to_owned() })
    }
}

/// Sorts the arguments (without the program's name) by their rows. A request for help outranks every error.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Line, Vec<Error>> {
    let mut arguments = Arguments { parser: lexopt::Parser::from_args(args), no_more_flags: false };
    let mut flags = Flags::default();
    // Each with the number of values before it.
    let mut targets: Vec<(usize, String)> = Vec::new();
    let mut word = None;
    let mut shell = None;
    let mut after_unknown_flag = false;
    loop {
        let argument = match arguments.next() {
            Ok(Some(argument)) => argument,
            Ok(None) => break,
            Err(error) => {
                flags.doubt(None, error);
                continue;
            }
        };
        let (name, inline) = match argument {
            Argument::Flag(name, inline) => (name, inline),
            // Whether an unknown flag takes a value is not known, so the argument after it is not checked.
            Argument::Plain(text) if after_unknown_flag && !is_target(text.as_ref()) => {
                after_unknown_flag = false;
                continue;
            }
            Argument::Plain(text) if word == Some(Word::Completions) => {
                shell = Shell::of(&text);
                continue;
            }
            Argument::Plain(text) if word.is_none() && targets.is_empty() && text == "doctor" => {
                word = Some(Word::Doctor);
                continue;
            }
            Argument::Plain(text)
                if word.is_none() && targets.is_empty() && text == "completions" =>
            {
                word = Some(Word::Completions);
                continue;
            }
            Argument::Plain(text) => {
                after_unknown_flag = false;
                targets.push((flags.values.len(), text.trim().to_owned()));
                continue;
            }
        };
        if let Some((_, has_value)) = OF_OTHERS.iter().find(|(of_others, _)| *of_others == name) {
            // The argument after it is not checked, in case it is not a value.
            after_unknown_flag = *has_value && inline.is_none();
            flags.ignored.push(format!("--{name}"));
            continue;
        }
        let meant = meant(&name);
        let found = find(&name);
        if found.is_none() {
            flags.doubt(meant.map(|row| row.key), unknown_flag(&name, meant));
        }
        // The flag that was probably meant takes its value, so that the rest is read as intended.
        let Some((row, opposite)) = found.or(meant.map(|row| (row, false))) else {
            after_unknown_flag = inline.is_none();
            continue;
        };
        after_unknown_flag = false;
        match row.key {
            Key::Help if found.is_some() => return Ok(Line::Help),
            Key::Version if found.is_some() => return Ok(Line::Version),
            Key::Help | Key::Version => continue,
            _ => {}
        }
        match arguments.values(row, &name, opposite, inline) {
            Ok(texts) => flags.values.extend(
                texts
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .map(|text| (row.key, Value { text, from: format!("--{name}") })),
            ),
            Err(error) if found.is_some() => flags.doubt(Some(row.key), error),
            Err(_) => {}
        }
    }
    take_target(&mut flags, targets);
    if word == Some(Word::Completions) && shell.is_none() {
        flags.doubt(None, usage_error("completions are for bash, fish or zsh", "name one of them"));
    }
    if word == Some(Word::Completions) && !flags.problems.is_empty() {
        return Err(flags.problems);
    }
    Ok(match (word, shell) {
        (None, _) => Line::Proxy(flags),
        (Some(_), Some(shell)) => Line::Completions(shell),
        (Some(_), None) => Line::Doctor(flags),
    })
}

/// The positional argument: the URL or ARN. Of several, the one that looks like it.
fn take_target(flags: &mut Flags, targets: Vec<(usize, String)>) {
    if targets.len() > 1 {
        // The words are not shown: they may be the rest of an unquoted header.
        let fix = match nearest(&targets[0].1, COMMANDS) {
            Some(command) => format!("did you mean {command}?"),
            None => {
                "quote values that contain spaces; the commands are doctor and completions".into()
            }
        };
        flags.doubt(Some(Key::TargetUrl), usage_error("more than one URL or ARN is given", &fix));
    }
    let like_one = targets.iter().position(|(_, text)| is_target(text.as_ref()));
    let target = targets.into_iter().nth(like_one.unwrap_or(0));
    if let Some((at, text)) = target.filter(|(_, text)| !text.is_empty()) {
        flags.values.insert(at, (Key::TargetUrl, Value { text, from: "the URL".to_owned() }));
    }
}

enum Argument {
    Plain(String),
    /// The name without dashes, and the value after `=`.
    Flag(String, Option<OsString>),
}

/// lexopt plus Go's single dash.
struct Arguments {
    parser: lexopt::Parser,
    no_more_flags: bool,
}

impl Arguments {
    fn next(&mut self) -> Result<Option<Argument>, Error> {
        if !self.no_more_flags
            && let Some(mut raw) = self.parser.try_raw_args()
        {
            self.no_more_flags = raw.peek().is_some_and(|argument| argument == "--");
            if let Some(argument) = raw.next_if(|argument| single_dash(argument).is_some()) {
                let argument = text(argument, "a flag")?;
                let (name, inline) = match argument[1..].split_once('=') {
                    Some((name, value)) => (name, Some(value.into())),
                    None => (&argument[1..], None),
                };
                return Ok(Some(Argument::Flag(name.to_owned(), inline)));
            }
        }
        let name = match self.parser.next() {
            Ok(Some(lexopt::Arg::Long(name))) => name.to_owned(),
            Ok(Some(lexopt::Arg::Short(letter))) => letter.to_string(),
            Ok(Some(lexopt::Arg::Value(value))) => {
                return text(value, "an argument").map(|text| Some(Argument::Plain(text)));
            }
            Ok(None) => return Ok(None),
            Err(error) => return Err(usage_error(&error.to_string(), "see --help")),
        };
        Ok(Some(Argument::Flag(name, self.parser.optional_value())))
    }

    /// The values of the flag just read, trimmed.
    fn values(
        &mut self,
        row: &Row,
        name: &str,
        opposite: bool,
        inline: Option<OsString>,
    ) -> Result<Vec<String>, Error> {
        let flag = format!("--{name}");
        let trimmed = |value| text(value, &flag).map(|text| text.trim().to_owned());
        if row.takes == Arity::Switch {
            return match (inline, opposite) {
                (None, _) => Ok(vec![(!opposite).to_string()]),
                (Some(value), false) => trimmed(value).map(|text| vec![text]),
                (Some(_), true) => Err(usage_error(&format!("{flag} takes no value"), "omit it")),
            };
        }
        if let Some(value) = inline {
            return trimmed(value).map(|text| vec![text]);
        }
        let mut values = Vec::new();
        if let Some(mut raw) = self.parser.try_raw_args() {
            values.extend(raw.next_if(|next| !is_flag(next)));
            if let Arity::Words(_) = row.takes {
                while let Some(word) = raw.next_if(|next| !is_flag(next) && !is_target(next)) {
                    values.push(word);
                }
            }
        }
        if values.is_empty() {
            let example = match row.takes {
                Arity::Value(name) | Arity::Words(name) => name,
                Arity::Switch => "",
            };
            return Err(usage_error(
                &format!("{flag} needs a value"),
                &format!("write {flag} {example}"),
            ));
        }
        values.into_iter().map(trimmed).collect()
    }
}

/// `-region` and `-region=x`, but not `-h`, `--region` or a negative number.
fn single_dash(argument: &OsStr) -> Option<&str> {
    let name = argument.to_str()?.strip_prefix('-')?.split('=').next()?;
    (name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(name)
}

/// Whether this is the next flag where a value is expected.
fn is_flag(argument: &OsStr) -> bool {
    let known = |name: &str| find(name).is_some();
    argument.to_str().is_some_and(|text| text.starts_with("--"))
        || single_dash(argument).is_some_and(known)
        || argument == "-h"
        || argument == "-V"
}

/// Whether this is the URL after `--profile a b`, not one more profile.
fn is_target(argument: &OsStr) -> bool {
    argument.to_str().is_some_and(|text| text.contains("://") || text.starts_with("arn:"))
}

/// The row of a flag, and whether the flag is its `--no-` form.
fn find(name: &str) -> Option<(&'static Row, bool)> {
    let row_of = |name: &str| TABLE.iter().find(|row| row.flags.contains(&name));
    let switch = |row: &&Row| row.takes == Arity::Switch && row.flags[0].len() > 1;
    match name.strip_prefix("no-").and_then(row_of).filter(switch) {
        Some(row) => Some((row, true)),
        None => row_of(name).map(|row| (row, false)),
    }
}

/// The row of the flag with the most similar name.
fn meant(name: &str) -> Option<&'static Row> {
    let flags = TABLE.iter().flat_map(|row| row.flags).filter(|flag| flag.len() > 1);
    let near = nearest(name, flags.copied())?;
    find(near).map(|(row, _)| row)
}

fn unknown_flag(name: &str, meant: Option<&Row>) -> Error {
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    let flags = meant.map_or(&[][..], |row| row.flags).iter().copied();
    let hint = match nearest(name, flags) {
        Some(flag) => format!("did you mean --{flag}?"),
        None => "see --help".to_owned(),
    };
    usage_error(&format!("unknown flag {dashes}{name}"), &hint)
}

fn text(argument: OsString, what: &str) -> Result<String, Error> {
    argument
        .into_string()
        .map_err(|_| usage_error(&format!("{what} is not UTF-8"), "write it in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(line: &[&str]) -> Result<Line, Vec<Error>> {
        read(line.iter().map(OsString::from))
    }

    #[test]
    fn every_way_of_writing_a_flag() {
        let check = |line: &[&str], expected: &[(Key, &str)]| {
            let Ok(Line::Proxy(flags)) = read_words(line) else { panic!("{line:?}") };
            let flags = flags.values.iter();
            let flags: Vec<_> = flags.map(|(key, value)| (*key, &value.text[..])).collect();
            assert_eq!(flags, expected, "{line:?}");
        };
        let region = &[(Key::Region, "us-east-1")];
        check(&["--region", "us-east-1"], region);
        check(&["--region=us-east-1"], region);
        check(&["-region", "us-east-1"], region);
        check(&["-region=us-east-1"], region);
        check(&["--region", " us-east-1 "], region);
        check(&["--region", ""], &[]);
        check(&["--region="], &[]);
        check(&[""], &[]);
        check(&[], &[]);
        check(&["--header", "A=b=c"], &[(Key::Header, "A=b=c")]);
        check(&["--header=A=b=c"], &[(Key::Header, "A=b=c")]);
        check(&["-header=A=b=c"], &[(Key::Header, "A=b=c")]);
        check(&["--timeout", "-5s"], &[(Key::Timeout, "-5s")]);
        check(&["--header", "-x: y"], &[(Key::Header, "-x: y")]);
        check(
            &["https://a", "--qualifier", "q"],
            &[(Key::TargetUrl, "https://a"), (Key::Qualifier, "q")],
        );
        check(&["--", "https://a"], &[(Key::TargetUrl, "https://a")]);
        check(&["--service", "s3"], &[(Key::ServiceName, "s3")]);

        check(&["--sse"], &[(Key::Sse, "true")]);
        check(&["--sse", "https://a"], &[(Key::Sse, "true"), (Key::TargetUrl, "https://a")]);
        check(&["-sse=false"], &[(Key::Sse, "false")]);
        check(&["--no-sse"], &[(Key::Sse, "false")]);
        check(&["--no-allow-http"], &[(Key::AllowHttp, "false")]);

        let profiles = &[(Key::Profile, "a"), (Key::Profile, "b")];
        check(&["--profile", "a", "b"], profiles);
        check(&["--profile", "a", "--profile=b"], profiles);
        let then = |key, text| [profiles[0], profiles[1], (key, text)];
        check(&["--profile", "a", "b", "https://x"], &then(Key::TargetUrl, "https://x"));
        check(&["--profile", "a", "b", "arn:aws:x"], &then(Key::TargetUrl, "arn:aws:x"));
        check(&["--profile", "a", "b", "-region", "r"], &then(Key::Region, "r"));
        check(&["--profile=a", "x"], &[(Key::Profile, "a"), (Key::TargetUrl, "x")]);
    }

    #[test]
    fn asking_for_help_wins_over_every_mistake() {
        for line in [
            &["-h"][..],
            &["--help"],
            &["-help"],
            &["--nonsense", "--help"],
            &["--region", "-h"],
            &["a", "b", "-h"],
        ] {
            assert!(matches!(read_words(line), Ok(Line::Help)), "{line:?}");
        }
        for line in [&["-V"][..], &["--version"], &["-version"], &["--region", "--version"]] {
            assert!(matches!(read_words(line), Ok(Line::Version)), "{line:?}");
        }
    }

    #[test]
    fn mistakes_are_listed_all_at_once() {
        let check = |line: &[&str], expected: &[&str]| {
            let problems = match read_words(line) {
                Ok(Line::Proxy(flags)) => flags.problems,
                Ok(_) => Vec::new(),
                Err(problems) => problems,
            };
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let expected: Vec<String> =
                expected.iter().map(|text| format!("configuration error: {text}")).collect();
            assert_eq!(problems, expected, "{line:?}");
        };
        check(&["--regoin", "x"], &["unknown flag --regoin (did you mean --region?)"]);
        check(&["-target-ur=x"], &["unknown flag --target-ur (did you mean --target-url?)"]);
        check(
            &["--max-mess", "1"],
            &["unknown flag --max-mess (did you mean --max-message-bytes?)"],
        );
        check(&["--frobnicate"], &["unknown flag --frobnicate (see --help)"]);
        check(&["-x"], &["unknown flag -x (see --help)"]);
        check(&["--no-region"], &["unknown flag --no-region (see --help)"]);
        check(
            &["--frob", "https://a", "--regoin=x"],
            &["unknown flag --frob (see --help)", "unknown flag --regoin (did you mean --region?)"],
        );
        check(&["--region"], &["--region needs a value (write --region REGION)"]);
        check(&["--region", "--sse"], &["--region needs a value (write --region REGION)"]);
        check(
            &["--region", "-target-url", "x"],
            &["--region needs a value (write --region REGION)"],
        );
        check(&["--profile", "https://a"], &[]);
        check(&["--no-sse=true"], &["--no-sse takes no value (omit it)"]);
        let quote = "more than one URL or ARN is given \
                     (quote values that contain spaces; the commands are doctor and completions)";
        check(&["a", "hush", "b"], &[quote]);
        check(&["serve", "https://a"], &[quote]);
        check(
            &["docter", "https://a"],
            &["more than one URL or ARN is given (did you mean doctor?)"],
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_utf_8_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let check = |line: &[&[u8]]| {
            let words = line.iter().map(|word| OsString::from_vec(word.to_vec()));
            let Ok(Line::Proxy(flags)) = read(words) else { panic!("{line:?}") };
            assert!(flags.problems[0].message().contains("UTF-8"));
        };
        check(&[b"--region", b"\xff"]);
        check(&[b"--region=\xff"]);
        check(&[b"\xff"]);
    }
}
