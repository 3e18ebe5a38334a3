//! Web identity: the token in a file is exchanged for the credentials of a role.

use std::path::Path;

use time::OffsetDateTime;

use crate::credentials::config::plan::WebIdentity;
use crate::credentials::sources::sts::Sts;
use crate::credentials::sources::token_file;
use crate::credentials::types::Credentials;
use crate::error::Error;

/// `path` is that of the token's file.
pub(crate) fn credentials(
    identity: &WebIdentity,
    path: &Path,
    sts: &Sts<'_>,
    now: OffsetDateTime,
) -> Result<Credentials, Error> {
    let cancel = &sts.network.cancel;
    let token = token_file::read(path, cancel).map_err(|error| {
        let what = format!("web identity token {}", path.display());
        error.context(what)
    })?;
    let assume = |token: &str| sts.assume_role_with_web_identity(identity, token.trim_end(), now);
    match assume(&token) {
        Err(refused) if is_of_token(&refused) => {
            // It may have been half written, or replaced since it was read.
            match token_file::read_newer(path, &token, cancel) {
                Some(newer) => assume(&newer),
                None => Err(refused),
            }
        }
        result => result,
    }
}

/// Whether STS refuses the token itself.
fn is_of_token(refused: &Error) -> bool {
    let error_type = refused.aws_error().and_then(|aws| aws.error_type.as_deref());
    error_type.is_some_and(|name| {
        name.starts_with("InvalidIdentityToken") || name.starts_with("ExpiredToken")
    })
}
