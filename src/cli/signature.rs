//! How requests are signed: algorithm, service, payload and role.

use crate::aws::hostname::Reach;
use crate::cli::option_reader::OptionReader;
use crate::cli::options::RoleToAssume;
use crate::cli::parsed_args::Value;
use crate::cli::problem::usage_error;
use crate::cli::row::Key;
use crate::cli::target::{self, Target};
use crate::cli::values;
use crate::error::{Error, Kind};
use crate::signing::{Algorithm, PayloadSigning};

pub(crate) fn algorithm(reader: &mut OptionReader<'_>, reach: Reach) -> Algorithm {
    let of_host = match reach {
        Reach::SeveralRegions { .. } => Algorithm::V4a,
        Reach::OneRegion | Reach::AllRegions { .. } => Algorithm::V4,
    };
    let Some(Value { text, from }) = reader.args.value(Key::SigVersion) else { return of_host };
    match text.to_ascii_lowercase().as_str() {
        "v4" => {
            if of_host == Algorithm::V4a {
                reader.warn(format!(
                    "{from} v4 is used; the URL belongs to several regions, which accept SigV4a only: omit {from}"
                ));
            }
            Algorithm::V4
        }
        "v4a" => Algorithm::V4a,
        _ => {
            let what = format!("unsupported signature version: {text}");
            let error = Error::new(Kind::Usage, what).hint("must be 'v4' or 'v4a'");
            reader.report(Key::SigVersion, error);
            // The one that takes every region, so that the region is not blamed as well.
            Algorithm::V4a
        }
    }
}

/// The service, and what names it. `of_url`: what the host names.
pub(crate) fn service(
    reader: &mut OptionReader<'_>,
    target: &Target,
    of_url: Option<&str>,
) -> (String, String) {
    let named_by = target.named_by;
    let Some(Value { text, from }) = reader.args.value(Key::ServiceName) else {
        if let Some(service) = of_url {
            return (service.to_owned(), named_by.to_owned());
        }
        let fix = "set AWS_SERVICE_NAME or --service-name";
        let fix = target.region_hint.as_deref().unwrap_or(fix);
        reader.report_missing(Key::ServiceName, usage_error("service name is required", fix));
        return (String::new(), String::new());
    };
    if let Some(service) = of_url.filter(|service| *service != text) {
        reader.warn(format!("{from} {text} is used; {named_by} belongs to the service {service}"));
    }
    if text == "iam" {
        reader.warn("the service name iam is for IAM itself; use execute-api for API Gateway, lambda for Lambda function URLs");
    }
    let service = reader.checked(Key::ServiceName, &from, values::service(&text));
    (service.unwrap_or_default(), from)
}

/// Whether the user wants bodies to be left out of signatures, or not. Without TLS nothing would protect the body. VPC Lattice
/// verifies only signatures without a payload hash, so there `--allow-http` allows this, too.
pub(crate) fn unsigned_payload(
    reader: &mut OptionReader<'_>,
    target: &Target,
    service: &str,
) -> Option<bool> {
    let is_never_signed = PayloadSigning::for_service(service) == PayloadSigning::Unsigned;
    match reader.switch(Key::UnsignedPayload) {
        Some(true) if !target::is_guarded(&target.endpoint) => {
            if !is_never_signed {
                let what = "--unsigned-payload requires https";
                let error = usage_error(what, "use an https URL, or omit it");
                reader.report(Key::UnsignedPayload, error);
            }
            None
        }
        Some(false) if is_never_signed => {
            reader.warn(
                "--no-unsigned-payload is used; VPC Lattice rejects requests with a signed body",
            );
            Some(false)
        }
        chosen => chosen,
    }
}

/// The role to assume with the credentials that are found.
pub(crate) fn role(reader: &mut OptionReader<'_>) -> Option<RoleToAssume> {
    let arn = reader.parsed(Key::RoleArn, values::role_arn);
    let external_id = reader.parsed(Key::ExternalId, values::external_id);
    if reader.args.value(Key::RoleArn).is_none() && external_id.is_some() {
        let what = "--external-id requires --role-arn";
        let fix = "add --role-arn, or set external_id in the profile";
        reader.report(Key::ExternalId, usage_error(what, fix));
    }
    Some(RoleToAssume { arn: arn?, external_id })
}

/// The session name of roles. The variable is left to the credential chain where it may never be needed.
pub(crate) fn role_session_name(reader: &mut OptionReader<'_>) -> Option<String> {
    let is_needed = reader.args.flag(Key::RoleSessionName).is_some()
        || reader.args.value(Key::RoleArn).is_some();
    if is_needed { reader.parsed(Key::RoleSessionName, values::session_name) } else { None }
}
