//! The command line → `Line`: a subcommand and its flags, values not yet interpreted.

use crate::cli::completions::Shell;
use crate::cli::flag_names::{self, Named, ambiguous_flag, unknown_flag};
use crate::cli::leftovers::{self, Leftovers, Place};
use crate::cli::old_command::Follows;
use crate::cli::parsed_args::Value;
use crate::cli::problem::usage_error;
use crate::cli::row::{Arity, Key, Row};
use crate::cli::target;
use crate::cli::tokens::{Flag, Token, Tokens, is_target};
use crate::error::Error;
use std::ffi::OsString;

/// The command line: a subcommand and its flags.
pub(crate) enum Line {
    /// A subcommand that has the flags of the proxy.
    Run(Subcommand, Flags),
    Completions(Shell),
    /// `-h`.
    BriefHelp,
    /// `--help`, or `help`.
    Help,
    Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subcommand {
    /// No word: relays between the client and the server.
    Proxy,
    Doctor,
    Login,
    Logout,
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
    fn doubt(&mut self, keys: &[Key], problem: Error) {
        self.in_doubt.extend(keys);
        self.problems.push(problem);
    }

    fn has_target(&self) -> bool {
        self.values.iter().any(|(key, _)| *key == Key::TargetUrl)
    }
}

/// The word that selects what the program does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Run(Subcommand),
    Completions,
    Help,
    Version,
}

impl Word {
    fn of(text: &str) -> Option<Word> {
        Some(match text {
            "doctor" => Word::Run(Subcommand::Doctor),
            "login" => Word::Run(Subcommand::Login),
            "logout" => Word::Run(Subcommand::Logout),
            "completions" => Word::Completions,
            // The usual form on Windows.
            "help" | "/?" => Word::Help,
            "version" => Word::Version,
            _ => return None,
        })
    }
}

/// Sorts the arguments (without the program's name) by their rows. A request for help outranks every error.
pub(crate) fn read(arguments: Vec<OsString>) -> Result<Line, Vec<Error>> {
    let mut tokens = Tokens::new(arguments);
    let mut reader = Reader::default();
    loop {
        match tokens.next() {
            Ok(None) => break,
            Ok(Some(Token::Word(text))) => reader.take_word(text.trim()),
            Ok(Some(Token::Flag(flag))) => {
                if let Some(line) = reader.take_flag(flag, &mut tokens) {
                    return Ok(line);
                }
            }
            Err(error) => reader.flags.doubt(&[], error),
        }
    }
    reader.line()
}

/// What the arguments were so far.
#[derive(Default)]
struct Reader {
    flags: Flags,
    /// URLs and ARNs that stand alone, each with the number of values before it.
    targets: Vec<(usize, String)>,
    /// Those that follow an unknown flag, whose values they may be.
    doubtful_targets: Vec<(usize, String)>,
    word: Option<Word>,
    shell: Option<Shell>,
    leftovers: Leftovers,
    /// The next word may be the value of the last flag, which does not begin an option.
    next: Next,
    /// What a word that is left over would follow.
    place: Place,
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
    /// Takes an argument that is not a flag, nor the value of an option.
    fn take_word(&mut self, text: &str) {
        let is_target_or_more = is_target(text);
        let next = std::mem::take(&mut self.next);
        match next {
            Next::OfLauncher { may_be_url } if may_be_url || !is_target_or_more => {
                return self.leftovers.take_value(text);
            }
            Next::OfUnknownFlag if !is_target_or_more => {
                self.flags.may_hold_missing |= !self.leftovers.take_proxy(text);
                return;
            }
            _ => {}
        }
        if self.word == Some(Word::Completions) {
            self.shell = Shell::of(text);
            return;
        }
        if text.starts_with('-') && text.len() > 1 {
            return self.take_unread_flag(text);
        }
        let is_first =
            self.word.is_none() && self.targets.is_empty() && !self.leftovers.has_words();
        let command = Word::of(text).filter(|_| is_first);
        if command.is_some() {
            self.word = command;
            return;
        }
        match target::before_flag(text) {
            _ if next == Next::OfUnknownFlag => {
                self.place = Place::Nowhere;
                self.doubtful_targets.push((self.flags.values.len(), text.to_owned()));
            }
            Some(url) if is_target_or_more => {
                self.flags.doubt(&[], target::joined_with_flag());
                self.flags.may_hold_missing = true;
                self.take_positional(url);
            }
            _ => self.take_positional(text),
        }
    }

    /// Takes a URL or an ARN, or words that are left over. The argument may hold a whole command.
    fn take_positional(&mut self, text: &str) {
        let at = self.flags.values.len();
        let is_command = self.leftovers.take_command(text);
        let words = if is_command { text.split_whitespace().collect() } else { vec![text] };
        for word in words {
            if is_target(word) {
                self.targets.push((at, word.to_owned()));
                self.place = Place::Nowhere;
            } else if !is_command && !word.is_empty() {
                self.leftovers.take_word(at, word, &self.place);
            }
        }
        if is_command {
            self.place = Place::Nowhere;
        }
    }

    /// Takes a flag after `--` or a space, where it is a word. What follows may be its value.
    fn take_unread_flag(&mut self, text: &str) {
        let (key, problem) = leftovers::unread_flag(text);
        self.flags.doubt(key.as_slice(), problem);
        self.flags.may_hold_missing = true;
        self.place = Place::AfterUnknownFlag;
        if !text.contains('=') {
            self.next = Next::OfUnknownFlag;
        }
    }

    /// Takes a flag and its values. Returns the line that it alone makes.
    fn take_flag(&mut self, flag: Flag, tokens: &mut Tokens) -> Option<Line> {
        let dashes = flag.dashes();
        let written = flag.name.trim();
        self.next = Next::Anything;
        self.place = Place::Nowhere;
        if let Some((name, value)) = written.split_once(char::is_whitespace) {
            let inline = flag.inline_text().map(|inline| format!("={inline}")).unwrap_or_default();
            self.take_joined(dashes, name, format!("{value}{inline}"));
            return None;
        }
        let (named, whole) = flag_names::look_up(written, flag.is_long);
        // `--p` is the beginning of `--profile`, `-p` is of launchers.
        if matches!(named, Named::Ignored { .. } | Named::Unknown(_))
            && let Some(follows) = self.leftovers.take_flag(&flag)
        {
            if flag.inline.is_none() && follows != Follows::Nothing {
                self.next = Next::OfLauncher { may_be_url: follows == Follows::Url };
            }
            return None;
        }
        if let Some(whole) = whole {
            let note = format!("--{written} is read as --{whole}");
            if !self.flags.abbreviated.contains(&note) {
                self.flags.abbreviated.push(note);
            }
        }
        let (row, opposite) = match named {
            Named::Row(row, opposite) => (row, opposite),
            Named::Ignored { takes_value } => {
                if takes_value {
                    self.expect_value(&flag);
                }
                self.flags.ignored.push(format!("--{}", whole.unwrap_or(written)));
                return None;
            }
            Named::Ambiguous(candidates) => {
                let keys = candidates.iter().filter_map(|flag| flag_names::find(flag));
                let keys: Vec<Key> = keys.map(|(row, _)| row.key).collect();
                self.flags.doubt(&keys, ambiguous_flag(written, &candidates));
                self.expect_value(&flag);
                return None;
            }
            Named::Unknown(meant) => {
                self.take_unknown(&flag, meant, tokens);
                return None;
            }
        };
        match row.key {
            Key::Help if written == "h" => return Some(Line::BriefHelp),
            Key::Help => return Some(Line::Help),
            Key::Version => return Some(Line::Version),
            _ => {}
        }
        let name = whole.unwrap_or(written).to_owned();
        match tokens.values(row, &name, opposite, flag.inline) {
            // Without a value it is given nevertheless.
            Ok(texts) if texts.is_empty() => {
                let value = Value { text: String::new(), from: format!("--{name}") };
                self.flags.values.push((row.key, value));
            }
            Ok(texts) => self.add(row, &name, texts),
            Err(error) => self.flags.doubt(&[row.key], error),
        }
        self.place = Place::After(row, format!("--{name}"));
        None
    }

    fn add(&mut self, row: &Row, name: &str, texts: Vec<String>) {
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            // `target` reports it of a URL, which a variable may hold as well.
            if row.key != Key::TargetUrl && leftovers::holds_flag(row, &text) {
                let what = format!("--{name} and another flag are in one argument");
                let problem = usage_error(&what, "write each as a separate argument");
                self.flags.doubt(&[row.key], problem);
                self.flags.may_hold_missing = true;
                continue;
            }
            self.flags.values.push((row.key, Value { text, from: format!("--{name}") }));
        }
    }

    /// The argument after the flag is not checked, in case it is the flag's value.
    fn expect_value(&mut self, flag: &Flag) {
        if flag.inline.is_none() {
            self.next = Next::OfUnknownFlag;
        }
    }

    /// Takes an unknown flag. `meant`: the option that it probably means.
    fn take_unknown(&mut self, flag: &Flag, meant: Option<&'static Row>, tokens: &mut Tokens) {
        let name = flag.name.trim();
        let problem = unknown_flag(name, meant);
        self.place = Place::AfterUnknownFlag;
        let Some(row) = meant else {
            self.flags.doubt(&[], problem);
            self.flags.may_hold_missing = true;
            self.expect_value(flag);
            if let Some(url) = flag.inline_text().filter(|inline| is_target(inline)) {
                self.doubtful_targets.push((self.flags.values.len(), url.into_owned()));
            }
            return;
        };
        self.flags.doubt(&[row.key], problem);
        // The flag that was probably meant takes its value, so that the rest is read as intended.
        let is_request = matches!(row.key, Key::Help | Key::Version);
        if !is_request && let Ok(texts) = tokens.values(row, name, false, flag.inline.clone()) {
            self.add(row, name, texts);
        }
    }

    /// Takes an argument that holds a flag and, after a space, its value: `"--profile work"`. The value may be a secret.
    fn take_joined(&mut self, dashes: &str, name: &str, value: String) {
        let Some((row, opposite)) = flag_names::find(name) else {
            let flag = Flag { name: name.to_owned(), inline: None, is_long: dashes.len() > 1 };
            if let Some(follows) = self.leftovers.take_flag(&flag) {
                let mut words = value.split_whitespace();
                if follows != Follows::Nothing
                    && let Some(value) = words.next()
                {
                    self.leftovers.take_value(value);
                }
                let mut are_own = false;
                for word in words {
                    are_own |= leftovers::is_own_flag(word);
                    if !are_own || is_target(word) {
                        self.take_positional(word);
                    }
                }
                self.flags.may_hold_missing |= are_own;
                return;
            }
            self.flags.may_hold_missing = true;
            return self.flags.doubt(&[], unknown_flag(name, flag_names::meant(name)));
        };
        let what = format!("--{name} and its value are in one argument");
        let fix = match row.takes {
            Arity::Switch => "write each as a separate argument".to_owned(),
            Arity::Value(value) | Arity::Words(value) | Arity::OptionalWords(value) => {
                format!("write two arguments: \"--{name}\", \"{}\"", value.trim_matches('"'))
            }
        };
        self.flags.doubt(&[row.key], usage_error(&what, &fix));
        if leftovers::holds_flag(row, &value) {
            self.flags.may_hold_missing = true;
            return;
        }
        let text = if row.takes == Arity::Switch { (!opposite).to_string() } else { value };
        self.flags.values.push((row.key, Value { text, from: format!("--{name}") }));
    }

    fn line(mut self) -> Result<Line, Vec<Error>> {
        let subcommand = match self.word {
            None => Subcommand::Proxy,
            Some(Word::Run(subcommand)) => subcommand,
            Some(Word::Help) => return Ok(Line::Help),
            Some(Word::Version) => return Ok(Line::Version),
            Some(Word::Completions) if self.flags.problems.is_empty() => {
                return self.shell.map(Line::Completions).ok_or_else(|| {
                    let what = "completions are available for bash, fish, powershell and zsh";
                    vec![usage_error(what, "use one of them")]
                });
            }
            Some(Word::Completions) => return Err(self.flags.problems),
        };
        self.settle_target(subcommand);
        Ok(Line::Run(subcommand, self.flags))
    }

    /// Chooses the server's URL or ARN, and reports what is left over.
    fn settle_target(&mut self, subcommand: Subcommand) {
        let flags = &mut self.flags;
        if self.targets.is_empty() && !flags.has_target() {
            self.targets.append(&mut self.doubtful_targets);
        }
        let takes_url = !matches!(subcommand, Subcommand::Login | Subcommand::Logout);
        let is_old_command = self.leftovers.are_of_old_command();
        if !is_old_command {
            for flag in self.leftovers.take_flags() {
                if flag == "v" {
                    let value = Value { text: "true".to_owned(), from: "-v".to_owned() };
                    flags.values.push((Key::Verbose, value));
                } else {
                    flags.doubt(&[], unknown_flag(&flag, flag_names::meant(&flag)));
                }
            }
            // One without a scheme gets an error of its own.
            if self.targets.is_empty() && !flags.has_target() {
                self.targets.extend(self.leftovers.take_likely_target(takes_url));
            }
        }
        if self.leftovers.has_words() && self.targets.is_empty() && !flags.has_target() {
            flags.in_doubt.push(Key::TargetUrl);
            flags.may_hold_missing |= is_old_command;
        }
        flags.problems.extend(self.leftovers.problems(takes_url));
        if self.targets.len() > 1 {
            let urls: Vec<&str> = self.targets.iter().map(|(_, url)| url.as_str()).collect();
            flags.doubt(&[Key::TargetUrl], leftovers::several_urls(&urls));
        }
        if !self.targets.is_empty() {
            let (at, text) = self.targets.swap_remove(0);
            flags.values.insert(at, (Key::TargetUrl, Value { text, from: "the URL".to_owned() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(line: &[&str]) -> Result<Line, Vec<Error>> {
        read(line.iter().map(OsString::from).collect())
    }

    #[test]
    fn every_way_of_writing_a_flag() {
        let check = |line: &[&str], expected: &[(Key, &str)]| {
            let Ok(Line::Run(Subcommand::Proxy, flags)) = read_words(line) else {
                panic!("{line:?}")
            };
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
        check(&["--profile=a", "x.y"], &[(Key::Profile, "a"), (Key::TargetUrl, "x.y")]);

        let url = (Key::TargetUrl, "https://x");
        let metadata = &[(Key::Metadata, "A=1"), (Key::Metadata, "B=2"), url];
        check(&["--metadata", "A=1", "B=2", "https://x"], metadata);
        check(&["--metadata", "A=1", "--metadata=B=2", "https://x"], metadata);
        let empty = (Key::Metadata, "");
        check(&["--metadata", "https://x"], &[empty, url]);
        check(&["https://x", "--metadata"], &[url, empty]);
        check(&["--metadata", "--", "https://x"], &[empty, url]);
        check(&["--metadata=", "--region", "r"], &[(Key::Region, "r")]);

        check(&["--reg", "r"], &[(Key::Region, "r")]);
        check(&["--reg=r"], &[(Key::Region, "r")]);
        check(&["--prof", "a", "b", "https://x"], &then(Key::TargetUrl, "https://x"));
        check(&["--no-ss"], &[(Key::Sse, "false")]);
        check(&["", " ", "https://x", ""], &[url]);
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
                Ok(Line::Run(Subcommand::Proxy, flags)) => flags.problems,
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
    }

    #[test]
    fn words_that_are_left_over_are_named() {
        let check = |line: &[&str], expected: &[&str], target: Option<&str>| {
            let Ok(Line::Run(_, flags)) = read_words(line) else { panic!("{line:?}") };
            let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
            let expected: Vec<String> =
                expected.iter().map(|text| format!("configuration error: {text}")).collect();
            assert_eq!(problems, expected, "{line:?}");
            let found = flags.values.iter().rfind(|(key, _)| *key == Key::TargetUrl);
            assert_eq!(found.map(|(_, value)| &*value.text), target, "{line:?}");
        };
        let url = Some("https://a");
        let profile = "left over after --profile: prod (write --profile before each value, or quote a value that contains spaces)";
        check(&["--profile=dev", "prod", "https://a"], &[profile], url);
        check(&["https://a", "--profile=dev", "prod"], &[profile], url);
        check(&["--target-url", "https://a", "--profile=dev", "prod"], &[profile], url);
        check(&["--target-url", "https://a", "--prof=dev", "prod"], &[profile], url);
        check(&["--profile=dev", "prod"], &[profile], None);
        let several = profile.replace("prod ", "prod, test ");
        check(&["https://a", "--profile=dev", "prod", "test"], &[&several], url);
        let one = |flag: &str, words: &str| {
            format!(
                "left over after {flag}: {words} ({flag} takes one value: quote it if it contains spaces, or remove the rest)"
            )
        };
        check(&["--region=r", "eu-west-1", "https://a"], &[&one("--region", "eu-west-1")], url);
        check(&["--timeout", "5s", "7s", "8s", "https://a"], &[&one("--timeout", "7s, 8s")], url);
        check(
            &["--region=r", "s", "--timeout=1", "2", "https://a"],
            &[&one("--region", "s"), &one("--timeout", "2")],
            url,
        );
        check(
            &["--read-only", "true", "https://a"],
            &["left over after --read-only: true (write --read-only=true)"],
            url,
        );
        check(
            &["--no-sse", "true", "https://a"],
            &["left over after --no-sse: true (remove it: --no-sse takes no value)"],
            url,
        );
        // Values of these may be secret, and so may the rest of one.
        let header = "left over after --header: 2 words that are not shown (write --header before each value, or quote a value that contains spaces)";
        check(&["--header=X:", "Bearer", "hush", "https://a"], &[header], url);
        let id = one("--external-id", "a word that is not shown");
        check(&["--external-id", "a", "hush", "https://a"], &[&id], url);

        let words = |words: &str| {
            let them = if words.contains(',') { "them" } else { "it" };
            format!(
                "not understood: {words} (remove {them}, or quote values that contain spaces; the commands are doctor, login, logout, completions, help, version)"
            )
        };
        check(&["a", "3.12", "b"], &[&words("a, 3.12, b")], None);
        check(&["serve", "https://a"], &[&words("serve")], url);
        check(&["https://a", "serve", "KEY=hush"], &[&words("serve, KEY=…")], url);
        check(&["a", "mcp.example.com/mcp"], &[&words("a")], Some("mcp.example.com/mcp"));
        check(&["docter", "https://a"], &["not understood: docter (did you mean doctor?)"], url);
        check(
            &["login", "dev"],
            &["not understood: dev (remove it, or write --profile before it)"],
            None,
        );
        check(
            &["https://a", "https://ann:hush@b/c?hush"],
            &[
                "more than one URL or ARN: https://a, https://…@b/c (keep one; each server needs a sigv4-proxy of its own)",
            ],
            url,
        );
        // A single word gets the error of a URL without a scheme.
        check(&["serve"], &[], Some("serve"));
        check(&["--region", "r", "mcp.example.com"], &[], Some("mcp.example.com"));
        // What follows an unknown flag may be its value.
        check(
            &["-H", "Authorization:", "hush", "https://a"],
            &["unknown flag -H (write --header \"NAME: VALUE\")"],
            url,
        );
    }

    #[test]
    fn what_is_left_over_from_an_old_command_is_named() {
        let check = |line: &[&str], named: &str| {
            let Ok(Line::Run(Subcommand::Proxy, flags)) = read_words(line) else {
                panic!("{line:?}")
            };
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
        check(&["--from mcp-proxy-for-aws x", "https://a"], "--from mcp-proxy-for-aws x");
        check(&["-y mcp-remote https://a"], "-y mcp-remote");
        check(&["--yes", "https://a"], "--yes");
        check(&["go", "run", "github.com/b/c@latest", "https://a"], "go run github.com/b/c@latest");
        check(
            &["--from", "mcp-proxy-for-aws", "mcp-proxy-for-aws", "https://a"],
            "--from mcp-proxy-for-aws mcp-proxy-for-aws",
        );
        check(&["--from", "git+https://b/c.git", "https://a"], "--from git+https://b/c.git");
        check(&["--from", "https://u:hush@b/c.whl", "https://a"], "--from https://…@b/c.whl");
        check(&["--from=x", "https://a"], "--from=x");
        check(
            &["uvx", "--python", "3.12", "mcp-proxy-for-aws", "https://a"],
            "uvx --python 3.12 mcp-proxy-for-aws",
        );
        check(
            &["--python=3.12", "uvx", "their-proxy", "https://a"],
            "--python=3.12 uvx their-proxy",
        );
        check(&["uvx mcp-proxy-for-aws@latest", "https://a"], "uvx mcp-proxy-for-aws@latest");
        check(&["uvx mcp-proxy-for-aws@latest https://a"], "uvx mcp-proxy-for-aws@latest");
        check(&["-m", "mcp_proxy_for_aws.server", "https://a"], "-m mcp_proxy_for_aws.server");
        check(&["-p", "mcp-remote", "https://a"], "-p mcp-remote");
        check(&["--package=mcp-remote", "https://a"], "--package=mcp-remote");
        check(&["/c", "npx", "-y", "mcp-remote", "https://a"], "/c npx -y mcp-remote");
        check(&["node", "/opt/proxy/index.js", "https://a"], "node /opt/proxy/index.js");
        check(&["TOKEN=hush", "uvx", "proxy", "https://a"], "TOKEN=… uvx proxy");
        check(
            &["run", "--rm", "-i", "-e", "TOKEN=hush", "images.example/a/b:1", "https://a"],
            "run --rm -i -e TOKEN=… images.example/a/b:1",
        );
        // A flag that is not known may take a value or none.
        let Ok(Line::Run(Subcommand::Proxy, flags)) =
            read_words(&["--frob", "mcp-remote@0.15.0", "--pin", "a@1.hush", "https://a"])
        else {
            panic!()
        };
        let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[2].contains("(remove mcp-remote@0.15.0: it belongs"), "{problems:?}");
        // Two dashes are not theirs.
        let Ok(Line::Run(Subcommand::Proxy, flags)) = read_words(&["--p", "work", "https://a"])
        else {
            panic!()
        };
        assert!(flags.problems.is_empty() && flags.values[0].0 == Key::Profile);
        // Without a launcher they are unknown flags like others.
        let Ok(Line::Run(Subcommand::Proxy, flags)) = read_words(&["-p", "work", "https://a"])
        else {
            panic!()
        };
        let problems: Vec<String> = flags.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, ["configuration error: unknown flag -p (see --help)"]);
    }

    #[test]
    fn a_flag_and_its_value_in_one_argument() {
        let check = |line: &[&str], problem: &str, values: &[(Key, &str)]| {
            let Ok(Line::Run(Subcommand::Proxy, flags)) = read_words(line) else {
                panic!("{line:?}")
            };
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
            let words = line.iter().map(|word| OsString::from_vec(word.to_vec())).collect();
            let Ok(Line::Run(Subcommand::Proxy, flags)) = read(words) else { panic!("{line:?}") };
            assert!(flags.problems[0].message().contains("UTF-8"));
        };
        check(&[b"--region", b"\xff"]);
        check(&[b"--region=\xff"]);
        check(&[b"\xff"]);
    }
}
