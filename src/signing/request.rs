//! `Request`: the input of the signature.

use crate::signing::payload::Payload;
use crate::signing::target::CanonicalTarget;

/// A header's name and value.
pub type Header<'a> = (&'a str, &'a str);

/// A request before it is signed.
///
/// All of `headers` are signed, except those that intermediaries may change (`user-agent`, `connection`, trace headers and
/// similar). Headers that signing itself sets, such as `host` and `x-amz-date`, are ignored here.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a CanonicalTarget,
    pub headers: &'a [Header<'a>],
    pub payload: &'a Payload,
}
