//! Signing vectors: one JSON object per line, and the signer's results.
//!
//! Members: `method`, `url` (or `host` and `target`, used unchanged), `headers` [[name, value]…], `body` or
//! `body_b64`, `access_key`, `secret_key`, `session_token`, `region` or `regions`, `service`, `time`
//! (`YYYYMMDDTHHMMSSZ`), and `options` where the vector has other rules than its service: `normalize_path` and `double_encode`
//! (both true or both false), `payload` (`signed` or `unsigned`), `payload_hash`, `content_sha256_header`. A decision also has `why`:
//! what implementations disagree about, and the reason for what is done here.

use serde_json::{Value, json};
use sigv4_proxy::http;
use sigv4_proxy::http::url::Endpoint;
use sigv4_proxy::signing::{
    AccessKey, Algorithm, CanonicalTarget, Header, Payload, PayloadSigning, Request, Secret,
    Signed, Signer, UriEncoding, v4a,
};
use time::PrimitiveDateTime;
use time::macros::format_description;

/// Signs a vector through the entry points that the proxy uses. The error is the reason of a refusal.
pub(crate) fn sign(vector: &Value) -> Result<Signed, String> {
    let method = text(vector, "method")?;
    if !method.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(format!("method {method:?} is not upper case"));
    }
    let headers = headers(vector)?;
    for (name, value) in &headers {
        http::check_header(name, value).map_err(|e| e.to_string())?;
    }
    let service = text(vector, "service")?;
    let key = access_key(vector)?;
    let body = body(vector)?;
    let signer = Signer::new(algorithm(vector), &region(vector)?, service);
    let request = Request {
        method,
        target: &target(vector, &headers, path_rule(vector, service)?)?,
        headers: &headers,
        payload: &payload(vector, service, &body)?,
    };
    Ok(signer.sign(&request, &key, at(vector)?))
}

/// The result line of a vector.
pub(crate) fn answer(vector: &Value) -> Value {
    let id = &vector["id"];
    let signed = match sign(vector) {
        Ok(signed) => signed,
        Err(why) => return json!({ "id": id, "refused": why }),
    };
    let (_, authorization) = signed.headers.last().expect("authorization is always there");
    let mut answer = json!({
        "id": id,
        "canonical_request": signed.canonical_request,
        "string_to_sign": signed.string_to_sign,
        "signature": signed.signature,
        "authorization": authorization,
    });
    if algorithm(vector) == Algorithm::V4a {
        let key = v4a::SigningKey::derive(&access_key(vector).expect("it was just signed with"));
        let (x, y) = key.public_point();
        answer["private_key"] = hex::encode(&key.private_key()[..]).into();
        answer["public_x"] = hex::encode(x).into();
        answer["public_y"] = hex::encode(y).into();
    }
    answer
}

pub(crate) fn access_key(vector: &Value) -> Result<AccessKey, String> {
    Ok(AccessKey {
        access_key_id: text(vector, "access_key")?.to_owned(),
        secret_access_key: Secret::new(text(vector, "secret_key")?),
        session_token: vector["session_token"].as_str().map(Secret::new),
    })
}

pub(crate) fn algorithm(vector: &Value) -> Algorithm {
    if vector["algorithm"] == "v4a" || vector["regions"].is_array() {
        Algorithm::V4a
    } else {
        Algorithm::V4
    }
}

fn text<'a>(vector: &'a Value, name: &str) -> Result<&'a str, String> {
    vector[name].as_str().ok_or_else(|| format!("{name} is missing"))
}

fn headers(vector: &Value) -> Result<Vec<Header<'_>>, String> {
    let pairs = vector["headers"].as_array().ok_or("headers is missing")?;
    pairs
        .iter()
        .map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
        .collect::<Option<_>>()
        .ok_or_else(|| "headers is not a list of pairs".to_owned())
}

fn region(vector: &Value) -> Result<String, String> {
    match vector["regions"].as_array() {
        Some(regions) => Ok(regions.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        None => text(vector, "region").map(str::to_owned),
    }
}

fn target(
    vector: &Value,
    headers: &[Header<'_>],
    rule: UriEncoding,
) -> Result<CanonicalTarget, String> {
    if let Some(target) = vector["target"].as_str() {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        return Ok(CanonicalTarget::new(text(vector, "host")?, path, query, rule));
    }
    let endpoint = Endpoint::parse(text(vector, "url")?).map_err(|e| e.to_string())?;
    let given_host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = given_host.map_or_else(|| endpoint.authority(), |(_, value)| (*value).to_owned());
    Ok(CanonicalTarget::new(&host, endpoint.path(), endpoint.query(), rule))
}

fn path_rule(vector: &Value, service: &str) -> Result<UriEncoding, String> {
    let options = &vector["options"];
    match (options["normalize_path"].as_bool(), options["double_encode"].as_bool()) {
        (None, None) => Ok(UriEncoding::for_service(service)),
        (Some(true), Some(true)) => Ok(UriEncoding::Double),
        (Some(false), Some(false)) => Ok(UriEncoding::Single),
        _ => Err("no service normalises without encoding again, or the other way round".to_owned()),
    }
}

fn payload(vector: &Value, service: &str, body: &[u8]) -> Result<Payload, String> {
    let options = &vector["options"];
    if options["sign_token"] == false {
        return Err("a session token is always signed".to_owned());
    }
    let in_header = options["content_sha256_header"].as_bool();
    if let Some(hash) = options["payload_hash"].as_str() {
        return Ok(Payload::with_hash(hash, in_header == Some(true)));
    }
    let rule = match (options["payload"].as_str(), in_header) {
        (Some("unsigned"), _) => PayloadSigning::Unsigned,
        (_, Some(true)) => PayloadSigning::HashedInHeader,
        (Some("signed"), _) => PayloadSigning::Hashed,
        _ => PayloadSigning::for_service(service),
    };
    Ok(Payload::of(body, rule))
}

fn body(vector: &Value) -> Result<Vec<u8>, String> {
    if let Some(text) = vector["body"].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    let Some(base64) = vector["body_b64"].as_str() else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for c in base64.bytes().filter(|b| *b != b'=') {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let value = ALPHABET.iter().position(|a| *a == c).ok_or("body_b64 is not base64")?;
        bits = bits << 6 | u32::try_from(value).expect("64 values");
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Ok(bytes)
}

fn at(vector: &Value) -> Result<time::OffsetDateTime, String> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = PrimitiveDateTime::parse(text(vector, "time")?, format).map_err(|e| e.to_string())?;
    Ok(at.assume_utc())
}
