//! `Credentials`: an access key, its expiration and its origin.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::credentials::source::Source;
use crate::signing::AccessKey;

/// An access key as a source returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub key: AccessKey,
    /// When the key expires; `None` if the source does not say.
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

    /// A description without secrets: `key AKIA****MPLE from …, account …, until …`.
    pub fn summary(&self) -> String {
        if self.is_anonymous() {
            return "there are none, so requests are sent without a signature (--skip-auth)"
                .to_owned();
        }
        let account = self.account.as_ref().map(|account| format!(", account {account}"));
        let expires = self.expires.and_then(|time| time.format(&Rfc3339).ok());
        let expires = expires.map(|time| format!(", until {time}"));
        let rest = [account, expires].into_iter().flatten().collect::<String>();
        format!("key {} from {}{rest}", self.key.masked_id(), self.source)
    }
}
