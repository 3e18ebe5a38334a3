//! `ParsedArgs`: flags and variables by their row of the table, values not yet interpreted.

use crate::cli::completions::Shell;
use crate::cli::flag_names::{self, Named, ambiguous_flag, unknown_flag};
use crate::cli::leftovers::{Follows, Leftovers};
use crate::cli::problem::usage_error;
use crate::cli::table::{Arity, COMMANDS, Key, Row};
use crate::environment::Environment;
use crate::error::Error;
use crate::suggest::nearest;
use std::ffi::{OsStr, OsString};

/// The command line: a subcommand and its flags.
pub(crate) enum Line {
    /// Run the proxy.
    Proxy(Flags),
    /// `doctor`, with the flags of the proxy.
    Doctor(Flags),
    /// `login`, with the flags of the proxy.
    Login(Flags),
    /// `logout`, with the flags of the proxy.
    Logout(Flags),
    Completions(Shell),
    /// `-h`.
    BriefHelp,
    /// `--help`, or `help`.
    Help,
    Version,
}

#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) values: Vec<(Key, Value)>,
    /// Flags of other proxies that are accepted and ignored.
    pub(crate) ignored: Vec<String>,
    /// Notes about abbreviated flags.
    pub(crate) abbreviated: Vec<String>,
    /// Errors, in the order of the arguments.
    pub(crate) problems: Vec<Error>,
    /// Options that the problems are about, so that they are not reported missing as well.
    pub(crate) in_doubt: Vec<Key>,
    /// An argument that was not recognised may hold what is missing.
    pub(crate) may_hold_missing: bool,
}

impl Flags {
    fn doubt(&mut self, keys: impl IntoIterator<Item = Key>, problem: Error) {
        self.in_doubt.extend(keys);
        self.problems.push(problem);
    }
}

/// Variables of other proxies that are accepted and ignored.
pub(crate) const VARIABLES_OF_OTHERS: [&str; 4] =
    ["MCP_SIGN_TIMEOUT", "MCP_WARM_RETRIES", "MCP_WARM_RETRY_DELAY", "MCP_WARM_TIMEOUT"];

/// The subcommand of this command line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Doctor,
    Login,
    Logout,
    Completions,
    Help,
    Version,
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
    let mut reader = Reader::default();
    loop {
        match arguments.next() {
            Ok(None) => break,
            Ok(Some(Argument::Plain(text))) => reader.take_word(&text),
            Ok(Some(Argument::Flag(flag))) => {
                if let Some(line) = reader.take_flag(flag, &mut arguments) {
                    return Ok(line);
                }
            }
            Err(error) => reader.flags.doubt([], error),
        }
    }
    reader.line()
}

/// What the arguments were so far.
#[derive(Default)]
struct Reader {
    flags: Flags,
    /// Positional arguments, each with the number of values before it.
    targets: Vec<(usize, String)>,
    word: Option<Word>,
    shell: Option<Shell>,
    leftovers: Leftovers,
    /// The next word may be the value of the last flag, which does not begin an option.
    next: Next,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Anything,
    /// Whether an unknown flag takes a value is not known, so the word after it is not checked.
    OfUnknownFlag,
    /// The value of a launcher's flag; a URL too.
    OfLauncher { may_be_url: bool },
}

impl Reader {
    fn take_word(&mut self, text: &str) {
        let is_target = is_target(text.as_ref());
        match std::mem::take(&mut self.next) {
            Next::OfLauncher { may_be_url } if may_be_url || !is_target => {
                return self.leftovers.take_value(text);
            }
            Next::OfUnknownFlag if !is_target => {
                self.flags.may_hold_missing |= !self.leftovers.take_proxy(text);
                return;
            }
            _ => {}
        }
        let is_first = self.word.is_none() && self.targets.is_empty();
        match text {
            _ if self.word == Some(Word::Completions) => self.shell = Shell::of(text),
            "doctor" if is_first => self.word = Some(Word::Doctor),
            "login" if is_first => self.word = Some(Word::Login),
            "logout" if is_first => self.word = Some(Word::Logout),
            "completions" if is_first => self.word = Some(Word::Completions),
            "help" if is_first => self.word = Some(Word::Help),
            "version" if is_first => self.word = Some(Word::Version),
            text => {
                let mut text = text.trim();
                if is_target && let Some((url, _)) = text.split_once(" -") {
                    let fix = "write each as a separate argument";
                    self.flags.doubt([], usage_error("a URL and a flag are in one argument", fix));
                    self.flags.may_hold_missing = true;
                    text = url.trim_end();
                }
                let rest = self.leftovers.take_words(text);
                if !rest.is_empty() {
                    self.targets.push((self.flags.values.len(), rest));
                }
            }
        }
    }

    /// Takes a flag and its values. Returns the line that it alone makes.
    fn take_flag(&mut self, flag: Flag, arguments: &mut Arguments) -> Option<Line> {
        let Flag { name, inline, is_long } = flag;
        self.next = Next::Anything;
        let dashes = if is_long { "--" } else { "-" };
        let after = if inline.is_none() { Next::OfUnknownFlag } else { Next::Anything };
        if let Some((name, value)) = name.trim().split_once(char::is_whitespace) {
            let inline = inline.map(|inline| format!("={}", inline.to_string_lossy()));
            self.take_joined(dashes, name, format!("{value}{}", inline.unwrap_or_default()));
            return None;
        }
        let (named, whole) = flag_names::look_up(name.trim(), is_long);
        // `--p` is the beginning of `--profile`, `-p` is of launchers.
        if matches!(named, Named::Ignored { .. } | Named::Unknown(_))
            && let Some(follows) = self.leftovers.take_flag(dashes, &name)
        {
            match inline.as_deref().map(OsStr::to_string_lossy) {
                Some(value) => self.leftovers.take_value(&value),
                None if follows == Follows::Nothing => {}
                None => self.next = Next::OfLauncher { may_be_url: follows == Follows::Url },
            }
            return None;
        }
        if let Some(whole) = whole {
            let note = format!("--{name} is read as --{whole}");
            if !self.flags.abbreviated.contains(&note) {
                self.flags.abbreviated.push(note);
            }
        }
        let (row, opposite, is_known) = match named {
            Named::Row(row, opposite) => (row, opposite, true),
            Named::Ignored { takes_value } => {
                // The argument after it is not checked, in case it is not a value.
                self.next = if takes_value { after } else { Next::Anything };
                self.flags.ignored.push(format!("--{}", whole.unwrap_or(&name)));
                return None;
            }
            Named::Ambiguous(candidates) => {
                let keys = candidates.iter().filter_map(|flag| flag_names::find(flag));
                let keys: Vec<Key> = keys.map(|(row, _)| row.key).collect();
                self.flags.doubt(keys, ambiguous_flag(&name, &candidates));
                self.next = after;
                return None;
            }
            Named::Unknown(meant) => {
                self.flags.doubt(meant.map(|row| row.key), unknown_flag(&name, meant));
                // The flag that was probably meant takes its value, so that the rest is read as intended.
                let Some(row) = meant else {
                    self.next = after;
                    self.flags.may_hold_missing = true;
                    let inline = inline.as_deref().map(OsStr::to_string_lossy);
                    if let Some(url) = inline.filter(|inline| is_target(OsStr::new(&**inline))) {
                        self.targets.push((self.flags.values.len(), url.into_owned()));
                    }
                    return None;
                };
                (row, false, false)
            }
        };
        match row.key {
            Key::Help if is_known && name == "h" => return Some(Line::BriefHelp),
            Key::Help if is_known => return Some(Line::Help),
            Key::Version if is_known => return Some(Line::Version),
            Key::Help | Key::Version => return None,
            _ => {}
        }
        let name = whole.map_or(name, str::to_owned);
        match arguments.values(row, &name, opposite, inline) {
            Ok(texts) => self.flags.values.extend(
                texts
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .map(|text| (row.key, Value { text, from: format!("--{name}") })),
            ),
            Err(error) if is_known => self.flags.doubt([row.key], error),
            Err(_) => {}
        }
        None
    }

    /// Takes an argument that holds a flag and, after a space, its value: `"--profile work"`. The value may be a secret.
    fn take_joined(&mut self, dashes: &str, name: &str, value: String) {
        let Some((row, opposite)) = flag_names::find(name) else {
            if self.leftovers.take_flag(dashes, name).is_some() {
                self.flags.may_hold_missing |= !self.leftovers.take_words(&value).is_empty();
                return;
            }
            self.flags.may_hold_missing = true;
            return self.flags.doubt([], unknown_flag(name, flag_names::meant(name)));
        };
        let what = format!("--{name} and its value are in one argument");
        let fix = match row.takes {
            Arity::Switch => "write each as a separate argument".to_owned(),
            Arity::Value(value) | Arity::Words(value) | Arity::OptionalWords(value) => {
                format!("write two arguments: \"--{name}\", \"{}\"", value.trim_matches('\''))
            }
        };
        self.flags.doubt([row.key], usage_error(&what, &fix));
        let text = if row.takes == Arity::Switch { (!opposite).to_string() } else { value };
        self.flags.values.push((row.key, Value { text, from: format!("--{name}") }));
    }

    fn line(mut self) -> Result<Line, Vec<Error>> {
        match self.word {
            Some(Word::Help) => return Ok(Line::Help),
            Some(Word::Version) => return Ok(Line::Version),
            _ => {}
        }
        match self.leftovers.problem() {
            Some(problem) => {
                self.flags.doubt([], problem);
                // What else belongs to that command is not recognised.
                if self.targets.iter().any(|(_, text)| is_target(text.as_ref())) {
                    self.targets.retain(|(_, text)| is_target(text.as_ref()));
                }
            }
            None => {
                for flag in self.leftovers.unproved() {
                    if flag == "v" {
                        let value = Value { text: "true".to_owned(), from: "-v".to_owned() };
                        self.flags.values.push((Key::Verbose, value));
                    } else {
                        self.flags.doubt([], unknown_flag(&flag, flag_names::meant(&flag)));
                    }
                }
            }
        }
        take_target(&mut self.flags, self.targets);
        if self.word == Some(Word::Completions) && self.shell.is_none() {
            let problem = usage_error(
                "completions are available for bash, fish, powershell and zsh",
                "use one of them",
            );
            self.flags.doubt([], problem);
        }
        if self.word == Some(Word::Completions) && !self.flags.problems.is_empty() {
            return Err(self.flags.problems);
        }
        Ok(match (self.word, self.shell) {
            (_, Some(shell)) => Line::Completions(shell),
            (None, None) => Line::Proxy(self.flags),
            (Some(Word::Login), None) => Line::Login(self.flags),
            (Some(Word::Logout), None) => Line::Logout(self.flags),
            (Some(_), None) => Line::Doctor(self.flags),
        })
    }
}

/// The positional argument: the URL or ARN. Of several, the one that looks like it.
fn take_target(flags: &mut Flags, targets: Vec<(usize, String)>) {
    if targets.len() > 1 {
        // The words are not shown: they may be the rest of an unquoted header.
        let fix = match nearest(&targets[0].1, COMMANDS) {
            Some(command) => format!("did you mean {command}?"),
            None => format!(
                "quote values that contain spaces; the commands are {}",
                COMMANDS.join(", ")
            ),
        };
        flags.doubt([Key::TargetUrl], usage_error("more than one URL or ARN", &fix));
    }
    let like_one = targets.iter().position(|(_, text)| is_target(text.as_ref()));
    let target = targets.into_iter().nth(like_one.unwrap_or(0));
    if let Some((at, text)) = target {
        flags.values.insert(at, (Key::TargetUrl, Value { text, from: "the URL".to_owned() }));
    }
}

enum Argument {
    Plain(String),
    Flag(Flag),
}

struct Flag {
    /// Without dashes.
    name: String,
    /// The value after `=`.
    inline: Option<OsString>,
    /// It has two dashes.
    is_long: bool,
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
                let name = name.to_owned();
                return Ok(Some(Argument::Flag(Flag { name, inline, is_long: false })));
            }
        }
        let (name, is_long) = match self.parser.next() {
            Ok(Some(lexopt::Arg::Long(name))) => (name.to_owned(), true),
            Ok(Some(lexopt::Arg::Short(letter))) => (letter.to_string(), false),
            Ok(Some(lexopt::Arg::Value(value))) => {
                return text(value, "an argument").map(|text| Some(Argument::Plain(text)));
            }
            Ok(None) => return Ok(None),
            Err(error) => return Err(usage_error(&error.to_string(), "see --help")),
        };
        let inline = self.parser.optional_value();
        Ok(Some(Argument::Flag(Flag { name, inline, is_long })))
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
            if !matches!(row.takes, Arity::OptionalWords(_)) {
                let is_value = |next: &OsStr| !is_flag(next) && !is_forgotten_by(row, next);
                values.extend(raw.next_if(is_value));
            }
            if !matches!(row.takes, Arity::Value(_)) {
                while let Some(word) = raw.next_if(|next| !is_flag(next) && !is_target(next)) {
                    values.push(word);
                }
            }
        }
        if let (true, Arity::Value(example) | Arity::Words(example)) =
            (values.is_empty(), row.takes)
        {
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
    let known = |name: &str| flag_names::find(name).is_some();
    argument.to_str().is_some_and(|text| text.starts_with("--"))
        || single_dash(argument).is_some_and(known)
        || argument == "-h"
        || argument == "-V"
}

/// Whether this is the URL after `--profile a b`, not one more profile.
fn is_target(argument: &OsStr) -> bool {
    argument.to_str().is_some_and(|text| text.contains("://") || text.starts_with("arn:"))
}

/// Whether this is the server's URL or ARN where the value of another option was forgotten: `--profile https://…`.
fn is_forgotten_by(row: &Row, argument: &OsStr) -> bool {
    const MAY_BE_URLS: [Key; 5] =
        [Key::TargetUrl, Key::SignHost, Key::RoleArn, Key::ExternalId, Key::AllowOrigin];
    // Clients connect to an http:// URL, so some write it for --listen, whose error then shows the right form.
    let starts = if row.key == Key::Listen {
        &["https://", "arn:"][..]
    } else {
        &["https://", "http://", "arn:"]
    };
    let begins_target = |text: &str| starts.iter().any(|start| text.starts_with(start));
    !MAY_BE_URLS.contains(&row.key) && argument.to_str().is_some_and(begins_target)
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

        let metadata =
            &[(Key::Metadata, "A=1"), (Key::Metadata, "B=2"), (Key::TargetUrl, "https://x")];
        check(&["--metadata", "A=1", "B=2", "https://x"], metadata);
        check(&["--metadata", "A=1", "--metadata=B=2", "https://x"], metadata);
        check(&["--metadata", "https://x"], &metadata[2..]);
        check(&["https://x", "--metadata"], &metadata[2..]);
        check(&["--metadata", "--", "https://x"], &metadata[2..]);
        check(&["--metadata=", "--region", "r"], &[(Key::Region, "r")]);

        check(&["--reg", "r"], &[(Key::Region, "r")]);
        check(&["--reg=r"], &[(Key::Region, "r")]);
        check(&["--prof", "a", "b", "https://x"], &then(Key::TargetUrl, "https://x"));
        check(&["--no-ss"], &[(Key::Sse, "false")]);
        check(&["", " ", "https://x", ""], &metadata[2..]);
    }

    #[test]
    fn asking_for_help_wins_over_every_mistake() {
        for line in [
            &["--help"][..],
            &["-help"],
            &["--nonsense", "--help"],
            &["--region", "--help"],
            &["a", "b", "--help"],
            &["help"],
            &["help", "doctor"],
        ] {
            assert!(matches!(read_words(line), Ok(Line::Help)), "{line:?}");
        }
        for line in [&["-h"][..], &["--nonsense", "-h"], &["--region", "-h"], &["doctor", "-h"]] {
            assert!(matches!(read_words(line), Ok(Line::BriefHelp)), "{line:?}");
        }
        for line in
            [&["-V"][..], &["--version"], &["-version"], &["--region", "--version"], &["version"]]
        {
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
            &["-max-mess", "1"],
            &["unknown flag --max-mess (did you mean --max-message-bytes?)"],
        );
        let several = "--max is ambiguous \
                       (use one of --max-message-bytes, --max-in-flight)";
        check(&["--max", "1", "https://a"], &[several]);
        check(&["--max=1", "https://a"], &[several]);
        check(&["--frobnicate"], &["unknown flag --frobnicate (see --help)"]);
        check(&["-x"], &["unknown flag -x (see --help)"]);
        check(&["-v", "https://a"], &[]);
        check(&["--no-region"], &["unknown flag --no-region (see --help)"]);
        check(
            &["--frob", "https://a", "--regoin=x"],
            &["unknown flag --frob (see --help)", "unknown flag --regoin (did you mean --region?)"],
        );
        check(&["--listen", "http://127.0.0.1:80/mcp", "https://a"], &[]);
        check(&["--listen", "https://a"], &["--listen needs a value (write --listen ADDRESS)"]);
        check(&["--region"], &["--region needs a value (write --region REGION)"]);
        check(&["--region", "--sse"], &["--region needs a value (write --region REGION)"]);
        check(
            &["--region", "-target-url", "x"],
            &["--region needs a value (write --region REGION)"],
        );
        // The URL is still the target.
        let forgotten = "--profile needs a value (write --profile PROFILE)";
        check(&["--profile", "https://a"], &[forgotten]);
        check(&["--timeout", "arn:a"], &["--timeout needs a value (write --timeout TIME)"]);
        check(&["--header", "Referer: https://b", "https://a"], &[]);
        check(&["--sign-host", "https://b", "https://a"], &[]);
        check(&["--no-sse=true"], &["--no-sse takes no value (omit it)"]);
        let quote = "more than one URL or ARN \
                     (quote values that contain spaces; the commands are doctor, login, logout, completions, help, version)";
        check(&["a", "hush", "b"], &[quote]);
        check(&["serve", "https://a"], &[quote]);
        check(&["docter", "https://a"], &["more than one URL or ARN (did you mean doctor?)"]);
    }

    #[test]
    fn what_is_left_over_from_an_old_command_is_named() {
        let check = |line: &[&str], named: &str| {
            let Ok(Line::Proxy(flags)) = read_words(line) else { panic!("{line:?}") };
            let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
            let expected = format!(
                "configuration error: the arguments contain the command of another program (remove {named}: it belongs to the old command)"
            );
            assert_eq!(problems, [expected], "{line:?}");
            let target = flags.values.iter().find(|(key, _)| *key == Key::TargetUrl);
            assert_eq!(target.map(|(_, value)| &*value.text), Some("https://a"), "{line:?}");
        };
        check(&["mcp-proxy-for-aws@latest", "https://a"], "mcp-proxy-for-aws@latest");
        check(&["https://a", "mcp-proxy-for-aws-cli@1.7.0"], "mcp-proxy-for-aws-cli@1.7.0");
        check(&["-y", "@deotio/mcp-sigv4-proxy", "https://a"], "-y @deotio/mcp-sigv4-proxy");
        check(&["-y @deotio/mcp-sigv4-proxy", "https://a"], "-y @deotio/mcp-sigv4-proxy");
        check(&["--from mcp-proxy-for-aws x", "https://a"], "--from mcp-proxy-for-aws");
        check(&["--yes", "https://a"], "--yes");
        check(&["go", "run", "github.com/b/c@latest", "https://a"], "go run github.com/b/c@latest");
        check(
            &["--from", "mcp-proxy-for-aws", "mcp-proxy-for-aws", "https://a"],
            "--from mcp-proxy-for-aws mcp-proxy-for-aws",
        );
        check(&["--from", "git+https://b/c.git", "https://a"], "--from");
        check(&["--from", "https://b/c.whl", "https://a"], "--from");
        check(&["--from=x", "https://a"], "--from");
        check(&["uvx mcp-proxy-for-aws@latest", "https://a"], "uvx mcp-proxy-for-aws@latest");
        check(&["uvx mcp-proxy-for-aws@latest https://a"], "uvx mcp-proxy-for-aws@latest");
        check(&["-m", "mcp_proxy_for_aws.server", "https://a"], "-m mcp_proxy_for_aws.server");
        check(&["-p", "mcp-remote", "https://a"], "-p mcp-remote");
        check(&["--package=mcp-remote", "https://a"], "--package mcp-remote");
        check(&["/c", "npx", "-y", "mcp-remote", "https://a"], "/c npx -y mcp-remote");
        check(&["node", "/opt/proxy/index.js", "https://a"], "node /opt/proxy/index.js");
        check(&["TOKEN=hush", "uvx", "hush", "https://a"], "uvx");
        check(
            &["run", "--rm", "-i", "-e", "TOKEN=hush", "images.example/a/b:1", "https://a"],
            "run --rm -i -e images.example/a/b:1",
        );
        // A flag that is not known may take a value or none.
        let Ok(Line::Proxy(flags)) =
            read_words(&["--offline", "mcp-remote@0.15.0", "--pin", "a@1.hush", "https://a"])
        else {
            panic!()
        };
        let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[2].contains("(remove mcp-remote@0.15.0: it belongs"), "{problems:?}");
        // Two dashes are not theirs.
        let Ok(Line::Proxy(flags)) = read_words(&["--p", "work", "https://a"]) else { panic!() };
        assert!(flags.problems.is_empty() && flags.values[0].0 == Key::Profile);
        // Without a launcher they are unknown flags like others.
        let Ok(Line::Proxy(flags)) = read_words(&["-p", "work", "https://a"]) else { panic!() };
        let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, ["configuration error: unknown flag -p (see --help)"]);
    }

    #[test]
    fn a_flag_and_its_value_in_one_argument() {
        let check = |line: &[&str], problem: &str, values: &[(Key, &str)]| {
            let Ok(Line::Proxy(flags)) = read_words(line) else { panic!("{line:?}") };
            let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
            assert_eq!(problems, [format!("configuration error: {problem}")], "{line:?}");
            let found = flags.values.iter().map(|(key, value)| (*key, &*value.text));
            assert!(found.eq(values.iter().copied()), "{line:?}");
        };
        let two = |flag: &str, value: &str| {
            format!(
                "{flag} and its value are in one argument (write two arguments: \"{flag}\", \"{value}\")"
            )
        };
        let profile = two("--profile", "PROFILE");
        check(&["--profile work"], &profile, &[(Key::Profile, "work")]);
        check(&["-profile work"], &profile, &[(Key::Profile, "work")]);
        let header = two("--header", "NAME: VALUE");
        check(&["--header X: hush"], &header, &[(Key::Header, "X: hush")]);
        check(&["--header X=hush=1"], &header, &[(Key::Header, "X=hush=1")]);
        let each = "write each as a separate argument";
        let switch = format!("--sse and its value are in one argument ({each})");
        check(&["--sse --lazy"], &switch, &[(Key::Sse, "true")]);
        let url = format!("a URL and a flag are in one argument ({each})");
        check(&["https://a/b --profile work"], &url, &[(Key::TargetUrl, "https://a/b")]);
        check(&["--frob hush"], "unknown flag --frob (see --help)", &[]);
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
