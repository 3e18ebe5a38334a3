//! `Pkce`: ties an authorization code to this process (RFC 7636), by a verifier that only this process has, its
//! challenge in the link, and the state that the browser returns.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::percent;
use crate::redact::Redactor;
use crate::sign_in::secure_random;
use crate::signing::Secret;

#[derive(Clone, Debug)]
pub(crate) struct Pkce {
    pub(crate) verifier: Secret,
    pub(crate) state: String,
}

impl Pkce {
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new(redactor: &Redactor) -> Result<Pkce, Error> {
        let pkce = Pkce { verifier: secure_random::verifier()?, state: secure_random::uuid()? };
        redactor.add_temporary(pkce.verifier.expose());
        Ok(pkce)
    }

    /// The unpadded base64url of the SHA-256 of the verifier.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()))
    }
}

/// A link with these parameters.
pub(crate) fn link(base: &str, parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", percent::encode(value.as_bytes(), b"")))
        .collect();
    format!("{base}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_of_the_rfc() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let pkce = Pkce { verifier, state: String::new() };
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let pkce = Pkce::new(&Redactor::default()).unwrap();
        assert_eq!((pkce.verifier.expose().len(), pkce.state.len()), (64, 36));
    }
}
