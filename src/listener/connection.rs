//! One connection: requests in, one after the other, responses out.

use crate::listener::handler::Handler;
use crate::listener::request::{Headers, Method, Request};
use crate::listener::response::{ResponseForm, ResponseWriter};
use crate::listener::settings::Settings;
use crate::listener::stream::Stream;
use crate::sync::cancel::Cancel;
use std::sync::Arc;

/// Serves requests until the client closes the connection.
pub(crate) fn serve(stream: &Arc<Stream>, settings: &Settings, handler: &Handler) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let (method, headers, head_bytes, path) = loop {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut parser = httparse::Request::new(&mut fields);
            if let httparse::Status::Complete(bytes) = parser.parse(&buffer).ok()? {
                let mut headers = Headers::default();
                for field in &*parser.headers {
                    headers.add(field.name, std::str::from_utf8(field.value).ok()?);
                }
                let method = match parser.method? {
                    "POST" => Method::Post,
                    "DELETE" => Method::Delete,
                    _ => Method::Get,
                };
                break (method, headers, bytes, parser.path?.to_owned());
            }
            fill(stream, &mut buffer)?;
        };
        let length = headers.get("content-length").map_or(Some(0), |text| text.parse().ok())?;
        while buffer.len() < head_bytes + length {
            fill(stream, &mut buffer)?;
        }
        let body = buffer[head_bytes..head_bytes + length].to_vec();
        buffer.drain(..head_bytes + length);
        let form =
            ResponseForm { is_http_1_0: false, is_head: false, keeps_alive: true, origin: None };
        let mut response = ResponseWriter::new(stream, form);
        if path == settings.path {
            let request = Request { method, headers, body, cancel: Cancel::new() };
            handler.handle(request, &mut response).ok()?;
        } else {
            response.send(404, &[], b"").ok()?;
        }
        if !response.is_started() || !response.finish() {
            return None;
        }
    }
}

fn fill(stream: &Stream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 8192];
    let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
    buffer.extend_from_slice(&chunk[..read]);
    Some(())
}
