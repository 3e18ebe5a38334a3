//! The signer against figures of others: AWS's published suite, vectors computed by botocore, awscrt and
//! aws-sigv4, and random requests signed by the `aws-sigv4` crate.

use crate::vectors;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sigv4_proxy::signing::{
    AccessKey, Algorithm, CanonicalTarget, Payload, PayloadSigning, Request, Secret, Signed,
    Signer, UriEncoding, v4, v4a,
};
use time::macros::datetime;

fn lines(file: &str) -> Vec<Value> {
    let path = format!("{}/test-vectors/signing/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}: {e}")))
        .collect()
}

/// Every step of every vector of the file.
fn check(file: &str) {
    let vectors = lines(file);
    assert!(vectors.len() > 20, "{file} holds {} vectors", vectors.len());
    for vector in &vectors {
        check_vector(vector);
    }
}

/// The name of a vector in failures: its id and, for a decision, its reason.
fn name(vector: &Value) -> String {
    match vector["why"].as_str() {
        Some(why) => format!("{}: {why}", vector["id"]),
        None => vector["id"].to_string(),
    }
}

fn check_vector(vector: &Value) {
    let id = name(vector);
    let expect = &vector["expect"];
    let signed = vectors::sign(vector).unwrap_or_else(|why| panic!("{id} is refused: {why}"));
    assert_eq!(signed.canonical_request, expect["canonical_request"], "{id}: canonical request");
    assert_eq!(signed.string_to_sign, expect["string_to_sign"], "{id}: string to sign");
    let names = ["normalize_path", "double_encode"];
    let has_path_rule = names.iter().any(|name| !vector["options"][name].is_null());
    assert!(!has_path_rule, "{id}: omit the path rule, so that the vector tests its service's");
    check_own_headers(vector, &signed);
    if vectors::algorithm(vector) == Algorithm::V4a {
        // Others choose their nonces at random, so all signatures are verified, theirs and ours.
        let key = public_key(vector);
        for (whose, signature) in [
            ("ours", signed.signature.as_str()),
            ("theirs", expect["signature"].as_str().expect("text")),
        ] {
            let der = hex::decode(signature).unwrap_or_else(|e| panic!("{id}: {whose}: {e}"));
            let signature =
                Signature::from_der(&der).unwrap_or_else(|e| panic!("{id}: {whose}: {e}"));
            key.verify(signed.string_to_sign.as_bytes(), &signature)
                .unwrap_or_else(|e| panic!("{id}: {whose}: {e}"));
        }
    } else {
        assert_eq!(signed.signature, expect["signature"], "{id}: signature");
        if let Some(expected) = expect["signing_key"].as_str() {
            let (day, text) = (&vector["time"].as_str().expect("text")[..8], |name: &str| {
                vector[name].as_str().expect("text")
            });
            let key = v4::key_bytes(
                &Secret::new(text("secret_key")),
                day,
                text("region"),
                text("service"),
            );
            assert_eq!(hex::encode(&key[..]), expected, "{id}: signing key");
        }
    }
}

/// Headers that signing sets itself are signed once, whatever the caller sends under their names.
fn check_own_headers(vector: &Value, signed: &Signed) {
    let mut with = vector.clone();
    let headers = with["headers"].as_array_mut().expect("a list");
    headers.extend(signed.headers.iter().map(|(name, _)| json!([name, "of the caller"])));
    let canonical_request = vectors::sign(&with).expect("signed").canonical_request.clone();
    let id = name(vector);
    assert_eq!(
        canonical_request, signed.canonical_request,
        "{id}: add the header to OWN of canonical.rs"
    );
}

fn public_key(vector: &Value) -> VerifyingKey {
    let coordinate = |name: &str| hex::decode(vector[name].as_str().expect("hex")).expect("hex");
    let point = [vec![4], coordinate("public_x"), coordinate("public_y")].concat();
    VerifyingKey::from_sec1_bytes(&point).expect("a point of the curve")
}

#[test]
fn aws_published_suite_v4() {
    check("aws-suite-v4.jsonl");
}

#[test]
fn aws_published_suite_v4a() {
    check("aws-suite-v4a.jsonl");
}

#[test]
fn vectors_on_which_all_signers_agree() {
    check("v4.jsonl");
}

#[test]
fn random_requests_are_signed_as_by_botocore_and_awscrt() {
    check("generated.jsonl");
}

#[test]
fn random_requests_to_the_s3_family_are_signed_as_by_botocore_and_awscrt() {
    check("generated-s3.jsonl");
}

/// The names in each `for_service`: a rule without a vector would be compared with nothing.
#[test]
fn every_service_with_a_rule_of_its_own_has_vectors() {
    let root = env!("CARGO_MANIFEST_DIR");
    let entries = std::fs::read_dir(format!("{root}/test-vectors/signing")).unwrap();
    let vectors: Vec<Value> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .flat_map(|path| lines(path.file_name().and_then(|name| name.to_str()).unwrap()))
        .collect();
    for file in ["target.rs", "payload.rs"] {
        let source = std::fs::read_to_string(format!("{root}/src/signing/{file}")).unwrap();
        let (_, rules) = source.split_once("fn for_service(").expect("a function");
        let (rules, _) = rules.split_once("\n    }\n").expect("its end");
        let services: Vec<&str> = rules.split('"').skip(1).step_by(2).collect();
        assert!(services.contains(&"s3"), "{file}: {services:?}");
        for service in services {
            let has_vector = vectors.iter().any(|vector| vector["service"] == service);
            assert!(has_vector, "{file}: no vector is of {service} (docs/contributing.md)");
        }
    }
}

#[test]
fn sigv4a_requests_are_signed_as_by_other_implementations() {
    check("v4a.jsonl");
}

#[test]
fn v4a_keys_also_where_the_first_candidate_is_out_of_range() {
    let mut second_counter = 0;
    for vector in lines("v4a-keys.jsonl") {
        let key = v4a::SigningKey::derive(&vectors::access_key(&vector).expect("a key"));
        let (x, y) = key.public_point();
        let id = &vector["access_key"];
        assert_eq!(hex::encode(&key.private_key()[..]), vector["private_key"], "{id}");
        assert_eq!(
            (hex::encode(x), hex::encode(y)),
            (text(&vector, "public_x"), text(&vector, "public_y")),
            "{id}"
        );
        second_counter += usize::from(vector["counter"] == 2);
    }
    assert!(second_counter >= 1, "the rare branch is exercised");
}

fn text(vector: &Value, name: &str) -> String {
    vector[name].as_str().unwrap_or_default().to_owned()
}

#[test]
fn requests_on_which_signers_disagree_are_signed_as_decided() {
    for vector in lines("decisions.jsonl") {
        let id = name(&vector);
        assert!(vector["why"].is_string(), "{id} does not say why");
        if vector["expect_refused"] == true {
            assert!(vectors::sign(&vector).is_err(), "{id} (it was signed)");
        } else if let Some(owned) = vector["expect_like_without"].as_array() {
            // Headers that signing sets itself: the caller's values are ignored.
            let mut without = vector.clone();
            let headers = without["headers"].as_array_mut().expect("a list");
            headers.retain(|header| !owned.contains(&header[0]));
            assert_eq!(vectors::answer(&vector), vectors::answer(&without), "{id}");
        } else {
            check_vector(&vector);
            if let Some(wire) = vector["wire_url"].as_str() {
                let endpoint =
                    sigv4_proxy::http::url::Endpoint::parse(vector["url"].as_str().expect("text"));
                assert_eq!(endpoint.expect("a URL").to_string(), wire, "{id}");
            }
        }
    }
}

#[test]
fn the_cached_key_follows_secret_and_day() {
    // One signer for two secrets and two days, each used twice, must sign like four new signers.
    let target = CanonicalTarget::new("h", "/", "", UriEncoding::for_service("execute-api"));
    let payload = Payload::of(b"", PayloadSigning::Hashed);
    let request = Request { method: "GET", target: &target, headers: &[], payload: &payload };
    let key = |secret: &str| AccessKey {
        access_key_id: "AKID".into(),
        secret_access_key: Secret::new(secret),
        session_token: None,
    };
    for algorithm in [Algorithm::V4, Algorithm::V4a] {
        let shared = Signer::new(algorithm, "us-east-1", "execute-api");
        for _ in 0..2 {
            for secret in ["one", "two"] {
                for at in [datetime!(2026-03-01 23:59:59 UTC), datetime!(2026-03-02 0:00 UTC)] {
                    let fresh = Signer::new(algorithm, "us-east-1", "execute-api");
                    let expected = fresh.sign(&request, &key(secret), at).signature.clone();
                    assert_eq!(shared.sign(&request, &key(secret), at).signature, expected);
                }
            }
        }
    }
}
