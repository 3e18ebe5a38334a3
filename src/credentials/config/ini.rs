//! AWS's dialect of INI: the bytes of a config or credentials file → its sections. Pure.
//!
//! AWS's rules are applied to each line, which is written in a form that leaves nothing to interpretation; rust-ini then parses
//! that, one section at a time, so that a large file takes little memory. Errors name the line and never quote it, since it may
//! hold a secret.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ini::{Ini, ParseOption};
use memchr::memchr2;

use crate::credentials::config::header::{self, MISNAMED};
use crate::error::{Error, Kind};

pub use crate::credentials::config::header::Dialect;

/// The sections of a file. Sections of other kinds are left out.
#[derive(Debug, Default)]
pub struct Sections {
    pub profiles: BTreeMap<String, Section>,
    pub sso_sessions: BTreeMap<String, Section>,
    pub services: BTreeMap<String, Section>,
    /// Profiles whose sections are left out because their headers are written as in the other file.
    pub misnamed: BTreeSet<String>,
}

/// The settings of a section; names are in lower case.
#[derive(Default)]
pub struct Section {
    /// In their order; of several with one name the last counts. The name of a nested setting is `block=name`.
    settings: Vec<(Box<str>, Box<str>)>,
}

impl Section {
    /// The value, including quotes; an empty value counts as unset. The lines of a continued value are joined with `\n`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.settings.iter().rev().find(|(other, _)| **other == *name)?;
        Some(&**value).filter(|value| !value.is_empty())
    }

    /// The value of a setting in the indented block below `block =`.
    pub fn nested(&self, block: &str, name: &str) -> Option<&str> {
        let is_meant = |other: &str| other.split_once('=') == Some((block, name));
        // Another block of the name replaces all of the earlier one.
        let mut of_block = self.settings.iter().rev().take_while(|(other, _)| **other != *block);
        let (_, value) = of_block.find(|(other, _)| is_meant(other))?;
        Some(&**value).filter(|value| !value.is_empty())
    }
}

/// Prints names only, because values may be secrets.
impl fmt::Debug for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.settings.iter().map(|(name, _)| name)).finish()
    }
}

/// Parses a file. Sections with the same name are merged, and of settings with the same name the last counts.
///
/// # Errors
/// The file is not UTF-8 or a line is not in AWS's format. In the hint, `FILE` stands for the name of the file, which the
/// caller knows.
pub fn parse(bytes: &[u8], dialect: Dialect) -> Result<Sections, Error> {
    let mut reader = Reader {
        dialect,
        sections: Sections::default(),
        bare_default: None,
        normalized: String::new(),
        position: Position::BeforeSections,
    };
    let mut number = 0;
    for line in text(bytes)?.split('\n') {
        number += 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        reader.take(line).map_err(|fault| at_line(number, fault))?;
    }
    reader.end_section().map_err(|fault| at_line(number, fault))?;
    let Reader { mut sections, bare_default, .. } = reader;
    // `[profile default]` replaces all `[default]` sections, wherever they are.
    if let Some(section) = bare_default {
        sections.profiles.entry("default".to_owned()).or_insert(section);
    }
    Ok(sections)
}

/// The text without the byte order mark that Notepad writes.
fn text(bytes: &[u8]) -> Result<&str, Error> {
    let error = || Error::new(Kind::Credentials, "not UTF-8").hint("save FILE as UTF-8");
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(error().hint("UTF-16? save FILE as UTF-8"));
    }
    str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map_err(|_| error())
}

/// What is wrong with a line, and the form that it should have.
type Fault = (&'static str, &'static str);

const SETTING: &str = "NAME = VALUE";

fn fault(what: &'static str, form: &'static str) -> Fault {
    (what, form)
}

/// The sections so far, and the one that the next line is in.
struct Reader {
    dialect: Dialect,
    sections: Sections,
    /// What `[default]` sections of the config file have.
    bare_default: Option<Section>,
    /// The section in the form for rust-ini: without comments and empty lines, its header as `[kind name]`, continued values in
    /// the line of their setting, and nested settings as `block=name`, which cannot be the name of another setting.
    normalized: String,
    position: Position,
}

impl Reader {
    fn take(&mut self, line: &str) -> Result<(), Fault> {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            // An indented comment does not continue the value above it.
            return Ok(());
        }
        if content.starts_with('[') {
            let (word, name) =
                header::parse(content, self.dialect).map_err(|what| (what, "[NAME]"))?;
            self.end_section()?;
            if !name.is_empty() {
                self.normalized = format!("[{word} {}]", escaped(&name));
            }
            let is_skipped = name.is_empty() || word == MISNAMED;
            self.position = if is_skipped { Position::Skipped } else { Position::Section(None) };
            return Ok(());
        }
        let (name, value) = match &mut self.position {
            Position::BeforeSections => {
                return Err(fault("a setting before any section", "[default] above it"));
            }
            Position::Skipped => return Ok(()),
            Position::Section(Some(above)) if indentation(line) > above.indentation => {
                if !above.is_block {
                    self.normalized.push_str("\\n");
                    self.normalized.push_str(&escaped(content));
                    return Ok(());
                }
                let (name, value) = setting(content)?;
                (format!("{}={name}", above.name), value)
            }
            Position::Section(above) => {
                let (name, value) = setting(content)?;
                let is_block = value.is_empty();
                *above =
                    Some(Above { name: name.clone(), is_block, indentation: indentation(line) });
                (name, value)
            }
        };
        let (name, value) = (escaped(&name), escaped(value));
        self.normalized.extend(["\n", &name, "=", &value]);
        Ok(())
    }

    /// Adds the settings of the section that has ended.
    fn end_section(&mut self) -> Result<(), Fault> {
        // All escapes were made by `escaped`; quotes have no meaning to AWS.
        let option =
            ParseOption { enabled_quote: false, enabled_escape: true, ..Default::default() };
        let file =
            Ini::load_from_str_opt(&self.normalized, option).map_err(|_| ("invalid", SETTING))?;
        self.normalized.clear();
        let Sections { profiles, sso_sessions, services, misnamed } = &mut self.sections;
        for (header, settings) in file {
            let Some((word, name)) = header.as_deref().and_then(|header| header.split_once(' '))
            else {
                continue;
            };
            let section = match word {
                "bare" => self.bare_default.get_or_insert_default(),
                "profile" => profiles.entry(name.to_owned()).or_default(),
                "services" => services.entry(name.to_owned()).or_default(),
                "sso-session" => sso_sessions.entry(name.to_owned()).or_default(),
                _ => {
                    misnamed.insert(name.to_owned());
                    continue;
                }
            };
            if section.settings.is_empty() {
                section.settings.reserve_exact(settings.len());
            }
            section
                .settings
                .extend(settings.into_iter().map(|(name, value)| (name.into(), value.into())));
        }
        Ok(())
    }
}

/// The context of a line.
enum Position {
    BeforeSections,
    /// A section that is left out. Its lines are not checked.
    Skipped,
    /// A section, after this setting if there is one.
    Section(Option<Above>),
}

/// The setting that more deeply indented lines belong to.
struct Above {
    name: String,
    /// It has no value of its own, so each line that follows is `name = value`.
    is_block: bool,
    indentation: usize,
}

/// Splits `name = value` or `name: value`. A comment begins after a space or tab, and not in quotes.
fn setting(content: &str) -> Result<(String, &str), Fault> {
    let uncommented = comment(content).map_or(content, |at| &content[..at]);
    let at = memchr2(b'=', b':', uncommented.as_bytes())
        .ok_or(fault("neither a setting nor a section header", SETTING))?;
    let (name, value) = (&uncommented[..at], &uncommented[at + 1..]);
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        Err(fault("a value without a name", SETTING))
    } else {
        Ok((name, value.trim()))
    }
}

/// The start of a comment. In the quotes of a command, as in `sh -c 'one ; two'`, there is none; apostrophes, and quotes that
/// are never closed, are text.
fn comment(content: &str) -> Option<usize> {
    // Most lines have no comment.
    memchr2(b'#', b';', content.as_bytes())?;
    let (mut quote, mut in_quotes, mut previous) = (None, None, ' ');
    for (at, c) in content.char_indices() {
        match (quote, c) {
            (None, '#' | ';') if WHITESPACE.contains(&previous) => return Some(at),
            (Some(_), '#' | ';') if WHITESPACE.contains(&previous) => {
                in_quotes.get_or_insert(at);
            }
            (Some('"'), '"') if previous == '\\' => {}
            (Some(open), _) if c == open => (quote, in_quotes) = (None, None),
            (None, '\'' | '"') if !previous.is_alphanumeric() => quote = Some(c),
            _ => {}
        }
        previous = c;
    }
    in_quotes
}

/// Escapes a text so that rust-ini reads it back unchanged: each character that could have a meaning gets a backslash.
fn escaped(text: &str) -> Cow<'_, str> {
    // Most texts are plain, and a file may have 16 MiB of them.
    let is_special = |byte: &u8| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'/' | b'+' | b'.');
    if !text.as_bytes().iter().any(is_special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(2 * text.len());
    for c in text.chars() {
        match c {
            // rust-ini takes it for the end of a line.
            '\r' => escaped.push_str("\\r"),
            c if c.is_alphanumeric() => escaped.push(c),
            c => escaped.extend(['\\', c]),
        }
    }
    Cow::Owned(escaped)
}

const WHITESPACE: [char; 2] = [' ', '\t'];

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(WHITESPACE).len()
}

/// An error in a line, with the form that the line should have.
fn at_line(line: usize, (what, form): Fault) -> Error {
    Error::new(Kind::Credentials, format!("line {line}: {what}"))
        .hint(format!("fix line {line} of FILE: {form}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sections in a line each: `[profile dev] a=1 s3/region=2`, left-out sections as `(dev)`.
    fn read(text: &str, dialect: Dialect) -> String {
        let sections = match parse(text.as_bytes(), dialect) {
            Ok(sections) => sections,
            Err(error) => return error.message().to_owned(),
        };
        let kinds = [
            ("profile", &sections.profiles),
            ("sso-session", &sections.sso_sessions),
            ("services", &sections.services),
        ];
        let mut lines = Vec::new();
        for (kind, of_kind) in kinds {
            for (name, section) in of_kind {
                let mut line = format!("[{kind} {name}]");
                let names: BTreeSet<&str> =
                    section.settings.iter().map(|(name, _)| &**name).collect();
                for name in names {
                    let value = match name.split_once('=') {
                        Some((block, nested)) => section.nested(block, nested),
                        None => Some(section.get(name).unwrap_or_default()),
                    };
                    let shown = value.map(|value| format!(" {}={value}", name.replace('=', "/")));
                    line.extend(shown);
                }
                lines.push(line);
            }
        }
        lines.extend(sections.misnamed.iter().map(|name| format!("({name})")));
        lines.join("; ")
    }

    #[test]
    fn config_files() {
        for (text, expected) in [
            ("", ""),
            ("[default]\nA = 1 ", "[profile default] a=1"),
            ("\u{feff}[default]\r\na=1\r\n", "[profile default] a=1"),
            (
                "[profile a]\nx=1\n[profile b]\ny=2\n[profile a]\nx=3\nz=4",
                "[profile a] x=3 z=4; [profile b] y=2",
            ),
            ("[profile default]\na=1\n[default]\nb=2", "[profile default] a=1"),
            ("[default]\nb=2\n[profile default]\na=1", "[profile default] a=1"),
            ("[default]\nb=2\n[profile default]", "[profile default]"),
            (
                "[sso-session s]\na=1\n[services 'x y']\nb=2",
                "[sso-session s] a=1; [services x y] b=2",
            ),
            ("[dev]\nnonsense\n= 1\n[profile]\n[ ]\n[]\nmore\n[default x]", "(default x); (dev)"),
            ("[profile 'a b' ] ; c", "[profile a b]"),
            (
                "[default]\na = 1 # c\nb = 1#2\nc = 1\t;d\nd = #e",
                "[profile default] a=1 b=1#2 c=1 d=",
            ),
            (
                "[default]\na = sh -c 'b ; c' \"d # e\" # f",
                "[profile default] a=sh -c 'b ; c' \"d # e\"",
            ),
            ("[default]\na=\"b \\\" ; c\" ; d", "[profile default] a=\"b \\\" ; c\""),
            ("[default]\na = Ann's # Bob's\nb = 'c # d ; e", "[profile default] a=Ann's b='c"),
            ("[default]\na = 'b' \"c\" \\n \\", "[profile default] a='b' \"c\" \\n \\"),
            ("[default]\na : b=c\nd = e:f", "[profile default] a=b=c d=e:f"),
            ("[default]\n # c\na = 1\n  ; c\n\n  2 # d\n   3", "[profile default] a=1\n2 # d\n3"),
            (
                "[default]\ns3 =\n  A = 1 # c\n      b = 2\nc = 3",
                "[profile default] c=3 s3= s3/a=1 s3/b=2",
            ),
            ("[default]\ns3 = # c\n  a = 1\ns3 =\n  b = 2", "[profile default] s3= s3/b=2"),
            (
                "[default]\n  s3 =\n    a = 1\n  b = 2\n c = 3",
                "[profile default] b=2 c=3 s3= s3/a=1",
            ),
            ("[default]\ns3 =\n  [profile b]\n  a = 1", "[profile b] a=1; [profile default] s3="),
        ] {
            assert_eq!(read(text, Dialect::Config), expected, "{text:?}");
        }
    }

    #[test]
    fn credentials_files() {
        for (text, expected) in [
            ("[default]\na=1\n[my team]\nb=2", "[profile default] a=1; [profile my team] b=2"),
            ("[sso-session x]\na=1\n['q']", "[profile 'q']; [profile sso-session x] a=1"),
            ("[profile dev]\na=1\n[profile]", "[profile profile]; (dev)"),
        ] {
            assert_eq!(read(text, Dialect::Credentials), expected, "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line_and_never_quote_it() {
        for (text, expected) in [
            ("\n# c\nhush = 1", "line 3: a setting before any section"),
            ("[default]\r\n[hush", "line 2: a section header lacks its closing ]"),
            ("[default hush", "line 1: a section header lacks its closing ]"),
            ("[default]\nhush", "line 2: neither a setting nor a section header"),
            ("[default]\na = 1\n b\n= hush", "line 4: a value without a name"),
            ("[default]\ns3 =\n  hush", "line 3: neither a setting nor a section header"),
        ] {
            assert_eq!(read(text, Dialect::Config), expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text() {
        let error = |bytes| parse(bytes, Dialect::Config).unwrap_err().to_string();
        assert_eq!(error(b"[a\xff]"), "not UTF-8 (save FILE as UTF-8)");
        assert_eq!(error(b"\xff\xfe[\0"), "not UTF-8 (UTF-16? save FILE as UTF-8)");
        assert_eq!(error(b"\xfe\xff\0["), "not UTF-8 (UTF-16? save FILE as UTF-8)");
    }

    #[test]
    fn empty_is_unset() {
        let sections =
            parse(b"[default]\na =\nb = 1\ns3 =\n c =\n d = 2", Dialect::Config).unwrap();
        let section = &sections.profiles["default"];
        assert_eq!((section.get("a"), section.get("b"), section.get("z")), (None, Some("1"), None));
        assert_eq!((section.nested("s3", "c"), section.nested("s3", "d")), (None, Some("2")));
    }
}
