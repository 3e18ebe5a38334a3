//! `Secret` and `AccessKey`, which are never printed and are wiped when dropped.

use std::fmt;
use zeroize::Zeroizing;

/// A secret text. It prints as `…` and its memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself: for signing and for sending, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// An AWS access key. The session token is sent as `x-amz-security-token` and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

impl AccessKey {
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
    ) -> AccessKey {
        AccessKey {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Secret::new(secret_access_key),
            session_token: session_token.map(Secret::new),
        }
    }

    /// The key id for display: `AKIA****MPLE`.
    pub fn masked_id(&self) -> String {
        match (
            self.access_key_id.get(..4),
            self.access_key_id.len().checked_sub(4).and_then(|at| self.access_key_id.get(at..)),
        ) {
            (Some(head), Some(tail)) if self.access_key_id.len() >= 12 => {
                format!("{head}****{tail}")
            }
            _ => "****".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let key = AccessKey {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI"),
            session_token: Some(Secret::new("IQoJb3Jp")),
        };
        let printed = format!("{key:?} {key:#?} {}", key.masked_id());
        assert!(!printed.contains("wJalr") && !printed.contains("IQoJ"), "{printed}");
        assert_eq!(key.masked_id(), "AKIA****MPLE");
        assert_eq!(AccessKey { access_key_id: "short".into(), ..key }.masked_id(), "****");
    }
}
