//! `resolve PROFILE REGION`: prints what the credential chain of this process's environment finds, secrets
//! included, as one line of JSON. An empty argument is one not given. For checking the chain from outside.

use serde_json::{Value, json};
use sigv4_proxy::credentials::{CredentialCache, Source, profile_setting};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::error::Error;
use sigv4_proxy::signing::Secret;
use time::OffsetDateTime;

#[expect(clippy::print_stdout, reason = "the answer")]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| Some(word).filter(|w| !w.is_empty()));
    let (profile, region) = (arguments.next().flatten(), arguments.next().flatten());
    let answer = resolve(Environment::of_process(), profile, region);
    println!("{}", answer.unwrap_or_else(|error| json!({ "error": error.to_string() })));
}

fn resolve(
    environment: Environment,
    profile: Option<String>,
    region: Option<String>,
) -> Result<Value, Error> {
    let of_profile = profile_setting(&environment, profile.as_deref(), "region")?;
    let of_environment = environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
    let region = region.or(of_environment.map(|(_, region)| region.to_owned())).or(of_profile);

    #[expect(clippy::disallowed_methods, reason = "the rim of this program")]
    let now = OffsetDateTime::now_utc();
    let found = CredentialCache::new(environment, profile).get(now)?;
    Ok(json!({
        "access_key_id": found.key.id,
        "secret_access_key": found.key.secret.expose(),
        "session_token": found.key.token.as_ref().map(Secret::expose),
        "expiry": found.expires.map(OffsetDateTime::unix_timestamp),
        "source": match found.source {
            Source::Environment => "env",
            Source::Profile { .. } => "profile-static",
        },
        "region": region,
    }))
}
