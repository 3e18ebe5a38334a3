//! `Certificate`: issuer and expiry of a certificate (RFC 5280 §4.1), for people. Reads DER and verifies nothing.

use time::OffsetDateTime;
use time::macros::format_description;

/// Issuer and expiry; `None` if they cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The issuer's common name, or else its organisation.
    pub(crate) issuer: Option<String>,
    pub(crate) expires: Option<OffsetDateTime>,
}

impl Certificate {
    pub(crate) fn read(der: &[u8]) -> Certificate {
        let Some((issuer, validity)) = issuer_and_validity(der) else {
            return Certificate::default();
        };
        Certificate { issuer: name(issuer), expires: end_of(validity) }
    }
}

/// The contents of the elements `issuer` and `validity`.
fn issuer_and_validity(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // The version is optional; serial number and algorithm follow, then the issuer.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    rest = element(rest)?.2;
    rest = element(rest)?.2;
    let (tag, issuer, rest) = element(rest)?;
    let (_, validity, _) = element(rest)?;
    (tag == SEQUENCE).then_some((issuer, validity))
}

fn name(issuer: &[u8]) -> Option<String> {
    let attribute = |kind: u8| {
        let object_id = [0x06, 0x03, 0x55, 0x04, kind];
        let at = issuer.windows(object_id.len()).position(|window| window == object_id)?;
        let (_, text, _) = element(issuer.get(at + object_id.len()..)?)?;
        let text = String::from_utf8_lossy(text);
        Some(text.chars().filter(|c| !c.is_control()).take(100).collect::<String>())
    };
    let (common_name, organisation) = (0x03, 0x0a);
    attribute(common_name).or_else(|| attribute(organisation))
}

/// The second time of `validity`. A `UTCTime` has two digits for the year and ends in 2049; a later time is a
/// `GeneralizedTime`.
fn end_of(validity: &[u8]) -> Option<OffsetDateTime> {
    const UTC_TIME: u8 = 0x17;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    let text = str::from_utf8(text).ok()?;
    let full = match (tag, text.get(..2)?.parse::<u8>()) {
        (UTC_TIME, Ok(50..)) => format!("19{text}"),
        (UTC_TIME, _) => format!("20{text}"),
        _ => text.to_owned(),
    };
    let format = format_description!("[year][month][day][hour][minute][second]Z");
    Some(time::PrimitiveDateTime::parse(&full, format).ok()?.assume_utc())
}

/// One DER element: tag, content, and the bytes that follow.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(until: i32) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params =
            rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Corporate Proxy CA");
        params.not_after = rcgen::date_time_ymd(until, 2, 3);
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn issuer_and_end_or_nothing() {
        for (until, end) in [
            (2031, time::macros::datetime!(2031-02-03 00:00 UTC)),
            (2151, time::macros::datetime!(2151-02-03 00:00 UTC)),
        ] {
            let der = certificate(until);
            let read = Certificate::read(&der);
            assert_eq!(read.issuer.as_deref(), Some("Corporate Proxy CA"));
            assert_eq!(read.expires, Some(end));
            for cut in 0..der.len() {
                let _ = Certificate::read(&der[..cut]);
            }
        }
        assert_eq!(Certificate::read(b"\x30\x84\xff\xff\xff\xff"), Certificate::default());
    }
}
