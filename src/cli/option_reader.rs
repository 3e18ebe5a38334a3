//! `OptionReader`: reads the values of options and collects what is wrong with them.

use crate::cli::doubts;
use crate::cli::duration;
use crate::cli::parsed_args::{ParsedArgs, Value};
use crate::cli::row::Key;
use crate::cli::table;
use crate::cli::values;
use crate::environment::Environment;
use crate::error::Error;
use std::time::Duration;

/// Maximum number of errors; no user fixes more at once.
const MAX_PROBLEMS: usize = 64;

/// Reads one option after another. An error is reported once, and none for an option that is already in doubt.
pub(crate) struct OptionReader<'a> {
    pub(crate) args: ParsedArgs<'a>,
    pub(crate) environment: &'a Environment,
    problems: Vec<(Key, Error)>,
    in_doubt: Vec<Key>,
    may_hold_missing: bool,
    warnings: Vec<String>,
}

impl<'a> OptionReader<'a> {
    /// `in_doubt`: options that already have a problem. `may_hold_missing`: an argument that was not recognised may hold what
    /// is missing.
    pub(crate) fn new(
        args: ParsedArgs<'a>,
        environment: &'a Environment,
        in_doubt: Vec<Key>,
        may_hold_missing: bool,
    ) -> Self {
        OptionReader {
            args,
            environment,
            problems: Vec::new(),
            in_doubt,
            may_hold_missing,
            warnings: Vec::new(),
        }
    }

    /// The value of an option as it is.
    pub(crate) fn text(&self, key: Key) -> Option<String> {
        Some(self.args.value(key)?.text)
    }

    /// The values of all flags of an option.
    pub(crate) fn words(&self, key: Key) -> Vec<String> {
        self.args.flags(key).map(|value| value.text.clone()).collect()
    }

    /// The values of all flags of an option that can be read.
    pub(crate) fn parsed_words(
        &mut self,
        key: Key,
        read: fn(&str) -> Result<String, Error>,
    ) -> Vec<String> {
        let values: Vec<Value> = self.args.flags(key).cloned().collect();
        let parsed =
            values.into_iter().map(|value| self.checked(key, &value.from, read(&value.text)));
        parsed.flatten().collect()
    }

    pub(crate) fn parsed<T>(&mut self, key: Key, read: fn(&str) -> Result<T, Error>) -> Option<T> {
        let Value { text, from } = self.args.value(key)?;
        self.checked(key, &from, read(&text))
    }

    /// The value. An error is reported, after the name of what it was read from.
    pub(crate) fn checked<T>(&mut self, key: Key, from: &str, read: Result<T, Error>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(key, error.context(from).context("configuration error"));
                None
            }
        }
    }

    /// The user's value; the table's default if there is none or it is invalid.
    pub(crate) fn or_default<T>(&mut self, key: Key, read: fn(&str) -> Result<T, Error>) -> T {
        self.parsed(key, read).unwrap_or_else(|| {
            read(table::row(key).default).expect("the defaults of the table are valid")
        })
    }

    pub(crate) fn switch(&mut self, key: Key) -> Option<bool> {
        self.parsed(key, values::switch)
    }

    pub(crate) fn is_on(&mut self, key: Key) -> bool {
        self.switch(key).unwrap_or(false)
    }

    /// A time limit; `None`: none.
    pub(crate) fn limit(&mut self, key: Key) -> Option<Duration> {
        self.or_default(key, duration::parse)
    }

    pub(crate) fn report(&mut self, key: Key, error: Error) {
        let error = match doubts::flaw_of(&self.args, key) {
            Some((from, flaw)) => error.hint(format!("{from} {flaw}")),
            None => error,
        };
        let is_reported = self.problems.iter().any(|(_, other)| other.message() == error.message());
        let may_be_added = !is_reported && self.problems.len() < MAX_PROBLEMS;
        if may_be_added && !self.in_doubt.contains(&key) {
            self.problems.push((key, error));
        }
    }

    /// Reports that a required option is missing, unless an argument that was not recognised may hold it.
    pub(crate) fn report_missing(&mut self, key: Key, error: Error) {
        if !self.may_hold_missing {
            self.report(key, error);
        }
    }

    /// What is missing may follow from an option that cannot be read.
    pub(crate) fn excuse_missing(&mut self) {
        self.may_hold_missing = true;
    }

    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The problems, in the order of the table, and the warnings.
    pub(crate) fn finish(mut self) -> (Vec<(Key, Error)>, Vec<String>) {
        self.problems.sort_by_key(|(key, _)| *key);
        (self.problems, self.warnings)
    }
}
