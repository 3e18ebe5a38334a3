//! `Signer`: signs requests for one algorithm, region and service.

use crate::signing::canonical::{CanonicalRequest, StringToSign};
use crate::signing::payload::Payload;
use crate::signing::request::Request;
use crate::signing::secret::AccessKey;
use crate::signing::{v4, v4a};
use crate::sync;
use std::fmt;
use std::sync::RwLock;
use time::OffsetDateTime;
use zeroize::Zeroize as _;

const TOKEN_HEADER: &str = "x-amz-security-token";

/// A version of AWS Signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SigV4: HMAC-SHA256, valid in one region.
    V4,
    /// SigV4a: ECDSA over P-256, valid in a set of regions.
    V4a,
}

impl Algorithm {
    /// The name in messages: `SigV4` or `SigV4a`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::V4 => "SigV4",
            Algorithm::V4a => "SigV4a",
        }
    }
}

/// A signature: the headers to add to the request, and the intermediate steps.
pub struct Signed {
    /// Lower-case names; `authorization` is the last.
    pub headers: Vec<(&'static str, String)>,
    /// Contains the session token: redact it before display.
    pub canonical_request: String,
    pub string_to_sign: String,
    /// In lower-case hex; for SigV4a, of the DER form.
    pub signature: String,
}

/// Wipes the session token, the only secret, which is in its header and in the canonical request.
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

/// Prints the names of the headers only, because of the session token.
impl fmt::Debug for Signed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

/// Signs requests for one algorithm, region and service. Caches the last derived key.
pub struct Signer {
    algorithm: Algorithm,
    region: String,
    service: String,
    last_key: RwLock<Option<DerivedKey>>,
}

/// A signing key and the values that it was derived from.
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

    /// Signs `request` at the time `at`, of which whole seconds count. The request is unchanged, so that each attempt can be
    /// signed again.
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
    ///         target: &CanonicalTarget::new("example.amazonaws.com", "/", "", UriEncoding::for_service("service")),
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
        let (algorithm, scope): (_, &[&str]) = match self.algorithm {
            Algorithm::V4 => {
                (v4::ALGORITHM, &[day, "/", &self.region, "/", &self.service, "/aws4_request"])
            }
            Algorithm::V4a => (v4a::ALGORITHM, &[day, "/", &self.service, "/aws4_request"]),
        };

        let Payload { hash, in_header } = request.payload;
        let is_v4a = self.algorithm == Algorithm::V4a;
        let owned: [Option<(&'static str, &str)>; 5] = [
            Some(("host", &request.target.host)),
            in_header.then_some(("x-amz-content-sha256", hash)),
            Some(("x-amz-date", date)),
            is_v4a.then_some(("x-amz-region-set", &self.region)),
            key.session_token.as_ref().map(|token| (TOKEN_HEADER, token.expose())),
        ];
        let owned = owned.into_iter().flatten();

        let CanonicalRequest { text: canonical_request, signed_headers } =
            CanonicalRequest::new(request, owned.clone());
        let StringToSign { text: string_to_sign, scope } =
            StringToSign::new(algorithm, date, scope, &canonical_request);
        let signature = self.signature(key, day, &string_to_sign);
        let authorization = [
            algorithm,
            " Credential=",
            &key.access_key_id,
            "/",
            &string_to_sign[scope],
            ", SignedHeaders=",
            &canonical_request[signed_headers],
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
        let last = sync::read(&self.last_key);
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
        *sync::write(&self.last_key) = Some(derived);
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
    for (at, number) in numbers {
        date[at] += number / 10;
        date[at + 1] += number % 10;
    }
    date
}
