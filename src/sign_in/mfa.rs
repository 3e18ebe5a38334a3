//! Codes of MFA devices, entered in the terminal.

use time::OffsetDateTime;

use crate::clock;
use crate::credentials::CredentialCache;
use crate::credentials::sources::sts::MfaCode;
use crate::error::{Error, Kind};
use crate::process;
use crate::redact::Redactor;
use crate::signing::Secret;
use crate::sync::cancel::cancelled;

/// Maximum number of prompts for one sign-in.
const PROMPTS: usize = 3;

/// Asks for a code of the device and exchanges it for credentials. Returns when these expire.
///
/// # Errors
/// There is no terminal, no code was accepted, or STS refuses or cannot be reached.
pub(crate) fn sign_in(
    credentials: &CredentialCache,
    redactor: &Redactor,
    profile: &str,
    serial: &str,
) -> Result<Option<OffsetDateTime>, Error> {
    let mut why = "";
    for _ in 0..PROMPTS {
        let code = ask(credentials, redactor, &format!("{why}MFA code for {serial}: "))?;
        let Some(code) = six_digits(&code) else {
            why = "a code has six digits; ";
            continue;
        };
        match credentials.exchange_code(profile, MfaCode { serial, code: &code }, clock::now()) {
            Err(error) if is_wrong_code(&error) => {
                why = "not accepted; a code works once, wait for the next; ";
            }
            exchanged => return exchanged.map(|found| found.expires),
        }
    }
    let what = format!("MFA codes for {serial} were not accepted");
    Err(Error::new(Kind::Credentials, what).hint("check the time on the device and try again"))
}

/// Asks for a text on the terminal, which is not shown.
///
/// # Errors
/// There is no terminal, or the user ended the prompt.
pub(crate) fn ask(
    credentials: &CredentialCache,
    redactor: &Redactor,
    prompt: &str,
) -> Result<Secret, Error> {
    let end = credentials.end();
    let line = process::ask(&redactor.safe(prompt), || end.is_cancelled()).map_err(|error| {
        let what = prompt.trim_end_matches([' ', ':']);
        Error::new(Kind::Credentials, format!("cannot ask for {what}: {error}"))
            .hint("run it in a terminal")
    })?;
    line.map(|line| Secret::new(line.as_str())).ok_or_else(cancelled)
}

fn six_digits(text: &Secret) -> Option<Secret> {
    let code: String = text.expose().chars().filter(|c| !c.is_whitespace()).collect();
    let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then(|| Secret::new(code))
}

/// STS has no name of its own for this.
fn is_wrong_code(error: &Error) -> bool {
    let name = error.aws_error().and_then(|aws| aws.error_type.as_deref());
    name == Some("AccessDenied") && error.message().contains("MultiFactorAuthentication failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AwsError;

    #[test]
    fn codes_have_six_digits() {
        let code = |text: &str| six_digits(&Secret::new(text)).map(|code| code.expose().to_owned());
        assert_eq!(code(" 12 34\t56 ").as_deref(), Some("123456"));
        for wrong in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"] {
            assert_eq!(code(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_refusal_is_not_a_wrong_code() {
        let refusal = |name: &str, message: &str| {
            let aws = AwsError { error_type: Some(name.to_owned()), request_id: None };
            is_wrong_code(&Error::new(Kind::Credentials, message).aws(aws))
        };
        let wrong =
            "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code.";
        assert!(refusal("AccessDenied", wrong));
        assert!(!refusal(
            "AccessDenied",
            "AccessDenied: not authorized to perform: sts:AssumeRole"
        ));
        assert!(!refusal("ValidationError", wrong));
    }
}
