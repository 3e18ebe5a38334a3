//! `MessageBuilder`: the heads of a connection's requests, as ureq takes them.

use crate::http::request::Request;
use crate::signing::Header;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
};
use ureq::http::{Request as Message, Uri, request::Parts};

/// Headers whose values are not kept: a signature is of one request, and a token a secret.
const NOT_KEPT: [HeaderName; 2] = [AUTHORIZATION, HeaderName::from_static("x-amz-security-token")];

/// Headers that are added to those of a request.
const ADDED: usize = 3;

/// Makes the heads of requests. Most requests of a connection have the URL and nearly all headers of the one before, which
/// are then neither checked nor copied again. Nor does ureq add any, for each of which it would look through all of them.
/// Together that is a fifth of the blocks that a call allocates, without which the static build delivers fewer than half
/// the calls of a direct client (goal: 0.5).
#[derive(Default)]
pub(crate) struct MessageBuilder {
    url: String,
    uri: Uri,
    host: Option<HeaderValue>,
    /// The headers of the last request, in its order.
    last: Vec<KeptHeader>,
}

struct KeptHeader {
    name: HeaderName,
    value: Option<HeaderValue>,
}

impl MessageBuilder {
    /// The head of a request with a body of the length, if it has one.
    pub(crate) fn head(
        &mut self,
        request: &Request<'_>,
        length: Option<usize>,
    ) -> Result<Parts, ureq::Error> {
        if self.url != request.url {
            let uri = request.url.parse().map_err(invalid)?;
            self.host = host(&uri)?;
            self.uri = uri;
            request.url.clone_into(&mut self.url);
        }
        let (mut head, ()) = Message::new(()).into_parts();
        head.method = request.method.parse().map_err(invalid)?;
        head.uri.clone_from(&self.uri);
        head.headers = self.headers(request.headers, length)?;
        Ok(head)
    }

    fn headers(
        &mut self,
        sent: &[Header<'_>],
        length: Option<usize>,
    ) -> Result<HeaderMap, ureq::Error> {
        let mut headers = HeaderMap::with_capacity(ADDED + sent.len());
        if let Some(host) = &self.host
            && sent.iter().all(|(name, _)| *name != "host")
        {
            headers.append(HOST, host.clone());
        }
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(length) = length {
            let length = HeaderValue::try_from(length.to_string()).map_err(invalid)?;
            headers.append(CONTENT_LENGTH, length);
        }
        for (at, header) in sent.iter().enumerate() {
            let (name, value) = self.header(at, *header)?;
            headers.append(name, value);
        }
        self.last.truncate(sent.len());
        Ok(headers)
    }

    fn header(
        &mut self,
        at: usize,
        (name, value): Header<'_>,
    ) -> Result<(HeaderName, HeaderValue), ureq::Error> {
        if self.last.get(at).is_none_or(|last| last.name != *name) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
            self.last.truncate(at);
            self.last.push(KeptHeader { name, value: None });
        }
        let last = &mut self.last[at];
        if let Some(kept) = &last.value
            && kept == value
        {
            return Ok((last.name.clone(), kept.clone()));
        }
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(invalid)?;
        last.value = (!NOT_KEPT.contains(&last.name)).then(|| value.clone());
        Ok((last.name.clone(), value))
    }
}

/// The value of `Host`: without the port that the scheme has by default (RFC 9110 §7.2).
fn host(uri: &Uri) -> Result<Option<HeaderValue>, ureq::Error> {
    let Some(host) = uri.host() else { return Ok(None) };
    let value = match (uri.scheme_str(), uri.port_u16()) {
        (_, None) | (Some("http"), Some(80)) | (Some("https"), Some(443)) => {
            HeaderValue::from_str(host)
        }
        (_, Some(port)) => HeaderValue::try_from(format!("{host}:{port}")),
    };
    value.map(Some).map_err(invalid)
}

fn invalid(error: impl Into<ureq::http::Error>) -> ureq::Error {
    ureq::Error::Http(error.into())
}
