//! `Credentials`: an access key, its expiration and its origin.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::credentials::source::Source;
use crate::signing::{AccessKey, Secret};
use crate::suggest::{QUOTES, flaw_of_key};

/// An access key as a source returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub key: AccessKey,
    /// Expiry of the key; `None` if the source does not name it.
    pub expires: Option<OffsetDateTime>,
    /// The account's twelve digits, if the source names them.
    pub account: Option<String>,
    pub source: Source,
}

impl Credentials {
    /// Credentials that sign nothing.
    pub fn anonymous() -> Credentials {
        let key = AccessKey::new("", "", None);
        Credentials { key, expires: None, account: None, source: Source::Anonymous }
    }

    pub fn is_anonymous(&self) -> bool {
        self.source == Source::Anonymous
    }

    /// Why AWS will refuse these credentials, as far as they show it themselves; a sentence for each reason, without secrets.
    pub fn likely_mistakes(&self) -> Vec<String> {
        let AccessKey { access_key_id: id, secret_access_key, session_token } = &self.key;
        let [id_name, secret_name, token_name] = self.source.setting_names();
        let source = match &self.source {
            Source::Profile { name, .. } => format!("profile {name:?}"),
            source => source.to_string(),
        };
        let mut mistakes = Vec::new();
        let token = session_token.as_ref().map(Secret::expose);
        let parts = [
            (id_name, Some(id.as_str())),
            (secret_name, Some(secret_access_key.expose())),
            (token_name, token),
        ];
        for (name, value) in parts {
            if let Some(flaw) = value.and_then(flaw_of_key) {
                mistakes.push(format!("{source}: {name} {flaw}"));
            }
        }
        // AWS's prefixes of long-term and of temporary keys. Shorter ids are of other services that speak SigV4.
        let id = id.trim_matches(QUOTES);
        let prefix = id.get(..4).filter(|_| id.len() >= 16).unwrap_or_default();
        let key = self.key.masked_id();
        match (prefix, token) {
            ("ASIA", None) => mistakes.push(format!(
                "{source}: the key {key} is temporary (ASIA) and needs its session token: set {token_name}"
            )),
            ("AKIA", Some(_)) => mistakes.push(format!(
                "{source}: the key {key} is a long-term key (AKIA), which has no session token: unset {token_name}"
            )),
            _ => {}
        }
        mistakes
    }

    /// A description without secrets: `key AKIA****MPLE from …, account …, until …`.
    pub fn summary(&self) -> String {
        if self.is_anonymous() {
            return "no usable credentials; requests are sent unsigned".to_owned();
        }
        let expires = self.expires.and_then(|time| time.format(&Rfc3339).ok());
        let expires = expires.map(|time| format!(", until {time}")).unwrap_or_default();
        format!("{}{expires}", self.identity())
    }

    /// Whose credentials they are, without secrets: `key AKIA****MPLE from …, account …`.
    pub(crate) fn identity(&self) -> String {
        let account = self.account.as_ref().map(|account| format!(", account {account}"));
        let account = account.unwrap_or_default();
        format!("key {} from {}{account}", self.key.masked_id(), self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_mistakes() {
        const ID: &str = "AKIAIOSFODNN7EXAMPLE";
        const TEMPORARY: &str = "ASIAIOSFODNN7EXAMPLE";
        const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let check = |id, secret, token, expected: &[&str]| {
            let key = AccessKey::new(id, secret, token);
            let found =
                Credentials { key, expires: None, account: None, source: Source::Environment };
            let mistakes = found.likely_mistakes();
            assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
            for (mistake, expected) in mistakes.iter().zip(expected) {
                assert!(mistake.contains(expected), "{mistake}");
                assert!(!mistake.contains("wJalr") && !mistake.contains("hush"), "{mistake}");
            }
        };
        check(ID, SECRET, None, &[]);
        check(TEMPORARY, SECRET, Some("hush"), &[]);
        check("test", "test", None, &[]);
        check("test", "test", Some("hush"), &[]);
        check("${KEY}", SECRET, None, &["AWS_ACCESS_KEY_ID contains a placeholder"]);
        check(ID, "${SECRET:-wJalr}", None, &["AWS_SECRET_ACCESS_KEY contains a placeholder"]);
        check(ID, "'wJalr'", None, &["AWS_SECRET_ACCESS_KEY begins with a quote"]);
        check(TEMPORARY, SECRET, None, &["set AWS_SESSION_TOKEN"]);
        check(ID, SECRET, Some("hush"), &["unset AWS_SESSION_TOKEN"]);
        check(TEMPORARY, SECRET, Some("$TOKEN"), &["AWS_SESSION_TOKEN contains a placeholder"]);
        check(
            "\"ASIAIOSFODNN7EXAMPLE\"",
            SECRET,
            None,
            &["AWS_ACCESS_KEY_ID begins with a quote", "set AWS_SESSION_TOKEN"],
        );
    }
}
