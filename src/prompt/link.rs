//! `Link`: the address where the user signs in, with its texts and JSON.

use crate::credentials::expiry;
use crate::error::SignIn;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

/// The address to open, and the code that its page must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) url: String,
    /// `None`: the page shows none, since the sign-in ends on this machine.
    pub(crate) user_code: Option<String>,
    pub(crate) expires_at: OffsetDateTime,
}

impl Link {
    /// The text that a client shows with the link.
    pub(crate) fn message(&self, profile: &str) -> String {
        let code = self.user_code.as_ref().map(|code| {
            format!(" The page must show the code {code}; close it if it shows a different one.")
        });
        format!("Sign in to AWS for profile {profile}.{}", code.unwrap_or_default())
    }

    /// The error of a call: why, where and until when to sign in.
    pub(crate) fn instruction(&self, need: &SignIn) -> String {
        let SignIn { profile, problem, .. } = need;
        let check =
            self.user_code.as_ref().map(|code| format!(" and check that it shows the code {code}"));
        let until = self.expires_at.format(format_description!("[hour]:[minute]"));
        format!(
            "profile {profile:?}: {problem}; to sign in, open {}{} (valid until {} UTC), then try again",
            self.url,
            check.unwrap_or_default(),
            until.unwrap_or_default(),
        )
    }

    /// The member `signIn` of an error's `data`.
    pub(crate) fn data(&self, profile: &str) -> Value {
        let expires_at = expiry::format(self.expires_at);
        let mut data = json!({ "url": self.url, "expiresAt": expires_at, "profile": profile });
        if let Some(code) = &self.user_code {
            data["userCode"] = code.as_str().into();
        }
        data
    }

    /// The parameters of `elicitation/create`; with an id up to 2025-11-25.
    pub(crate) fn elicitation(&self, profile: &str, id: Option<&str>) -> Value {
        let mut params =
            json!({ "mode": "url", "url": self.url, "message": self.message(profile) });
        if let Some(id) = id {
            params["elicitationId"] = id.into();
        }
        params
    }
}
