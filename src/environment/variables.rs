//! `Environment`: the variables and the home folder, read once and passed on. A value of white space counts as unset.
//!
//! The only place that reads the process's environment; tests build one from pairs.

use crate::error::{Error, Kind};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A snapshot of the environment variables. On Windows the case of their names does not matter.
#[derive(Clone, Default)]
pub struct Environment {
    /// Values, with U+FFFD for bytes that are not UTF-8, so that such a variable still counts as set.
    variables: HashMap<String, String>,
    /// Original values that are not UTF-8.
    unreadable: BTreeMap<String, OsString>,
    home: Option<PathBuf>,
}

impl Environment {
    /// The variables of this process, and its user's home folder if no variable names it. Callers must not act on variables
    /// that [`problems`](Environment::problems) lists.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Environment {
        Environment::from_pairs(std::env::vars_os()).or_home(std::env::home_dir)
    }

    /// An environment of these variables and no others.
    pub fn from_pairs<N: Into<OsString>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Environment {
        let mut environment = Environment::default();
        for (name, value) in pairs {
            // Names that are not UTF-8 are never looked up.
            let Ok(name) = name.into().into_string() else { continue };
            let name = key(&name).into_owned();
            let text = value.into().into_string().unwrap_or_else(|raw| {
                let text = raw.to_string_lossy().into_owned();
                environment.unreadable.insert(name.clone(), raw);
                text
            });
            environment.variables.insert(name, text);
        }
        environment.home = environment.named_home();
        environment
    }

    /// The home folder that a variable names: `HOME`; on Windows `USERPROFILE`, `HOMEDRIVE` with `HOMEPATH`, then `HOME`,
    /// which Git Bash sets to something else. They need not be UTF-8.
    fn named_home(&self) -> Option<PathBuf> {
        let folder = |name: &str| match self.unreadable.get(name) {
            Some(raw) => Some(PathBuf::from(raw)),
            None => self.get(name).map(PathBuf::from),
        };
        let of_drive =
            || Some(PathBuf::from(format!("{}{}", self.get("HOMEDRIVE")?, self.get("HOMEPATH")?)));
        if cfg!(windows) {
            return folder("USERPROFILE").or_else(of_drive).or_else(|| folder("HOME"));
        }
        folder("HOME")
    }

    /// With the password database's home folder if no variable names one.
    fn or_home(mut self, of_account: impl FnOnce() -> Option<PathBuf>) -> Environment {
        self.home = self.home.or_else(|| of_account().filter(|home| home.is_absolute()));
        self
    }

    /// Configuration errors for variables that are not UTF-8 and affect the identity, the policy or the destination. They name the
    /// variable, not its value.
    pub fn problems(&self) -> Vec<Error> {
        let decisive = self.unreadable.keys().filter(|name| is_decisive(name));
        let problem = |name: &String| {
            Error::new(Kind::Usage, format!("{name} is not UTF-8"))
                .context("configuration error")
                .hint("write it in UTF-8, or unset it")
        };
        decisive.map(problem).collect()
    }

    /// Whether a variable is UTF-8, if it is set.
    pub fn is_readable(&self, name: &str) -> bool {
        !self.unreadable.contains_key(&*key(name))
    }

    /// The value without ASCII white space at both ends; `None` when unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value =
            self.variables.get(&*key(name))?.trim_matches(|c: char| c.is_ascii_whitespace());
        (!value.is_empty()).then_some(value)
    }

    /// The first of `names` that is set, with its name.
    pub fn first<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    /// The home folder that a variable names, else the password database's.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// A path in the home folder, if that is known. On Windows `path` may be written with either separator.
    pub(crate) fn in_home(&self, path: &str) -> Option<PathBuf> {
        let home = self.home()?;
        Some(if cfg!(windows) { home.join(path.replace('/', "\\")) } else { home.join(path) })
    }

    /// A path with the home folder in place of a leading `~/`. As in AWS's tools, `~user` is not expanded.
    pub fn path(&self, text: &str) -> PathBuf {
        let rest = text
            .strip_prefix("~/")
            .or_else(|| if cfg!(windows) { text.strip_prefix("~\\") } else { None });
        rest.and_then(|rest| self.in_home(rest)).unwrap_or_else(|| PathBuf::from(text))
    }
}

/// A name as it is stored.
fn key(name: &str) -> Cow<'_, str> {
    if cfg!(windows) { name.to_ascii_uppercase().into() } else { name.into() }
}

/// Whether a variable belongs to the AWS SDKs or to MCP, or is another one that is read here.
fn is_decisive(name: &str) -> bool {
    const OTHERS: [&str; 7] = [
        "AGENT_ARN",
        "ALL_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "RUNTIME_SESSION_MODE",
        "SSL_CERT_FILE",
    ];
    ["AWS_", "MCP_", "AGENTCORE_"].iter().any(|start| name.starts_with(start))
        || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Prints names only: a value may be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_unset_and_values_are_trimmed() {
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
    fn the_account_has_a_home_folder_where_no_variable_names_one() {
        let account = if cfg!(windows) { r"C:\Users\ann" } else { "/home/account" };
        let home = |variable: &str| {
            let environment = Environment::from_pairs([("HOME", variable)]);
            environment.or_home(|| Some(account.into())).path("~/x")
        };
        assert_eq!(home(""), Path::new(account).join("x"));
        assert_eq!(home("/home/ann"), Path::new("/home/ann").join("x"));
    }

    #[cfg(windows)]
    #[test]
    fn windows_has_names_in_any_case_and_its_own_home_folder() {
        let all = [
            ("UserProfile", r"C:\Users\ann"),
            ("HOMEDRIVE", "D:"),
            ("HomePath", r"\ann"),
            ("HOME", "/c/Users/ann"),
        ];
        for (count, expected) in [(0, r"C:\Users\ann"), (1, r"D:\ann"), (3, "/c/Users/ann")] {
            let environment = Environment::from_pairs(all[count..].iter().copied());
            assert_eq!(environment.home(), Some(Path::new(expected)));
        }
        let environment = Environment::from_pairs([("aws_profile", "work")]);
        assert_eq!(environment.get("AWS_PROFILE"), Some("work"));
        assert_eq!(environment.get("aws_Profile"), Some("work"));
        let environment = Environment::from_pairs([("USERPROFILE", r"C:\Users\ann")]);
        for written in ["~/.aws/config", r"~\.aws\config"] {
            let path = environment.path(written).display().to_string();
            assert_eq!(path, r"C:\Users\ann\.aws\config");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_utf_8_counts_as_set_and_is_an_error_where_it_decides() {
        use std::os::unix::ffi::OsStringExt;
        let bad = || OsString::from_vec(b"w\xffrk".to_vec());
        let names =
            ["AWS_PROFILE", "MCP_READ_ONLY", "no_proxy", "HTTPS_PROXY", "LS_COLORS", "HOME"];
        let environment = Environment::from_pairs(names.map(|name| (name, bad())));
        let problems = environment.problems();
        let problems: Vec<&str> = problems.iter().map(Error::message).collect();
        let expected = ["AWS_PROFILE", "HTTPS_PROXY", "MCP_READ_ONLY", "no_proxy"];
        assert_eq!(problems, expected.map(|n| format!("configuration error: {n} is not UTF-8")));
        assert_eq!(environment.get("AWS_PROFILE"), Some("w\u{fffd}rk"));
        assert!(!environment.is_readable("LS_COLORS") && environment.is_readable("UNSET"));
        assert_eq!(environment.path("~/x"), Path::new(&bad()).join("x"));
    }

    #[test]
    fn values_are_not_printed() {
        let environment = Environment::from_pairs([("AWS_SECRET_ACCESS_KEY", "hush")]);
        assert!(!format!("{environment:?}").contains("hush"));
    }
}
