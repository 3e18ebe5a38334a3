//! The region to sign for, and the other settings of a profile, which is read once, for what nothing else provides.

use crate::aws::hostname::{self, Inferred, Reach};
use crate::aws::region::first_of_set;
use crate::cli::doubts;
use crate::cli::option_reader::OptionReader;
use crate::cli::options::{ProfileSettings, WORKING_REGION, WorkingRegion};
use crate::cli::parsed_args::Value;
use crate::cli::problem::usage_error;
use crate::cli::row::Key;
use crate::cli::target::Target;
use crate::cli::values;
use crate::error::Error;
use crate::http::ProxySettings;
use crate::signing::Algorithm;
use crate::suggest::flaw;
use std::path::PathBuf;

/// The AWS SDKs' variable for the region set of a SigV4a signature.
const REGION_SET: &str = "AWS_SIGV4A_SIGNING_REGION_SET";

/// Looks up the settings of the profile.
pub(crate) type ProfileLookup<'a> = &'a mut dyn FnMut() -> Result<ProfileSettings, Error>;

/// Options that the profile may set.
pub(crate) struct ProfileOptions {
    pub(crate) region: String,
    /// What names the region.
    pub(crate) region_from: String,
    pub(crate) working_region: Option<WorkingRegion>,
    /// The file, and what names it.
    pub(crate) ca_bundle: Option<(PathBuf, String)>,
}

/// Reads the options that the profile may set.
pub(crate) fn read(
    reader: &mut OptionReader<'_>,
    target: &Target,
    inferred: &Inferred,
    algorithm: Algorithm,
    metadata: &[(String, String)],
    profile: ProfileLookup<'_>,
) -> ProfileOptions {
    let of_url = region_of_url(inferred, algorithm);
    let explicit_region = explicit_region(reader, target, of_url, algorithm);
    let named_bundle = reader.args.value(Key::CaBundle).map(|value| (value.text, value.from));
    // AWS's own MCP servers work in a region that their callers name in `_meta`.
    let host = target.endpoint.service_host();
    let names_region = (reader.args.flag(Key::Metadata).is_some() || hostname::is_dual_stack(host))
        && !metadata.iter().any(|(name, _)| name == WORKING_REGION);
    let needs_profile = explicit_region.is_none()
        || named_bundle.is_none()
        || names_region
        || (algorithm == Algorithm::V4a && reader.args.flag(Key::Region).is_none());
    let looked_up = if needs_profile { profile() } else { Ok(ProfileSettings::default()) };
    let (settings, unread_profile) = match looked_up {
        Ok(settings) => (settings, None),
        Err(error) => (ProfileSettings::default(), Some(error)),
    };
    let of_profile = settings.ca_bundle.map(|path| (path, "the profile's ca_bundle".to_owned()));
    let ca_bundle =
        named_bundle.or(of_profile).map(|(path, from)| (reader.environment.path(&path), from));
    let of_url = inferred.region.as_deref();
    let working_region = names_region.then(|| {
        let variable = reader.args.variable(Key::Region).map(|value| value.text);
        let of_variable = variable.as_deref().and_then(first_of_set);
        WorkingRegion::new(settings.region.as_deref(), of_variable.or(of_url).map(str::to_owned))
    });
    let explicit_region = match settings.region_set {
        Some(text) if may_be_set_by_profile(reader, algorithm) => {
            Some(Value { text, from: "the profile's sigv4a_signing_region_set".to_owned() })
        }
        _ => explicit_region,
    };
    let profile_region = settings
        .region
        .filter(|region| !region.trim().is_empty())
        .map(|text| Value { text, from: "the profile's region".to_owned() });
    let region = explicit_region
        .or_else(|| profile_region.clone())
        .or_else(|| region_for_all(inferred.reach));
    warn_of_doubts(reader, target, region.as_ref(), profile_region, metadata, of_url);
    let Some(region) = region else {
        report_missing(reader, target, unread_profile);
        let (region, region_from) = (String::new(), String::new());
        return ProfileOptions { region, region_from, working_region, ca_bundle };
    };
    let region_from = region.from.clone();
    let region = checked(reader, region, algorithm);
    ProfileOptions { region, region_from, working_region, ca_bundle }
}

/// The region that the host names. An AWS host without one serves all of them.
fn region_of_url(inferred: &Inferred, algorithm: Algorithm) -> Option<&str> {
    let everywhere = algorithm == Algorithm::V4a && inferred.service.is_some();
    inferred.region.as_deref().or(everywhere.then_some("*"))
}

/// The region from flag, URL or environment, in this order. With SigV4a a region set outranks the URL.
fn explicit_region(
    reader: &OptionReader<'_>,
    target: &Target,
    of_url: Option<&str>,
    algorithm: Algorithm,
) -> Option<Value> {
    let flag = reader.args.flag(Key::Region);
    if algorithm == Algorithm::V4a
        && flag.is_none()
        && let Some(set) = reader.environment.get(REGION_SET)
    {
        return Some(Value { text: set.to_owned(), from: REGION_SET.to_owned() });
    }
    let variable = reader.args.variable(Key::Region);
    let from = format!("{}'s region", target.named_by);
    let of_url = of_url.map(|text| Value { text: text.to_owned(), from });
    flag.or(of_url).or(variable)
}

/// SigV4a, and neither flag nor variable names a region set.
fn may_be_set_by_profile(reader: &OptionReader<'_>, algorithm: Algorithm) -> bool {
    algorithm == Algorithm::V4a
        && reader.args.flag(Key::Region).is_none()
        && reader.environment.get(REGION_SET).is_none()
}

/// The region to sign for at a host that serves all of them, if none is configured.
fn region_for_all(reach: Reach) -> Option<Value> {
    let Reach::AllRegions { default_region } = reach else { return None };
    Some(Value { text: default_region.to_owned(), from: "the URL's default region".to_owned() })
}

/// Warns of values that were probably not meant as they are, among them the signing region and regions with other uses.
fn warn_of_doubts(
    reader: &mut OptionReader<'_>,
    target: &Target,
    region: Option<&Value>,
    profile_region: Option<Value>,
    metadata: &[(String, String)],
    of_url: Option<&str>,
) {
    let in_metadata = metadata.iter().find(|(name, _)| name == WORKING_REGION);
    let in_metadata = in_metadata
        .map(|(name, text)| Value { text: text.clone(), from: format!("--metadata {name}") });
    let others = [reader.args.variable(Key::Region), profile_region, in_metadata];
    let regions = region.into_iter().chain(others.iter().flatten());
    let of_host = target.region_hint.iter().map(|hint| format!("{}: {hint}", target.named_by));
    let mut warnings: Vec<String> = of_host.collect();
    warnings.extend(doubts::of_values(&reader.args));
    warnings.extend(ProxySettings::warnings(reader.environment));
    warnings.extend(doubts::of_regions(regions));
    warnings.extend(doubts::of_metadata(metadata));
    if let (Some(region), Some(of_url)) = (region, of_url) {
        // A variable that the URL outranks is not a mistake: it is the region of the shell's other work.
        warnings.extend(doubts::of_host(region, of_url, target.named_by));
        warnings.extend(doubts::of_arn(target.endpoint.path(), of_url, target.named_by));
    }
    for warning in warnings {
        reader.warn(warning);
    }
}

/// Reports that no region is known; `unread_profile` says why the profile's is not.
fn report_missing(reader: &mut OptionReader<'_>, target: &Target, unread_profile: Option<Error>) {
    let fix = target.region_hint.as_deref().unwrap_or("set AWS_REGION or --region");
    let problem = match unread_profile {
        Some(error) => {
            let why = error.message();
            let what = format!("region is required, and the profile cannot be read: {why}");
            usage_error(&what, error.hint_text().unwrap_or("fix it, or set --region"))
        }
        None => usage_error("region is required", fix),
    };
    reader.report_missing(Key::Region, problem);
}

/// The region, in its usual spelling; empty if it is none.
fn checked(reader: &mut OptionReader<'_>, region: Value, algorithm: Algorithm) -> String {
    let Value { text, from } = region;
    let read = values::region(&text, algorithm).map_err(|error| match flaw(&text) {
        Some(flaw) => error.hint(format!("{from} {flaw}")),
        None => error,
    });
    reader.checked(Key::Region, &from, read).unwrap_or_default()
}
