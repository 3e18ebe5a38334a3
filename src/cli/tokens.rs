//! `Tokens`: the command line as flags, their values, and words.

use crate::cli::flag_names;
use crate::cli::problem::usage_error;
use crate::cli::row::{Arity, Key, Row};
use crate::error::Error;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

pub(crate) enum Token {
    Word(String),
    Flag(Flag),
}

/// A flag as it is written. Its values are read when it is known how many it takes.
pub(crate) struct Flag {
    /// Without dashes.
    pub(crate) name: String,
    /// The value after `=`.
    pub(crate) inline: Option<OsString>,
    /// It has two dashes.
    pub(crate) is_long: bool,
}

impl Flag {
    pub(crate) fn dashes(&self) -> &'static str {
        if self.is_long { "--" } else { "-" }
    }

    /// The value after `=`, for messages and comparisons.
    pub(crate) fn inline_text(&self) -> Option<Cow<'_, str>> {
        self.inline.as_deref().map(OsStr::to_string_lossy)
    }
}

/// What lexopt reads, plus Go's single dash.
pub(crate) struct Tokens {
    parser: lexopt::Parser,
    no_more_flags: bool,
}

impl Tokens {
    /// The arguments without the program's name.
    pub(crate) fn new(arguments: Vec<OsString>) -> Tokens {
        Tokens { parser: lexopt::Parser::from_args(arguments), no_more_flags: false }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Token>, Error> {
        if !self.no_more_flags
            && let Some(mut raw) = self.parser.try_raw_args()
        {
            self.no_more_flags = raw.peek().is_some_and(|argument| argument == "--");
            let is_single =
                |argument: &OsStr| single_dash(argument).is_some() || is_pasted_flag(argument);
            if let Some(argument) = raw.next_if(is_single) {
                let argument = text(argument, "a flag")?;
                let written = argument.strip_prefix('-').unwrap_or(&argument);
                let (name, inline) = match written.split_once('=') {
                    Some((name, value)) => (name, Some(value.into())),
                    None => (written, None),
                };
                let name = name.to_owned();
                return Ok(Some(Token::Flag(Flag { name, inline, is_long: false })));
            }
        }
        let (name, is_long) = match self.parser.next() {
            Ok(Some(lexopt::Arg::Long(name))) => (name.to_owned(), true),
            Ok(Some(lexopt::Arg::Short(letter))) => (letter.to_string(), false),
            Ok(Some(lexopt::Arg::Value(value))) => {
                return text(value, "an argument").map(|text| Some(Token::Word(text)));
            }
            Ok(None) => return Ok(None),
            Err(error) => return Err(usage_error(&error.to_string(), "see --help")),
        };
        let inline = self.parser.optional_value();
        Ok(Some(Token::Flag(Flag { name, inline, is_long })))
    }

    /// The values of the flag just read, trimmed.
    pub(crate) fn values(
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
                let is_more =
                    |next: &OsStr| !is_flag(next) && !next.to_str().is_some_and(is_target);
                while let Some(word) = raw.next_if(is_more) {
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

/// Whether this is a flag with a dash that an editor or a chat made of `--`: `—region`. Its name begins with that dash, so it
/// is unknown.
fn is_pasted_flag(argument: &OsStr) -> bool {
    let name = argument.to_str().map(|text| text.strip_prefix('-').unwrap_or(text));
    name.is_some_and(|name| name.starts_with(flag_names::TYPOGRAPHIC_DASHES))
}

/// Whether this is the next flag where a value is expected.
fn is_flag(argument: &OsStr) -> bool {
    let known = |name: &str| flag_names::find(name).is_some();
    argument.to_str().is_some_and(|text| text.starts_with("--"))
        || single_dash(argument).is_some_and(known)
        || is_pasted_flag(argument)
        || argument == "-h"
        || argument == "-V"
}

/// Whether this is the URL after `--profile a b`, not one more profile.
pub(crate) fn is_target(text: &str) -> bool {
    text.contains("://") || text.starts_with("arn:")
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
