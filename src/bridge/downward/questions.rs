//! Questions in the result of a modern server, sent to a legacy client as requests.

use crate::client::{ClientRequests, ClientResponse, SentRequest};
use crate::error::{Error, Kind};
use crate::json::edit::Edits;
use crate::json::object::Object;
use crate::random;
use crate::sync::cancel::{Cancel, cancelled};
use crate::sync::monitor::{Monitor, WaitError};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Instant;

/// Maximum number of questions in one result.
const MAX_QUESTIONS: usize = 32;

/// Makes the ids of requests to the client: `sigv4-proxy-q-1`.
const PURPOSE: &str = "q";

/// The kinds of questions that a client supports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub(crate) struct Abilities {
    roots: bool,
    sampling: bool,
    sampling_with_tools: bool,
    forms: bool,
    urls: bool,
}

impl Abilities {
    /// Reads the capabilities of a client.
    pub(crate) fn of(capabilities: &str) -> Abilities {
        let all = serde_json::from_str::<Value>(capabilities).unwrap_or_default();
        let elicitation = &all["elicitation"];
        let names_url = elicitation["url"].is_object();
        Abilities {
            roots: all["roots"].is_object(),
            sampling: all["sampling"].is_object(),
            sampling_with_tools: all["sampling"]["tools"].is_object(),
            // A client of before 2025-11-25 has no modes: it can show forms.
            forms: elicitation["form"].is_object() || (elicitation.is_object() && !names_url),
            urls: names_url,
        }
    }
}

/// A result that asks for input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InputRequired {
    pub(crate) questions: Vec<Question>,
    /// JSON.
    pub(crate) state: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name under which the server expects the answer, as JSON.
    key: String,
    method: &'static str,
    /// JSON.
    params: String,
    /// The id of a URL elicitation.
    elicitation_id: Option<String>,
}

impl InputRequired {
    /// Reads the result and checks all of its questions.
    ///
    /// # Errors
    /// `InvalidResponse`: it has a question that this client does not support, or none.
    pub(crate) fn read(result: &str, abilities: Abilities) -> Result<InputRequired, Error> {
        let invalid = |what: String| Error::new(Kind::InvalidResponse, what);
        let members = Object::parse(result);
        let member = |name| members.as_ref().and_then(|members| members.get_non_null(name));
        let state = member("requestState").map(|state| state.get().to_owned());
        let entries =
            match member("inputRequests").map(RawValue::get) {
                None => None,
                Some(requests) => Some(Object::parse(requests).ok_or_else(|| {
                    invalid("the server's inputRequests are not an object".into())
                })?),
            };
        let entries: Vec<(&str, &RawValue)> =
            entries.as_ref().map_or_else(Vec::new, |entries| entries.members().collect());
        if entries.is_empty() && state.is_none() {
            let what = "the server requires input, but its result has neither inputRequests nor requestState";
            return Err(invalid(what.into()));
        }
        if entries.len() > MAX_QUESTIONS {
            let what = format!(
                "the server sent {} input requests at once; the maximum is {MAX_QUESTIONS}",
                entries.len()
            );
            return Err(invalid(what));
        }
        let question = |(key, request): (&str, &RawValue)| {
            Question::read(key, request.get(), abilities)
                .map_err(|why| invalid(format!("input request {key:?} of the server: {why}")))
        };
        let questions = entries.into_iter().map(question).collect::<Result<Vec<_>, _>>()?;
        Ok(InputRequired { questions, state })
    }
}

impl Question {
    fn read(key: &str, request: &str, abilities: Abilities) -> Result<Question, String> {
        let request = Object::parse(request).ok_or("it is not an object")?;
        let method = request.text("method").ok_or("it has no method")?;
        let params = request.get_non_null("params").map(RawValue::get);
        let members = params.and_then(Object::parse);
        let has = |name| members.as_ref().is_some_and(|members| members.get(name).is_some());
        let undeclared =
            |what| Err(format!("{method} requires {what}, which the client did not declare"));
        let method = match &*method {
            "roots/list" if !abilities.roots => return undeclared("roots"),
            "roots/list" => "roots/list",
            "sampling/createMessage" | "elicitation/create" if members.is_none() => {
                return Err(format!("{method} has no params"));
            }
            "sampling/createMessage" if !abilities.sampling => return undeclared("sampling"),
            "sampling/createMessage"
                if (has("tools") || has("toolChoice")) && !abilities.sampling_with_tools =>
            {
                return undeclared("sampling.tools");
            }
            "sampling/createMessage" => "sampling/createMessage",
            "elicitation/create" => "elicitation/create",
            _ => return Err(format!("{method:?} is not a request for clients")),
        };
        let mut elicitation_id = None;
        let mut params = params.unwrap_or("{}").to_owned();
        if method == "elicitation/create" {
            let mode = members.as_ref().filter(|members| members.get_non_null("mode").is_some());
            let mode = mode.map_or_else(|| Some("form".to_owned()), |members| members.text("mode"));
            let mode = mode.unwrap_or_default();
            match &*mode {
                "form" if !abilities.forms => return undeclared("elicitation.form"),
                "form" => {}
                "url" if !abilities.urls => return undeclared("elicitation.url"),
                "url" => {
                    let id = random::uuid();
                    let mut edits = Edits::new(&params);
                    let added = format!(r#""elicitationId":"{id}""#);
                    edits.change_members(&params, |name| name == "elicitationId", &added);
                    params = edits.finish();
                    elicitation_id = Some(id);
                }
                _ => return Err(format!("unknown mode {mode:?}")),
            }
        }
        let key = Value::from(key).to_string();
        Ok(Question { key, method, params, elicitation_id })
    }

    fn is_elicitation(&self) -> bool {
        self.method == "elicitation/create"
    }
}

/// The client's answers to all questions of a result.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Members of `inputResponses`.
    pub(crate) responses: String,
    /// The ids of the URL elicitations that were accepted.
    pub(crate) accepted_urls: Vec<String>,
}

/// Reason for missing answers.
#[derive(Debug)]
pub(crate) enum NoAnswers {
    /// The client responded with this JSON-RPC error.
    Refused(String),
    Failed(Error),
}

/// Result of waiting for the client.
enum Step {
    AllAnswered,
    /// The open elicitation has its answer, and another waits.
    NextElicitation,
    Refused(String),
    InputEnded,
}

/// Sends the questions to the client and waits for all answers. Elicitations are sent one after another, all others at
/// once. Questions that are still open when this ends are cancelled.
pub(crate) fn ask(
    client: &ClientRequests,
    questions: &[Question],
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Answers, NoAnswers> {
    let answers: Arc<Monitor<Vec<Option<ClientResponse>>>> =
        Monitor::new(questions.iter().map(|_| None).collect());
    let send = |index: usize| -> Result<SentRequest, NoAnswers> {
        let Question { method, params, .. } = &questions[index];
        let answers = Arc::clone(&answers);
        let on_response = move |response| answers.update(|all| all[index] = Some(response));
        client.send(PURPOSE, method, params, on_response).map_err(NoAnswers::Failed)
    };
    let mut asked = Vec::with_capacity(questions.len());
    let (mut open, mut waiting) = (None, Vec::new());
    for (index, question) in questions.iter().enumerate() {
        if question.is_elicitation() && open.is_some() {
            waiting.push(index);
            continue;
        }
        if question.is_elicitation() {
            open = Some(index);
        }
        asked.push(send(index)?);
    }
    let mut waiting = waiting.into_iter();
    loop {
        let more_wait = waiting.len() > 0;
        let step = answers.wait(deadline, cancel, |all| {
            for response in all.iter().flatten() {
                match response {
                    ClientResponse::Error(error) => return Some(Step::Refused(error.clone())),
                    ClientResponse::Closed => return Some(Step::InputEnded),
                    ClientResponse::Result(_) => {}
                }
            }
            if all.iter().all(Option::is_some) {
                return Some(Step::AllAnswered);
            }
            let is_next = more_wait && open.is_some_and(|open: usize| all[open].is_some());
            is_next.then_some(Step::NextElicitation)
        });
        match step {
            Ok(Step::AllAnswered) => return Ok(collect(questions, &answers.lock())),
            Ok(Step::NextElicitation) => {
                open = waiting.next();
                if let Some(index) = open {
                    asked.push(send(index)?);
                }
            }
            Ok(Step::Refused(error)) => return Err(NoAnswers::Refused(error)),
            Ok(Step::InputEnded) => return Err(NoAnswers::Failed(input_ended())),
            Err(WaitError::Cancelled) => return Err(NoAnswers::Failed(cancelled())),
            Err(WaitError::TimedOut) => return Err(NoAnswers::Failed(not_answered())),
        }
    }
}

fn collect(questions: &[Question], answers: &[Option<ClientResponse>]) -> Answers {
    let mut collected = Answers::default();
    for (question, answer) in questions.iter().zip(answers) {
        let Some(ClientResponse::Result(result)) = answer else { continue };
        if !collected.responses.is_empty() {
            collected.responses.push(',');
        }
        collected.responses.extend([&*question.key, ":", result]);
        let action = Object::parse(result).and_then(|result| result.text("action"));
        if let Some(id) = &question.elicitation_id
            && action.is_some_and(|action| action == "accept")
        {
            collected.accepted_urls.push(id.clone());
        }
    }
    collected
}

fn input_ended() -> Error {
    Error::new(
        Kind::Cancelled,
        "the client closed stdin before it responded to the server's request",
    )
}

fn not_answered() -> Error {
    let what = "the request timed out before the client responded to the server's request";
    Error::new(Kind::TimedOut, what).hint("raise --timeout, or --tool-timeout for tools/call")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#;

    fn read(requests: &str, capabilities: &str) -> Result<InputRequired, Error> {
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{requests}}},"requestState":"a\/b"}}"#
        );
        InputRequired::read(&result, Abilities::of(capabilities))
    }

    #[test]
    fn questions_keep_their_words_and_their_order() {
        let required = read(
            r#""b \u0062":{"method":"elicitation/create","params":{"message":"M\u0061", "requestedSchema":{}}},
               "a":{"method":"roots/list"},"c":{"method":"sampling/createMessage","params":{"maxTokens":5.0}}"#,
            ALL,
        );
        let required = required.expect("it can be asked");
        assert_eq!(required.state.as_deref(), Some(r#""a\/b""#));
        let asked: Vec<(&str, &str, &str)> =
            required.questions.iter().map(|q| (&*q.key, q.method, &*q.params)).collect();
        assert_eq!(
            asked,
            [
                (
                    r#""b b""#,
                    "elicitation/create",
                    r#"{"message":"M\u0061", "requestedSchema":{}}"#
                ),
                (r#""a""#, "roots/list", "{}"),
                (r#""c""#, "sampling/createMessage", r#"{"maxTokens":5.0}"#),
            ]
        );
    }

    #[test]
    fn url_elicitations_get_an_id() {
        let url = r#""u":{"method":"elicitation/create","params":{"mode":"url","url":"https://x","elicitationId":"old"}}"#;
        let required = read(url, ALL).expect("it can be asked");
        let id = required.questions[0].elicitation_id.as_deref().expect("one was made");
        assert_eq!(
            required.questions[0].params,
            format!(r#"{{"elicitationId":"{id}","mode":"url","url":"https://x"}}"#)
        );
        let result = |json: &str| vec![Some(ClientResponse::Result(json.into()))];
        let accepted = collect(&required.questions, &result(r#"{"action":"accept"}"#));
        assert_eq!(accepted.accepted_urls, [id]);
        assert_eq!(accepted.responses, r#""u":{"action":"accept"}"#);
        let declined = collect(&required.questions, &result(r#"{"action":"decline"}"#));
        assert!(declined.accepted_urls.is_empty());
    }

    #[test]
    fn a_client_is_asked_only_what_it_declared() {
        let roots = r#""k":{"method":"roots/list"}"#;
        let sampling = r#""k":{"method":"sampling/createMessage","params":{"maxTokens":1}}"#;
        let tools = r#""k":{"method":"sampling/createMessage","params":{"tools":[]}}"#;
        let form = r#""k":{"method":"elicitation/create","params":{"message":"m"}}"#;
        let url = r#""k":{"method":"elicitation/create","params":{"mode":"url"}}"#;
        for (requests, capabilities, problem) in [
            (roots, "{}", "requires roots"),
            (roots, r#"{"roots":{}}"#, ""),
            (sampling, "{}", "requires sampling,"),
            (sampling, r#"{"sampling":{}}"#, ""),
            (tools, r#"{"sampling":{}}"#, "requires sampling.tools"),
            (tools, ALL, ""),
            (form, "{}", "requires elicitation.form"),
            (form, r#"{"elicitation":{}}"#, ""),
            (form, r#"{"elicitation":{"form":{}}}"#, ""),
            (form, r#"{"elicitation":{"url":{}}}"#, "requires elicitation.form"),
            (url, r#"{"elicitation":{}}"#, "requires elicitation.url"),
            (url, r#"{"elicitation":{"url":{}}}"#, ""),
            (r#""k":{"method":"elicitation/create"}"#, ALL, "has no params"),
            (r#""k":{"method":"sampling/createMessage","params":null}"#, ALL, "has no params"),
            (r#""k":{"method":"elicitation/create","params":{"mode":"x"}}"#, ALL, "mode \"x\""),
            (r#""k":{"method":"tools/list"}"#, ALL, "\"tools/list\" is not a request"),
            (r#""k":{}"#, ALL, "no method"),
            (r#""k":7"#, ALL, "not an object"),
        ] {
            match read(requests, capabilities) {
                Ok(_) => assert_eq!(problem, "", "{requests} {capabilities}"),
                Err(error) => {
                    let text = error.message();
                    assert!(!problem.is_empty() && text.contains(problem), "{requests}: {text}");
                    assert!(text.starts_with("input request \"k\" of the server: "), "{text}");
                }
            }
        }
    }

    #[test]
    fn results_that_ask_for_nothing_or_too_much_are_refused() {
        let read = |result: &str| InputRequired::read(result, Abilities::of(ALL));
        assert!(read(r#"{"requestState":""}"#).is_ok());
        assert!(read(r#"{"inputRequests":{},"requestState":"s"}"#).is_ok());
        let many = |count: usize| {
            let entries: Vec<String> =
                (0..count).map(|n| format!(r#""{n}":{{"method":"roots/list"}}"#)).collect();
            format!(r#"{{"inputRequests":{{{}}}}}"#, entries.join(","))
        };
        assert!(read(&many(MAX_QUESTIONS)).is_ok());
        for (result, problem) in [
            ("{}", "neither inputRequests nor requestState"),
            (r#"{"inputRequests":{}}"#, "neither inputRequests nor requestState"),
            (r#"{"inputRequests":[]}"#, "not an object"),
            (&many(MAX_QUESTIONS + 1), "33 input requests"),
        ] {
            let error = read(result).expect_err("it cannot be asked");
            assert!(error.message().contains(problem), "{error}");
        }
    }
}
