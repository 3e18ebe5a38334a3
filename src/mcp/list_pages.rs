//! Lists in pages: the request for a further page, and several pages as one. Unchanged parts stay byte for byte.

use crate::json::edit;
use crate::json::object::Object;
use crate::mcp::message::{Message, MessageKind};
use crate::random;
use serde_json::value::RawValue;

/// The methods that list, and the members of their results that hold the items.
const LISTS: [(&str, &str); 4] = [
    ("tools/list", "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

/// The member that holds the items, if this requests a list from its beginning.
pub(crate) fn items_of_list(request: &Message) -> Option<&'static str> {
    let MessageKind::Request { method, .. } = request.kind() else { return None };
    let (_, items) = LISTS.iter().find(|(list, _)| list == method)?;
    let text = str::from_utf8(request.body()).ok()?;
    match Object::parse(text)?.get_non_null("params") {
        // A page that the client names is the one that it wants.
        Some(params) if Object::parse(params.get())?.get_non_null("cursor").is_some() => None,
        _ => Some(items),
    }
}

/// The request for the page with this cursor, which is JSON, under an id of our own. The progress token belongs to the
/// first one alone.
pub(crate) fn request_for_page(first: &Message, cursor: &str) -> Option<Message> {
    let text = str::from_utf8(first.body()).ok()?;
    let request = Object::parse(text)?;
    let params = request.get_non_null("params").map_or("{}", RawValue::get);
    let meta = Object::parse(params)?.get("_meta").map(RawValue::get);
    let reduced = meta.and_then(|meta| {
        let without = edit::without_members(meta, |name| name == "progressToken")?;
        Some(edit::replace(params, meta, &without))
    });
    let params = edit::with_member(reduced.as_deref().unwrap_or(params), "cursor", cursor);
    let text = edit::with_member(text, "params", &params);
    let text = edit::with_member(&text, "id", &format!("\"sigv4-proxy-{}\"", random::uuid()));
    Message::parse(text.into_bytes()).ok()
}

/// A list of which further pages follow the first.
#[derive(Debug)]
pub(crate) struct PagedList {
    /// The response with the first page.
    first: String,
    items: &'static str,
    /// The items of each page, as JSON without the brackets.
    pages: Vec<String>,
    /// The cursor of the page that follows, as JSON.
    next: Option<String>,
    /// The lowest `ttlMs`, as JSON, if each page has one.
    ttl: Option<String>,
    /// One of the pages is for this user alone.
    is_private: bool,
    bytes: usize,
}

impl PagedList {
    /// Begins a list with the response to the request for it. Gives back one that no page follows.
    pub(crate) fn begin(response: String, items: &'static str) -> Result<PagedList, String> {
        let Some(Page { inner, next: Some(next), ttl, is_private }) = Page::read(&response, items)
        else {
            return Err(response);
        };
        let (pages, next) = (vec![inner.to_owned()], Some(next.to_owned()));
        let (ttl, bytes) = (ttl.map(str::to_owned), response.len());
        Ok(PagedList { first: response, items, pages, next, ttl, is_private, bytes })
    }

    /// The cursor of the page that follows, as JSON.
    pub(crate) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Ends the list here, although a page follows.
    pub(crate) fn end(&mut self) {
        self.next = None;
    }

    /// Adds the page that follows. False: the list would have more than `max_bytes`. `None`: it is not a page of this list.
    pub(crate) fn add(&mut self, response: &str, max_bytes: usize) -> Option<bool> {
        let Page { inner, next, ttl, is_private } = Page::read(response, self.items)?;
        if self.bytes + inner.len() + 1 > max_bytes {
            return Some(false);
        }
        self.bytes += inner.len() + 1;
        self.pages.push(inner.to_owned());
        self.next = next.map(str::to_owned);
        let millis = |json: &str| json.parse::<f64>().unwrap_or_default();
        let least = self.ttl.take().zip(ttl);
        self.ttl =
            least.map(|(old, new)| if millis(new) < millis(&old) { new.into() } else { old });
        self.is_private |= is_private;
        Some(true)
    }

    /// The first response with the items of all pages, and with the cursor of the page that follows the last, if one does.
    pub(crate) fn into_response(self) -> String {
        let PagedList { first, items, pages, next, ttl, is_private, .. } = self;
        let Some(original) = Object::parse(&first).and_then(|response| response.get("result"))
        else {
            return first;
        };
        let pages: Vec<String> = pages.into_iter().filter(|inner| !inner.is_empty()).collect();
        let mut result =
            edit::with_member(original.get(), items, &format!("[{}]", pages.join(",")));
        result = match next {
            Some(next) => edit::with_member(&result, "nextCursor", &next),
            None => edit::without_member(&result, "nextCursor"),
        };
        result = match ttl {
            Some(ttl) => edit::with_member(&result, "ttlMs", &ttl),
            None => edit::without_member(&result, "ttlMs"),
        };
        if is_private {
            result = edit::with_member(&result, "cacheScope", "\"private\"");
        }
        edit::replace(&first, original.get(), &result)
    }
}

/// One page of a list.
struct Page<'a> {
    /// The items, as JSON without the brackets.
    inner: &'a str,
    /// The cursor of the page that follows, as JSON.
    next: Option<&'a str>,
    /// `ttlMs` (2026-07-28), as JSON.
    ttl: Option<&'a str>,
    /// `cacheScope` (2026-07-28) is `private`.
    is_private: bool,
}

impl<'a> Page<'a> {
    fn read(response: &'a str, items: &str) -> Option<Page<'a>> {
        let result = Object::parse(Object::parse(response)?.get("result")?.get())?;
        let inner = result.get(items)?.get().strip_prefix('[')?.strip_suffix(']')?.trim();
        let text = |name| result.get_non_null(name).map(RawValue::get);
        let is_private = text("cacheScope") == Some("\"private\"");
        // Since 2026-07-28, whose results have a type, an empty cursor is valid. Before, clients took it for the end,
        // and servers may return the first page for it.
        let has_type = text("resultType").is_some();
        let next = text("nextCursor").filter(|cursor| has_type || *cursor != "\"\"");
        Some(Page { inner, next, ttl: text("ttlMs"), is_private })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> Message {
        Message::parse(line.as_bytes().to_vec()).expect(line)
    }

    #[test]
    fn requests_that_begin_a_list() {
        let items = |line: &str| items_of_list(&message(line));
        let request = |method: &str, rest: &str| format!(r#"{{"id":1,"method":"{method}"{rest}}}"#);
        for (method, expected) in LISTS {
            for rest in ["", r#","params":null"#, r#","params":{}"#, r#","params":{"cursor":null}"#]
            {
                assert_eq!(items(&request(method, rest)), Some(expected), "{method} {rest}");
            }
            for rest in
                [r#","params":{"cursor":"x"}"#, r#","params":{"cursor":""}"#, r#","params":[]"#]
            {
                assert_eq!(items(&request(method, rest)), None, "{method} {rest}");
            }
        }
        assert_eq!(items(r#"{"method":"tools/list"}"#), None, "a notification");
        assert_eq!(items(r#"[{"id":1,"method":"tools/list"}]"#), None, "a batch");
        assert_eq!(items(&request("tools/call", "")), None);
    }

    #[test]
    fn the_request_for_a_page() {
        let check = |first: &str, expected: &str| {
            let request = request_for_page(&message(first), "\"c\\n\"").expect(first);
            let text = str::from_utf8(request.body()).expect("it is JSON");
            let id = request.ids()[0].as_json();
            assert!(id.starts_with("\"sigv4-proxy-"), "{id}");
            assert_eq!(text.replace(id, "ID"), expected);
        };
        check(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"params":{"cursor":"c\n"},"jsonrpc":"2.0","id":ID,"method":"tools/list"}"#,
        );
        check(
            r#"{ "id":1,"method":"tools/list","params":{"x":1.0,"_meta":{"progressToken":1,"a": 2}}}"#,
            r#"{ "id":ID,"method":"tools/list","params":{"cursor":"c\n","x":1.0,"_meta":{"a": 2}}}"#,
        );
        check(
            r#"{"id":1,"method":"tools/list","params":{"cursor": null }}"#,
            r#"{"id":ID,"method":"tools/list","params":{"cursor": "c\n" }}"#,
        );
        check(
            r#"{"id":1,"method":"tools/list","params":null}"#,
            r#"{"id":ID,"method":"tools/list","params":{"cursor":"c\n"}}"#,
        );
    }

    #[test]
    fn pages_become_one() {
        let check = |pages: &[&str], expected: &str| {
            let response = |result: &str| format!(r#"{{"z":1e400,"result":{result},"id": 1 }}"#);
            let mut list = PagedList::begin(response(pages[0]), "tools").expect(pages[0]);
            for page in &pages[1..] {
                assert_eq!(list.add(&response(page), 1000), Some(true), "{page}");
            }
            assert_eq!(list.into_response(), response(expected));
        };
        check(
            &[
                r#"{"nextCursor":"2", "tools": [ {"n":1.0} ],"a":2}"#,
                r#"{"tools":[{"n":"\u0061"},[]]}"#,
            ],
            r#"{ "tools": [{"n":1.0},{"n":"\u0061"},[]],"a":2}"#,
        );
        check(&[r#"{"tools":[],"nextCursor":2}"#, r#"{"tools":[ ]}"#], r#"{"tools":[]}"#);
        check(
            &[
                r#"{"tools":[1],"nextCursor":"2","ttlMs":500,"cacheScope":"public"}"#,
                r#"{"tools":[2],"nextCursor":"3","ttlMs":7,"cacheScope":"private"}"#,
                r#"{"tools":[3],"nextCursor":null,"ttlMs":90,"cacheScope":"public"}"#,
            ],
            r#"{"tools":[1,2,3],"ttlMs":7,"cacheScope":"private"}"#,
        );
        check(
            &[r#"{"tools":[1],"nextCursor":"2"}"#, r#"{"tools":[2],"nextCursor":""}"#],
            r#"{"tools":[1,2]}"#,
        );
        check(
            &[
                r#"{"resultType":"complete","tools":[1],"nextCursor":""}"#,
                r#"{"resultType":"complete","tools":[2],"nextCursor":""}"#,
            ],
            r#"{"resultType":"complete","tools":[1,2],"nextCursor":""}"#,
        );
        let without = r#"{"tools":[1],"nextCursor":"2","ttlMs":5}"#;
        check(&[without, r#"{"tools":[2]}"#], r#"{"tools":[1,2]}"#);
        check(
            &[without, r#"{"tools":[2],"nextCursor":"3"}"#],
            r#"{"tools":[1,2],"nextCursor":"3"}"#,
        );
    }

    #[test]
    fn other_responses_are_not_added() {
        for response in [
            r#"{"result":{"tools":[]}}"#,
            r#"{"result":{"tools":[],"nextCursor":""}}"#,
            r#"{"result":{"nextCursor":"2"}}"#,
            "[]",
            "{}",
        ] {
            let text = response.to_owned();
            assert_eq!(PagedList::begin(text, "tools").err().as_deref(), Some(response));
        }
        let first = r#"{"result":{"tools":[1],"nextCursor":"2"}}"#;
        let mut list = PagedList::begin(first.to_owned(), "tools").expect(first);
        assert_eq!(list.add(r#"{"result":{"prompts":[2]}}"#, 1000), None);
        assert_eq!(list.add(r#"{"result":{"tools":[22]}}"#, first.len() + 2), Some(false));
        assert_eq!(list.next(), Some("\"2\""));
        assert_eq!(list.into_response(), first);
    }
}
