//! `Question`: a request of an older server that the client gets as an entry of `input_required`, and the responses to it.

use crate::json::edit;
use crate::json::object::Object;
use crate::mcp::error_codes::{INTERNAL_ERROR, METHOD_NOT_FOUND};
use crate::mcp::error_response::protocol_error;
use crate::mcp::id::Id;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Debug)]
pub(crate) struct Question {
    /// As the server spells it. `None`: the server does not wait for a response.
    id: Option<String>,
    /// `{"method":…,"params":…}`, or without params.
    entry: String,
    need: Need,
}

/// The capability that a question needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Form,
    Url,
    Sampling,
    SamplingWithTools,
    Roots,
}

/// The declared capabilities of a client for questions: a bit for each need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared(u8);

impl Declared {
    /// Reads a client's capabilities.
    pub(crate) fn read(capabilities: &str) -> Declared {
        let capabilities = Object::parse(capabilities);
        let capability = |name: &str| {
            let value = capabilities.as_ref()?.get_non_null(name)?;
            Some(Object::parse(value.get()))
        };
        let has = |capability: &Option<Option<Object<'_>>>, member: &str| {
            let members = capability.as_ref().and_then(Option::as_ref);
            members.is_some_and(|members| members.get_non_null(member).is_some())
        };
        let elicitation = capability("elicitation");
        let sampling = capability("sampling");
        let url = has(&elicitation, "url");
        let declared = [
            // Without a mode it is the one that came first.
            (Need::Form, elicitation.is_some() && (has(&elicitation, "form") || !url)),
            (Need::Url, url),
            (Need::Sampling, sampling.is_some()),
            (Need::SamplingWithTools, has(&sampling, "tools")),
            (Need::Roots, capability("roots").is_some()),
        ];
        let bits = declared.into_iter().filter(|(_, is_declared)| *is_declared);
        Declared(bits.fold(0, |bits, (need, _)| bits | need.bit()))
    }

    pub(crate) fn admits(self, question: &Question) -> bool {
        self.has(question.need)
    }

    /// Whether the user can be asked to open a URL.
    pub(crate) fn admits_urls(self) -> bool {
        self.has(Need::Url)
    }

    fn has(self, need: Need) -> bool {
        self.0 & need.bit() != 0
    }
}

impl Need {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Question {
    /// Reads a request of the server. Returns `None` if no client supports it.
    pub(crate) fn read(request: &str) -> Option<Question> {
        let members = Object::parse(request)?;
        let method = members.text("method")?;
        let params = members.get_non_null("params").map(RawValue::get);
        let known = params.and_then(Object::parse);
        let param = |name| known.as_ref().and_then(|params| params.get_non_null(name));
        let need = match &*method {
            "elicitation/create" if param("mode").is_some_and(|mode| mode.get() == "\"url\"") => {
                Need::Url
            }
            "elicitation/create" => Need::Form,
            "sampling/createMessage" if param("tools").is_some() => Need::SamplingWithTools,
            "sampling/createMessage" => Need::Sampling,
            "roots/list" => Need::Roots,
            _ => return None,
        };
        Some(Question {
            id: Some(members.get("id")?.get().to_owned()),
            entry: entry(&method, params),
            need,
        })
    }

    /// The elicitations that an error "URL elicitation required" names, if it names any.
    pub(crate) fn of_error(error: &str) -> Option<Vec<Question>> {
        let data = Object::parse(Object::parse(error)?.get("data")?.get())?;
        let elicitations: Vec<&RawValue> =
            serde_json::from_str(data.get("elicitations")?.get()).ok()?;
        let questions = elicitations.into_iter().filter_map(|params| {
            Object::parse(params.get())?;
            let params = params.get();
            Some(Question {
                id: None,
                entry: entry("elicitation/create", Some(params)),
                need: Need::Url,
            })
        });
        Some(questions.collect()).filter(|questions: &Vec<Question>| !questions.is_empty())
    }

    pub(crate) fn entry(&self) -> &str {
        &self.entry
    }

    pub(crate) fn has_id(&self, id: &Id) -> bool {
        self.id.as_deref().is_some_and(|json| id.is(json))
    }

    /// The response with the client's result. `None`: the server does not wait for one.
    pub(crate) fn answer(&self, result: &str) -> Option<String> {
        self.id.as_ref().map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
    }

    /// The response if the client does not support it.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.id.as_ref().map(|id| not_supported(id))
    }

    /// The response if the client does not answer it.
    pub(crate) fn no_answer(&self) -> Option<String> {
        match self.need {
            Need::Form | Need::Url => self.answer(r#"{"action":"cancel"}"#),
            Need::Sampling | Need::SamplingWithTools | Need::Roots => {
                let id = self.id.as_ref()?;
                Some(protocol_error(id, INTERNAL_ERROR, "the client did not respond"))
            }
        }
    }
}

/// The response to a request that the client does not support. `id` is JSON.
pub(crate) fn not_supported(id: &str) -> String {
    protocol_error(id, METHOD_NOT_FOUND, "the client does not support this request")
}

fn entry(method: &str, params: Option<&str>) -> String {
    let method = Value::from(method);
    let Some(params) = params else { return format!(r#"{{"method":{method}}}"#) };
    let own = edit::without_members(params, |name| matches!(name, "elicitationId" | "task"));
    format!(r#"{{"method":{method},"params":{}}}"#, own.as_deref().unwrap_or(params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_needs_the_capability_and_its_mode() {
        let form = r#"{"id":1,"method":"elicitation/create","params":{"message":"m"}}"#;
        let url = r#"{"id":1,"method":"elicitation/create","params":{"mode":"url"}}"#;
        let sampling = r#"{"id":1,"method":"sampling/createMessage","params":{}}"#;
        let tools = r#"{"id":1,"method":"sampling/createMessage","params":{"tools":[]}}"#;
        let roots = r#"{"id":1,"method":"roots/list"}"#;
        for (capabilities, admitted) in [
            ("{}", &[][..]),
            (r#"{"elicitation":{}}"#, &[form]),
            (r#"{"elicitation":{"form":{}}}"#, &[form]),
            (r#"{"elicitation":{"url":{}}}"#, &[url]),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, &[form, url]),
            (r#"{"elicitation":null,"sampling":{}}"#, &[sampling]),
            (r#"{"sampling":{"tools":{}},"roots":{}}"#, &[sampling, tools, roots]),
        ] {
            for question in [form, url, sampling, tools, roots] {
                let read = Question::read(question).expect("a question");
                let is_admitted = Declared::read(capabilities).admits(&read);
                assert_eq!(is_admitted, admitted.contains(&question), "{capabilities} {question}");
            }
        }
    }

    #[test]
    fn params_are_asked_as_they_stand() {
        let request = r#"{"id":"q\/1","method":"elicitation/create","params":{"mode":"url", "elicitationId":"e","n":1e400,"task":{"ttl":1},"url":"h\u0074tp:"}}"#;
        let question = Question::read(request).expect("a question");
        assert_eq!(
            question.entry(),
            r#"{"method":"elicitation/create","params":{"mode":"url","n":1e400,"url":"h\u0074tp:"}}"#
        );
        assert_eq!(
            question.answer(r#"{"action": "accept"}"#).as_deref(),
            Some(r#"{"jsonrpc":"2.0","id":"q\/1","result":{"action": "accept"}}"#)
        );
        assert_eq!(
            question.no_answer().as_deref(),
            Some(r#"{"jsonrpc":"2.0","id":"q\/1","result":{"action":"cancel"}}"#)
        );
        let roots = Question::read(r#"{"id":5,"method":"roots/list"}"#).expect("a question");
        assert_eq!(roots.entry(), r#"{"method":"roots/list"}"#);
        assert!(roots.no_answer().is_some_and(|line| line.contains("-32603")));
        assert!(roots.refusal().is_some_and(|line| line.contains("-32601")));
        for other in ["tasks/get", "x/y", "notifications/message"] {
            assert!(Question::read(&format!(r#"{{"id":5,"method":"{other}"}}"#)).is_none());
        }
    }

    #[test]
    fn an_error_may_name_what_the_user_must_open() {
        let error = r#"{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"u","message":"m"},7]}}"#;
        let questions = Question::of_error(error).expect("some");
        let entries: Vec<&str> = questions.iter().map(Question::entry).collect();
        assert_eq!(
            entries,
            [r#"{"method":"elicitation/create","params":{"mode":"url","url":"u","message":"m"}}"#]
        );
        assert_eq!(questions[0].answer("{}"), None);
        for none in ["{}", r#"{"data":7}"#, r#"{"data":{"elicitations":[]}}"#] {
            assert!(Question::of_error(none).is_none());
        }
    }
}
