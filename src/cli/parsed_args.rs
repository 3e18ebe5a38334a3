//! `ParsedArgs`: the values of flags and variables, not yet interpreted.

use crate::cli::row::Key;
use crate::cli::table;
use crate::environment::Environment;

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
        let (name, text) = self.environment.first(table::row(key).environment)?;
        Some(Value { text: text.to_owned(), from: name.to_owned() })
    }
}
