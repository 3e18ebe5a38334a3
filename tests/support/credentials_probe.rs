//! `credentials-probe PROFILE REGION`: prints the credentials that the chain finds in this process's environment,
//! secrets included, as one line of JSON. An empty argument counts as not given. For checking the chain from outside.

use serde_json::{Value, json};
use sigv4_proxy::clock;
use sigv4_proxy::credentials::{CredentialCache, ProfileFiles, Settings, Source};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::error::Error;
use sigv4_proxy::http::CaBundle;
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
    named_region: Option<String>,
) -> Result<Value, Error> {
    let [region_of_profile, bundle_of_profile] =
        ProfileFiles::new(&environment).settings(profile.as_deref(), ["region", "ca_bundle"])?;
    let of_environment = environment.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
    let region = named_region.clone().or(of_environment.map(|(_, region)| region.to_owned()));
    let region = region.or(region_of_profile);

    let bundle = environment.first(&["AWS_CA_BUNDLE", "SSL_CERT_FILE"]);
    let bundle = bundle.map(|(variable, path)| (variable, path.to_owned()));
    let ca_bundle = match bundle.or(bundle_of_profile.map(|path| ("ca_bundle", path))) {
        Some((named_by, path)) => CaBundle::read(&environment.path(&path), named_by)?,
        None => CaBundle::default(),
    };
    let settings = Settings { profile, region: named_region, ca_bundle, ..Settings::default() };
    let cache = CredentialCache::new(environment, settings, clock::now());
    let found = cache.get(clock::now())?;
    Ok(json!({
        "access_key_id": found.key.access_key_id,
        "secret_access_key": found.key.secret_access_key.expose(),
        "session_token": found.key.session_token.as_ref().map(Secret::expose),
        "expiry": found.expires.map(OffsetDateTime::unix_timestamp),
        "source": match found.source {
            Source::Environment => "env",
            Source::WebIdentity { .. } => "web-identity",
            Source::AssumedRole { .. } => "assume-role",
            Source::MfaSession { .. } => "mfa-session",
            Source::Sso { .. } => "sso",
            Source::Profile { .. } => "profile-static",
            Source::Login { .. } => "login",
            Source::Process { .. } => "process",
            Source::Container => "container",
            Source::Instance { .. } => "imds",
            Source::Anonymous => "none",
        },
        "region": region.or_else(|| cache.instance_region(clock::now())),
    }))
}
