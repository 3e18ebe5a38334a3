//! AWS Signature Version 4 and 4A: functions of request, key, scope and time. No clock, no IO, no errors:
//! whatever is given can be signed.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use crate::signing::secret::AccessKey;
use crate::signing::{canonical, v4, v4a};
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::Deref;
use std::sync::{PoisonError, RwLock};
use time::OffsetDateTime;
use zeroize::Zeroize as _;

const TOKEN_HEADER: &str = "x-amz-security-token";

/// A header's name and value.
pub type Header<'a> = (&'a str, &'a str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SigV4: HMAC-SHA256, valid in one region.
    V4,
    /// SigV4a: ECDSA over P-256, valid in a set of regions.
    V4a,
}

impl Algorithm {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::V4 => "SigV4",
            Algorithm::V4a => "SigV4a",
        }
    }
}

/// How the path of the URL becomes the path of the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriEncoding {
    /// The S3 family signs the path as it is sent.
    Single,
    /// Everyone else normalises it and percent-encodes the result once more.
    Double,
}

/// What the signature says of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadSigning {
    /// Its hash.
    Hashed,
    /// Its hash, also sent as `x-amz-content-sha256`.
    HashedInHeader,
    /// Nothing: `UNSIGNED-PAYLOAD`, sent as `x-amz-content-sha256`. The service must ask for it.
    Unsigned,
}

impl UriEncoding {
    /// The rule of a service, by its signing name.
    pub fn of_service(service: &str) -> UriEncoding {
        match service {
            "s3" | "s3-outposts" | "s3-object-lambda" | "s3express" => UriEncoding::Single,
            _ => UriEncoding::Double,
        }
    }
}

impl PayloadSigning {
    /// The rule of a service, by its signing name.
    pub fn of_service(service: &str) -> PayloadSigning {
        match service {
            "vpc-lattice-svcs" => PayloadSigning::Unsigned,
            "s3" | "s3-outposts" | "s3-object-lambda" | "s3express" | "glacier" | "aoss" => {
                PayloadSigning::HashedInHeader
            }
            _ => PayloadSigning::Hashed,
        }
    }
}

/// Where a request goes, in canonical form. Made once for a URL.
#[derive(Clone, Debug)]
pub struct CanonicalTarget {
    host: String,
    path: String,
    query: String,
}

impl CanonicalTarget {
    /// `host` as the header of that name carries it; `path` and `query` exactly as they are sent.
    pub fn new(host: &str, path: &str, query: &str, rule: UriEncoding) -> CanonicalTarget {
        CanonicalTarget {
            host: host.to_owned(),
            path: canonical::path(path, rule),
            query: canonical::query(query),
        }
    }
}

/// What is signed of a body. Made once for a body, and good for every attempt to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    hash: String,
    in_header: bool,
}

impl Payload {
    pub fn of(body: &[u8], rule: PayloadSigning) -> Payload {
        Payload::by_rule(rule, || sha256_hex(body))
    }

    /// For a body that came in pieces.
    pub fn of_pieces(hash: BodyHash, rule: PayloadSigning) -> Payload {
        Payload::by_rule(rule, || Hex::of(&hash.0.finalize().into()))
    }

    fn by_rule(rule: PayloadSigning, hash: impl FnOnce() -> Hex) -> Payload {
        match rule {
            PayloadSigning::Hashed => Payload::with_hash(&hash(), false),
            PayloadSigning::HashedInHeader => Payload::with_hash(&hash(), true),
            PayloadSigning::Unsigned => Payload::with_hash("UNSIGNED-PAYLOAD", true),
        }
    }

    /// For a body whose SHA-256 (lower-case hex) is known already.
    pub fn with_hash(hash: &str, in_header: bool) -> Payload {
        Payload { hash: hash.to_owned(), in_header }
    }
}

/// The SHA-256 of a body that comes in pieces.
#[derive(Clone, Default)]
pub struct BodyHash(Sha256);

impl BodyHash {
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }
}

impl fmt::Debug for BodyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BodyHash")
    }
}

/// A request before it is signed. Of `headers` all are signed but those that hops may change
/// (`canonical::push_headers`), and those that signing sets itself are left out.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a CanonicalTarget,
    pub headers: &'a [Header<'a>],
    pub payload: &'a Payload,
}

/// The headers to add to the request, and the steps that led to them.
pub struct Signed {
    /// Lower-case names; `authorization` is the last.
    pub headers: Vec<(&'static str, String)>,
    /// Holds the session token: mask it before showing it to anyone.
    pub canonical_request: String,
    pub string_to_sign: String,
    /// Lower-case hex; for SigV4a of the DER form.
    pub signature: String,
}

/// The session token is in its header and in the canonical request, and nothing else is secret.
impl Drop for Signed {
    fn drop(&mut self) {
        for (name, value) in &mut self.headers {
            if *name == TOKEN_HEADER {
                value.zeroize();
                self.canonical_request.zeroize();
            }
        }
    }
}

/// Without values, for the same reason.
impl fmt::Debug for Signed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

/// Signs requests of one algorithm, region and service. Remembers the last derived key.
pub struct Signer {
    algorithm: Algorithm,
    region: String,
    service: String,
    last_key: RwLock<Option<DerivedKey>>,
}

/// A derived key and what it was derived from.
struct DerivedKey {
    access_key: AccessKey,
    /// `YYYYMMDD`; empty for SigV4a, whose key does not depend on it.
    day: String,
    signing_key: SigningKey,
}

enum SigningKey {
    V4(v4::SigningKey),
    V4a(v4a::SigningKey),
}

impl Signer {
    /// `region` is a region for SigV4 and a region set (`us-east-1,eu-west-1`, `*`) for SigV4a.
    pub fn new(algorithm: Algorithm, region: &str, service: &str) -> Signer {
        Signer {
            algorithm,
            region: region.to_owned(),
            service: service.to_owned(),
            last_key: RwLock::new(None),
        }
    }

    /// Signs `request` as sent at `at`, to the second. The request itself is left alone, so that each attempt
    /// signs afresh.
    ///
    /// ```
    /// use sigv4_proxy::signing::{
    ///     AccessKey, Algorithm, CanonicalTarget, Payload, PayloadSigning, Request, Secret, Signer, UriEncoding,
    /// };
    /// let key = AccessKey {
    ///     access_key_id: "AKIDEXAMPLE".into(),
    ///     secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ///     session_token: None,
    /// };
    /// let signed = Signer::new(Algorithm::V4, "us-east-1", "service").sign(
    ///     &Request {
    ///         method: "GET",
    ///         target: &CanonicalTarget::new("example.amazonaws.com", "/", "", UriEncoding::of_service("service")),
    ///         headers: &[],
    ///         payload: &Payload::of(b"", PayloadSigning::Hashed),
    ///     },
    ///     &key,
    ///     time::macros::datetime!(2015-08-30 12:36:00 UTC),
    /// );
    /// assert_eq!(signed.signature, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    /// ```
    pub fn sign(&self, request: &Request<'_>, key: &AccessKey, at: OffsetDateTime) -> Signed {
        let date = amz_date(at);
        let date = str::from_utf8(&date).expect("digits are ASCII");
        let day = &date[..8];
        let (algorithm, scope) = match self.algorithm {
            Algorithm::V4 => {
                let scope = [day, "/", &self.region, "/", &self.service, "/aws4_request"];
                (v4::ALGORITHM, scope.concat())
            }
            Algorithm::V4a => (v4a::ALGORITHM, [day, "/", &self.service, "/aws4_request"].concat()),
        };

        let CanonicalTarget { host, path, query } = request.target;
        let Payload { hash, in_header } = request.payload;
        let is_v4a = self.algorithm == Algorithm::V4a;
        let owned: [Option<(&'static str, &str)>; 5] = [
            Some(("host", host)),
            in_header.then_some(("x-amz-content-sha256", hash)),
            Some(("x-amz-date", date)),
            is_v4a.then_some(("x-amz-region-set", &self.region)),
            key.session_token.as_ref().map(|token| (TOKEN_HEADER, token.expose())),
        ];
        let owned = owned.into_iter().flatten();

        let mut canonical_request = String::with_capacity(768);
        for line in [request.method, path, query] {
            canonical_request.push_str(line);
            canonical_request.push('\n');
        }
        let names = canonical::push_headers(&mut canonical_request, request.headers, owned.clone());
        canonical_request.push('\n');
        canonical_request.push_str(hash);
        let string_to_sign = canonical::string_to_sign(algorithm, date, &scope, &canonical_request);
        let signature = self.signature(key, day, &string_to_sign);
        let authorization = [
            algorithm,
            " Credential=",
            &key.access_key_id,
            "/",
            &scope,
            ", SignedHeaders=",
            &canonical_request[names],
            ", Signature=",
            &signature,
        ];
        let mut headers = Vec::with_capacity(5);
        headers.extend(owned.skip(1).map(|(name, value)| (name, value.to_owned())));
        headers.push(("authorization", authorization.concat()));
        Signed { headers, canonical_request, string_to_sign, signature }
    }

    fn signature(&self, access_key: &AccessKey, day: &str, string_to_sign: &str) -> String {
        let day = if self.algorithm == Algorithm::V4a { "" } else { day };
        let last = self.last_key.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*last
            && known.access_key.access_key_id == access_key.access_key_id
            && known.access_key.secret_access_key == access_key.secret_access_key
            && known.day == day
        {
            return known.signing_key.sign(string_to_sign);
        }
        drop(last);
        let signing_key = match self.algorithm {
            Algorithm::V4 => SigningKey::V4(v4::SigningKey::derive(
                &access_key.secret_access_key,
                day,
                &self.region,
                &self.service,
            )),
            Algorithm::V4a => SigningKey::V4a(v4a::SigningKey::derive(access_key)),
        };
        let signature = signing_key.sign(string_to_sign);
        let access_key = AccessKey { session_token: None, ..access_key.clone() };
        let derived = DerivedKey { access_key, day: day.to_owned(), signing_key };
        *self.last_key.write().unwrap_or_else(PoisonError::into_inner) = Some(derived);
        signature
    }
}

impl SigningKey {
    fn sign(&self, string_to_sign: &str) -> String {
        match self {
            SigningKey::V4(key) => key.sign(string_to_sign),
            SigningKey::V4a(key) => key.sign(string_to_sign),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signer({:?} {} {})", self.algorithm, self.region, self.service)
    }
}

/// `YYYYMMDDTHHMMSSZ` in UTC.
fn amz_date(at: OffsetDateTime) -> [u8; 16] {
    let at = at.to_offset(time::UtcOffset::UTC);
    let [century, year] = [at.year() / 100, at.year() % 100].map(|n| u8::try_from(n).unwrap_or(0));
    let [month, day] = [u8::from(at.month()), at.day()];
    let (hour, minute, second) = at.to_hms();
    let mut date = *b"00000000T000000Z";
    let numbers =
        [(0, century), (2, year), (4, month), (6, day), (9, hour), (11, minute), (13, second)];
    for (place, number) in numbers {
        date[place] += number / 10;
        date[place + 1] += number % 10;
    }
    date
}

/// Each byte in two digits.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte / 16], digits[byte % 16]];
        byte += 1;
    }
    pairs
};

pub(crate) fn sha256_hex(bytes: &[u8]) -> Hex {
    Hex::of(&Sha256::digest(bytes).into())
}

/// 32 bytes as text, lower case. The `hex` crate goes digit by digit, which costs as much as the hash of a small body.
pub(crate) struct Hex([u8; 64]);

impl Hex {
    pub(crate) fn of(bytes: &[u8; 32]) -> Hex {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&HEX[usize::from(*byte)]);
        }
        Hex(text)
    }
}

impl Deref for Hex {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.0).expect("digits are ASCII")
    }
}
