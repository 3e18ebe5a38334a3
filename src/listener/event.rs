//! Messages as events of a stream (WHATWG HTML §9.2).

use crate::http::event_stream::EventFields;
use crate::json::line::one_line;
use std::fmt::Write as _;

/// An event with this document as its data, and with the fields that the server gave it.
pub(crate) fn event(document: Vec<u8>, fields: Option<&EventFields>) -> Vec<u8> {
    let mut event = fields.map_or_else(String::new, head).into_bytes();
    // A carriage return would end a line.
    let document = if document.contains(&b'\r') { one_line(document) } else { document };
    event.reserve(document.len() + 16);
    for line in document.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

/// An event without a message. It carries an id or a `retry` time, or only shows that the stream is alive; or it is not part
/// of MCP, and carries `data`.
pub(crate) fn event_without_message(fields: &EventFields, data: Vec<u8>) -> Vec<u8> {
    if !data.is_empty() {
        return event(data, Some(fields));
    }
    let mut event = head(fields);
    event.push_str(if fields.id.is_some() { "data: \n\n" } else { "\n" });
    event.into_bytes()
}

fn head(fields: &EventFields) -> String {
    let mut head = String::new();
    if fields.is_commented {
        head.push_str(":\n");
    }
    if !fields.name.is_empty() {
        let _ = writeln!(head, "event: {}", fields.name);
    }
    if let Some(id) = &fields.id {
        let _ = writeln!(head, "id: {id}");
    }
    if let Some(retry) = fields.retry {
        let _ = writeln!(head, "retry: {}", retry.as_millis());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_have_the_fields_that_the_server_gave_them() {
        let fields = EventFields {
            name: "message".to_owned(),
            id: Some("7".to_owned()),
            retry: Some(Duration::from_millis(1500)),
            is_commented: true,
        };
        for (document, fields, expected) in [
            ("{}", None, "data: {}\n\n"),
            ("{\n }", None, "data: {\ndata:  }\n\n"),
            ("{\r\n\"a\":1}", None, "data: {  \"a\":1}\n\n"),
            ("{}", Some(&EventFields::default()), "data: {}\n\n"),
            ("{}", Some(&fields), ":\nevent: message\nid: 7\nretry: 1500\ndata: {}\n\n"),
        ] {
            let text = event(document.as_bytes().to_vec(), fields);
            assert_eq!(String::from_utf8_lossy(&text), expected);
        }
    }

    #[test]
    fn events_without_a_message_keep_what_counts() {
        let of = |id: Option<&str>, retry, is_commented| {
            let id = id.map(str::to_owned);
            let fields = EventFields { id, retry, is_commented, ..EventFields::default() };
            String::from_utf8(event_without_message(&fields, Vec::new())).expect("text")
        };
        assert_eq!(of(Some("1"), None, false), "id: 1\ndata: \n\n");
        assert_eq!(of(None, Some(Duration::from_secs(2)), false), "retry: 2000\n\n");
        assert_eq!(of(None, None, true), ":\n\n");
    }
}
