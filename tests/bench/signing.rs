//! The signer against AWS's own for Rust, and against the hash that both must compute.

use crate::{Row, median};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::{v4, v4a};
use sha2::{Digest, Sha256};
use sigv4_proxy::signing::{
    AccessKey, Algorithm, CanonicalTarget, Payload, PayloadSigning, Request, Secret, Signer,
    UriEncoding,
};
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "abc123.execute-api.us-east-1.amazonaws.com";

/// Rows of microseconds a signature: ours, AWS's, the bare hash.
pub fn measure(rounds: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, bytes) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let body = vec![b'x'; bytes];
        let hash = || {
            black_box(Sha256::digest(black_box(&body)));
        };
        for (algorithm, is_cached) in [
            (Algorithm::V4, true),
            (Algorithm::V4, false),
            (Algorithm::V4a, true),
            (Algorithm::V4a, false),
        ] {
            let key = AccessKey {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
                secret_access_key: Secret::new(SECRET),
                session_token: None,
            };
            let target = CanonicalTarget::new(
                HOST,
                "/prod/mcp",
                "",
                UriEncoding::for_service("execute-api"),
            );
            let kept = Signer::new(algorithm, "us-east-1", "execute-api");
            let now = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(22_000);
            let ours = || {
                let request = Request {
                    method: "POST",
                    target: &target,
                    headers: &[("content-type", "application/json")],
                    payload: &Payload::of(&body, PayloadSigning::Hashed),
                };
                let fresh;
                let signer = if is_cached {
                    &kept
                } else {
                    fresh = Signer::new(algorithm, "us-east-1", "execute-api");
                    &fresh
                };
                black_box(signer.sign(&request, &key, now));
            };
            let theirs = || black_box_theirs(algorithm, &body);
            let mut figures = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..rounds {
                figures[0].push(microseconds(&ours));
                figures[1].push(microseconds(&theirs));
                figures[2].push(microseconds(&hash));
            }
            let [ours, theirs, hash] = figures.map(|mut times| median(&mut times));
            let cache = if is_cached { "key cached" } else { "key derived" };
            rows.push(Row {
                name: format!("{} {name}, {cache}", algorithm.name()),
                figures: vec![
                    ("sigv4-proxy".into(), ours),
                    ("aws-sigv4".into(), theirs),
                    ("the hash alone".into(), hash),
                ],
            });
        }
    }
    rows
}

/// The crate derives its key at every call: it keeps none.
fn black_box_theirs(algorithm: Algorithm, body: &[u8]) {
    let identity = Credentials::new("AKIAIOSFODNN7EXAMPLE", SECRET, None, None, "bench").into();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(22_000 * 86_400);
    let settings = SigningSettings::default();
    let params = match algorithm {
        Algorithm::V4 => v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("execute-api")
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into(),
        Algorithm::V4a => v4a::SigningParams::builder()
            .identity(&identity)
            .region_set("us-east-1")
            .name("execute-api")
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into(),
    };
    let headers = [("content-type", "application/json")].into_iter();
    let url = format!("https://{HOST}/prod/mcp");
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body)).unwrap();
    black_box(sign(request, &params).unwrap());
}

/// Of one call, the fastest of some batches: what disturbs only makes slower.
fn microseconds(call: &dyn Fn()) -> f64 {
    call();
    let mut best = f64::MAX;
    for _ in 0..20 {
        let started = Instant::now();
        let mut count = 0_u32;
        while started.elapsed() < Duration::from_millis(5) {
            call();
            count += 1;
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    }
    best
}
