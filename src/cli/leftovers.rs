//! `Leftovers`: arguments that have no meaning here, and the errors that name them without showing what may be secret.

use crate::cli::old_command::{self, Follows};
use crate::cli::problem::usage_error;
use crate::cli::row::{Arity, Key, Row};
use crate::cli::table::COMMANDS;
use crate::cli::tokens::{Flag, is_target};
use crate::cli::{flag_names, values};
use crate::error::Error;
use crate::suggest::nearest;

/// Maximum number of words that an error names.
const MAX_NAMED: usize = 16;

/// Maximum length of a word that an error shows, in characters.
const MAX_SHOWN: usize = 96;

/// Options whose values may be secret. The rest of an unquoted value would follow them.
const MAY_BE_SECRET: [Key; 5] =
    [Key::ExternalId, Key::Header, Key::Headers, Key::Metadata, Key::RuntimeSession];

/// What a word follows.
#[derive(Clone, Default)]
pub(crate) enum Place {
    #[default]
    Nowhere,
    /// An option and its values; the flag as it is written.
    After(&'static Row, String),
    AfterUnknownFlag,
}

/// The arguments that are left over, in their order.
#[derive(Default)]
pub(crate) struct Leftovers(Vec<Leftover>);

struct Leftover {
    text: String,
    kind: Kind,
    /// What a word follows.
    place: Place,
    /// The number of values before it.
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing but a part of the command of another program.
    Certain,
    /// A flag of launchers; alone it may be a mistake of another kind.
    Flag,
    /// The value of such a flag.
    Value,
    Word,
}

impl Leftovers {
    fn add(&mut self, kind: Kind, text: impl Into<String>) {
        self.0.push(Leftover { text: text.into(), kind, place: Place::Nowhere, at: 0 });
    }

    /// Takes the words of an argument in which at least one can only belong to another command, except URLs and ARNs.
    /// Returns whether it is one. The first flag that is not of launchers begins the arguments of the proxy.
    pub(crate) fn take_command(&mut self, text: &str) -> bool {
        let is_command = text.split_whitespace().any(old_command::is_leftover);
        let words = text.split_whitespace().take_while(|word| !is_own_flag(word));
        for word in words.filter(|word| is_command && !is_target(word)) {
            self.add(Kind::Certain, word);
        }
        is_command
    }

    /// Takes a word that is neither a URL nor the value of an option. What follows an unknown flag is named with the flag.
    pub(crate) fn take_word(&mut self, at: usize, text: &str, place: &Place) {
        if !matches!(place, Place::AfterUnknownFlag) {
            let (text, place) = (text.to_owned(), place.clone());
            self.0.push(Leftover { text, kind: Kind::Word, place, at });
        }
    }

    /// Takes a flag of launchers. Returns what follows it; `None`: not such a flag.
    pub(crate) fn take_flag(&mut self, flag: &Flag) -> Option<Follows> {
        let name = flag.name.trim();
        let follows = old_command::follows_flag(name)?;
        let value = flag.inline_text();
        let is_certain = old_command::is_certain_flag(name)
            || value.as_deref().is_some_and(old_command::is_leftover);
        let value = value.map(|value| format!("={value}")).unwrap_or_default();
        let kind = if is_certain { Kind::Certain } else { Kind::Flag };
        self.add(kind, format!("{}{name}{value}", flag.dashes()));
        Some(follows)
    }

    /// Takes the value of a flag of launchers.
    pub(crate) fn take_value(&mut self, value: &str) {
        let is_certain = old_command::is_leftover(value);
        self.add(if is_certain { Kind::Certain } else { Kind::Value }, value);
    }

    /// Takes the package of a proxy, which follows a flag that is not known. Returns whether it is one. Any other word may be
    /// that flag's value, and a secret.
    pub(crate) fn take_proxy(&mut self, word: &str) -> bool {
        let is_one = old_command::is_proxy_package(word);
        if is_one {
            self.add(Kind::Certain, word);
        }
        is_one
    }

    pub(crate) fn has_words(&self) -> bool {
        self.0.iter().any(|leftover| leftover.kind == Kind::Word)
    }

    /// Whether one of them can only belong to another command.
    pub(crate) fn are_of_old_command(&self) -> bool {
        self.0.iter().any(|leftover| leftover.kind == Kind::Certain)
    }

    /// Takes out the flags of launchers, without dashes and values, and what follows them.
    pub(crate) fn take_flags(&mut self) -> Vec<String> {
        let (words, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|one| one.kind == Kind::Word);
        self.0 = words;
        let flags = rest.into_iter().filter(|one| one.kind == Kind::Flag);
        let name = |flag: Leftover| {
            let name = flag.text.trim_start_matches('-');
            name.split('=').next().unwrap_or(name).to_owned()
        };
        flags.map(name).collect()
    }

    /// Takes out the word that was probably meant to be the server's URL: the only one that looks like a host or, if a URL is
    /// expected, the only one that does not follow an option.
    pub(crate) fn take_likely_target(&mut self, is_expected: bool) -> Option<(usize, String)> {
        let only = |is_meant: &dyn Fn(&Leftover) -> bool| {
            let mut places = (0..self.0.len()).filter(|at| is_meant(&self.0[*at]));
            places.next().filter(|_| places.next().is_none())
        };
        let alone = |one: &Leftover| is_expected && matches!(one.place, Place::Nowhere);
        let at = only(&|one| looks_like_host(&one.text)).or_else(|| only(&alone))?;
        let Leftover { text, at, .. } = self.0.remove(at);
        Some((at, text))
    }

    /// The errors about all of them. `takes_url`: the subcommand has a server.
    pub(crate) fn problems(&self, takes_url: bool) -> Vec<Error> {
        let is_old_command = self.are_of_old_command();
        let (mut of_command, mut alone) = (Vec::new(), Vec::new());
        let mut after: Vec<(&'static Row, &str, Vec<&str>)> = Vec::new();
        for Leftover { text, place, .. } in &self.0 {
            match place {
                Place::After(row, flag) => match after.last_mut() {
                    Some((_, last, words)) if *last == flag => words.push(text),
                    _ => after.push((row, flag, vec![text])),
                },
                _ if is_old_command => of_command.push(text.as_str()),
                _ => alone.push(text.as_str()),
            }
        }
        let mut problems = Vec::new();
        if is_old_command {
            let what = "the arguments contain the command of another program";
            let fix = format!("remove {}: it belongs to the old command", list(&of_command, " "));
            problems.push(usage_error(what, &fix));
        }
        if !alone.is_empty() {
            let what = format!("not understood: {}", list(&alone, ", "));
            let them = if alone.len() == 1 { "it" } else { "them" };
            let fix = match meant_command(alone[0]) {
                Some(command) => format!("did you mean {command}?"),
                None if !takes_url => format!("remove {them}, or write --profile before {them}"),
                None => {
                    let commands = COMMANDS.join(", ");
                    format!(
                        "remove {them}, or quote values that contain spaces; the commands are {commands}"
                    )
                }
            };
            problems.push(usage_error(&what, &fix));
        }
        let after = after.into_iter().take(MAX_NAMED);
        problems.extend(after.map(|(row, flag, words)| left_over_after(row, flag, &words)));
        problems
    }
}

/// The error about words after an option that does not take them.
fn left_over_after(row: &Row, flag: &str, words: &[&str]) -> Error {
    let named = match words.len() {
        _ if !MAY_BE_SECRET.contains(&row.key) => list(words, ", "),
        1 => "a word that is not shown".to_owned(),
        count => format!("{count} words that are not shown"),
    };
    let is_opposite = flag_names::find(&flag[2..]).is_some_and(|(_, is_opposite)| is_opposite);
    let fix = match row.takes {
        Arity::Switch if !is_opposite && values::switch(words[0]).is_ok() => {
            format!("write {flag}={}", words[0])
        }
        Arity::Switch => format!("remove it: {flag} takes no value"),
        Arity::Value(_) => {
            format!("{flag} takes one value: quote it if it contains spaces, or remove the rest")
        }
        Arity::Words(_) | Arity::OptionalWords(_) => {
            format!("write {flag} before each value, or quote a value that contains spaces")
        }
    };
    usage_error(&format!("left over after {flag}: {named}"), &fix)
}

/// The command that was probably meant by a word that is none.
pub(crate) fn meant_command(word: &str) -> Option<&'static str> {
    nearest(word, COMMANDS).filter(|command| *command != word)
}

/// The error about several servers.
pub(crate) fn several_urls(urls: &[&str]) -> Error {
    let what = format!("more than one URL or ARN: {}", list(urls, ", "));
    usage_error(&what, "keep one; each server needs a sigv4-proxy of its own")
}

/// Words as an error names them.
fn list(words: &[&str], separator: &str) -> String {
    let named = words.iter().take(MAX_NAMED).map(|word| shown(word));
    let list = named.collect::<Vec<String>>().join(separator);
    match words.len().saturating_sub(MAX_NAMED) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

/// A word as errors show it: `…` stands for what may be secret.
pub(crate) fn shown(word: &str) -> String {
    if word.starts_with('-') {
        return match split_flag(word) {
            (name, "") => bounded(name),
            (name, value) if is_flag_of_launchers(word) && value.starts_with('=') => {
                format!("{name}={}", shown(&value[1..]))
            }
            (name, _) => format!("{}=…", bounded(name)),
        };
    }
    if let Some((scheme, rest)) = word.split_once("://") {
        let is_end = |c: char| matches!(c, '?' | '#') || c.is_whitespace();
        let rest = rest.split(is_end).next().unwrap_or(rest);
        let (user, rest) = match rest.rsplit_once('@') {
            Some((_, rest)) => ("…@", rest),
            None => ("", rest),
        };
        return bounded(&format!("{scheme}://{user}{rest}"));
    }
    if old_command::is_leftover(word) || is_target(word) {
        return bounded(word);
    }
    match word.split_once('=') {
        Some((name, _)) if is_plain(name) => format!("{name}=…"),
        None if is_plain(word) => word.to_owned(),
        _ => "…".to_owned(),
    }
}

/// Whether the value of an option holds another flag, whose value may be a secret. Values that may be secret themselves are not
/// shown anyway, and may hold anything.
pub(crate) fn holds_flag(row: &Row, value: &str) -> bool {
    let is_known = |word: &str| {
        let name = split_flag(word).0.strip_prefix("--");
        name.is_some_and(|name| flag_names::find(name).is_some())
    };
    !MAY_BE_SECRET.contains(&row.key) && value.split_whitespace().skip(1).any(is_known)
}

/// The name of a flag with its dashes, and what follows it in the same word.
fn split_flag(word: &str) -> (&str, &str) {
    let is_end = |c: char| matches!(c, '=' | ':') || c.is_whitespace();
    word.split_at(word.find(is_end).unwrap_or(word.len()))
}

fn is_flag_of_launchers(word: &str) -> bool {
    let (name, _) = split_flag(word);
    old_command::follows_flag(name.trim_start_matches('-')).is_some()
}

/// Whether a word is a flag that no launcher has.
pub(crate) fn is_own_flag(word: &str) -> bool {
    word.starts_with('-') && !is_flag_of_launchers(word)
}

/// The error about a word that has the form of a flag, and the option that it names.
pub(crate) fn unread_flag(word: &str) -> (Option<Key>, Error) {
    let (name, _) = split_flag(word);
    let named = flag_names::find(name.trim_start_matches('-'));
    let what = format!("not read as a flag: {}", shown(word));
    let fix = "write flags before --, and without a space before their dashes";
    (named.map(|(row, _)| row.key), usage_error(&what, fix))
}

/// The text, cut if it is long.
fn bounded(text: &str) -> String {
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

/// Whether a word is neither a key nor a token nor a password as programs make them: it is a path, or consists of short parts.
fn is_plain(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.bytes().any(|byte| kind(&byte));
    let is_random = word.len() >= 20
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase);
    let is_path = word.starts_with(['/', '~', '.']) || word.get(1..2) == Some(":");
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,/\\:@+~<>[]*^${}%()".contains(&byte);
    let is_short = |part: &str| {
        let is_mixed = part.contains(|c: char| c.is_ascii_digit())
            && part.contains(|c: char| c.is_ascii_alphabetic());
        part.len() < if is_mixed { 12 } else { 25 }
    };
    word.len() <= MAX_SHOWN
        && (is_path || !is_random)
        && word.bytes().all(is_allowed)
        && word.split(|c: char| !c.is_ascii_alphanumeric()).all(is_short)
}

/// A host with or without a path: `mcp.example.com/mcp`, `localhost:8080`; not a version such as `3.12`.
pub(crate) fn looks_like_host(word: &str) -> bool {
    word.contains(['/', ':'])
        || word.contains('.') && word.contains(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (word, expected) in [
            ("prod", "prod"),
            ("3.12", "3.12"),
            ("eu-west-1", "eu-west-1"),
            ("/home/ann/.aws:/root/.aws:ro", "/home/ann/.aws:/root/.aws:ro"),
            ("C:\\Users\\ann", "C:\\Users\\ann"),
            ("TOKEN=hush", "TOKEN=…"),
            ("mcp-proxy-for-aws==1.7.0", "mcp-proxy-for-aws==1.7.0"),
            ("https://ann:hush@a.example/b?token=hush#hush", "https://…@a.example/b"),
            ("https://a.example/b@c", "https://…@c"),
            ("AKIAIOSFODNN7EXAMPLE", "…"),
            ("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "…"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.abc", "…"),
            ("0f8fad5b-d9cb-469f-a165-70867728950e", "…"),
            ("correct&horse", "…"),
            ("hüsh", "…"),
            ("hu sh", "…"),
            ("https://a.example/b --header X:hush", "https://a.example/b"),
            ("--sse", "--sse"),
            ("--header=X:hush", "--header=…"),
            ("--header X:hush", "--header=…"),
            ("-HX-Key:hush", "-HX-Key=…"),
            ("--header=X: hush.py http://a", "--header=…"),
            ("-e=TOKEN=hush", "-e=TOKEN=…"),
            ("--from=mcp-proxy-for-aws@latest", "--from=mcp-proxy-for-aws@latest"),
        ] {
            assert_eq!(shown(word), expected, "{word}");
        }
        let long = format!("https://a.example/{}", "b".repeat(1000));
        assert!(shown(&long).len() < 128);
        let many = vec!["word"; 100];
        assert!(list(&many, " ").ends_with("word and 84 more"));
    }
}
