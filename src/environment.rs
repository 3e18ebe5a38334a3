//! `Environment`: the variables and the home folder, read once and passed on. Blank means unset.
//!
//! The only place that reads the process's environment; tests build one from pairs.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A snapshot of the environment variables.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// The variables of this process. One whose name or value is not UTF-8 counts as unset.
    pub fn of_process() -> Environment {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let all = std::env::vars_os();
        Environment::from_pairs(all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Environment {
        Environment { variables: pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// The value, ASCII white space at both ends removed; `None` when unset or blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?.trim_matches(|c: char| c.is_ascii_whitespace());
        (!value.is_empty()).then_some(value)
    }

    /// The first of `names` that is set, with its name.
    pub fn first<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// `$HOME`; on Windows `%USERPROFILE%` after it.
    pub fn home(&self) -> Option<&Path> {
        let home =
            self.get("HOME").or_else(|| if cfg!(windows) { self.get("USERPROFILE") } else { None });
        home.map(Path::new)
    }

    /// A path as AWS writes it: a leading `~/` is the home folder, `~user` is not anything.
    pub fn path(&self, text: &str) -> PathBuf {
        let rest = text
            .strip_prefix("~/")
            .or_else(|| if cfg!(windows) { text.strip_prefix("~\\") } else { None });
        match (rest, self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        }
    }
}

/// Names only: a value may be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_unset_and_blanks_around_a_value_go() {
        let environment = Environment::from_pairs([("A", " \t"), ("B", " us-east-1\r"), ("C", "")]);
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.get("B"), Some("us-east-1"));
        assert_eq!(environment.first(&["A", "C", "B"]), Some(("B", "us-east-1")));
    }

    #[test]
    fn only_a_leading_tilde_slash_is_the_home_folder() {
        let environment = Environment::from_pairs([("HOME", "/home/ann")]);
        assert_eq!(environment.path("~/.aws/config"), Path::new("/home/ann/.aws/config"));
        assert_eq!(environment.path("~bob/x"), Path::new("~bob/x"));
        assert_eq!(environment.path("/etc/x"), Path::new("/etc/x"));
    }

    #[test]
    fn values_are_not_printed() {
        let environment = Environment::from_pairs([("AWS_SECRET_ACCESS_KEY", "hush")]);
        assert!(!format!("{environment:?}").contains("hush"));
    }
}
