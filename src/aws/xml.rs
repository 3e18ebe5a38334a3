//! Elements of AWS's XML, by their local names, since each service has a namespace of its own.

use roxmltree::{Document, Node};

/// Maximum size of a document. AWS's are a few KB, and the time that some take grows with the square of their size.
const MAX_BYTES: usize = 64 * 1024;

/// Parses a document. `None`: it is not XML, or too large.
pub(crate) fn parse(text: &str) -> Option<Document<'_>> {
    if text.len() > MAX_BYTES { None } else { Document::parse(text).ok() }
}

/// The first element of this name.
pub(crate) fn element<'a, 'x>(within: Node<'a, 'x>, name: &str) -> Option<Node<'a, 'x>> {
    within.descendants().find(|node| node.is_element() && node.tag_name().name() == name)
}

/// All text in the first element of this name, unless it is only whitespace. Comments and CDATA do not interrupt it.
pub(crate) fn text_of(within: Node<'_, '_>, name: &str) -> Option<String> {
    let texts = element(within, name)?.descendants().filter(Node::is_text);
    let text = texts.filter_map(|node| node.text()).collect::<String>();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_too_large_is_not_parsed() {
        let document = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - "<a></a>".len()));
        assert!(parse(&document(MAX_BYTES)).is_some());
        assert!(parse(&document(MAX_BYTES + 1)).is_none());
    }
}
