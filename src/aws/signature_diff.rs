//! The first line in which AWS's canonical request differs from the one that was signed. Pure.
//!
//! When a signature does not match, API Gateway and some other services return what they would have signed. If that differs,
//! something on the way changed the request; if not, the secret key is wrong.

use zeroize::Zeroize as _;

/// The longest part of a line that is shown.
const MAX_SHOWN_CHARS: usize = 120;

/// The signing steps of one side: the canonical request and the string to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningSteps {
    pub canonical_request: String,
    /// Empty if unknown.
    pub string_to_sign: String,
}

/// A canonical request holds the session token and the values of headers.
impl Drop for SigningSteps {
    fn drop(&mut self) {
        self.canonical_request.zeroize();
    }
}

/// The result of comparing AWS's steps with ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Same,
    /// The first difference, in words.
    Differ(String),
}

impl SigningSteps {
    /// AWS's signing steps, if its message has them.
    ///
    /// ```
    /// use sigv4_proxy::aws::signature_diff::SigningSteps;
    /// let text = "no match\n\nThe Canonical String for this request should have been\n'GET\n/\n\nhost:a\n\nhost\ne3b0'\n\n\
    ///             The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20150830T123600Z\nscope\nhash'\n";
    /// let steps = SigningSteps::of_aws(text).unwrap();
    /// assert!(steps.canonical_request.starts_with("GET\n/\n") && steps.canonical_request.ends_with("\ne3b0"));
    /// assert!(steps.string_to_sign.starts_with("AWS4-HMAC-SHA256\n") && steps.string_to_sign.ends_with("\nhash"));
    /// ```
    pub fn of_aws(text: &str) -> Option<SigningSteps> {
        let (_, rest) =
            text.split_once("The Canonical String for this request should have been")?;
        let (canonical, to_sign) =
            rest.split_once("The String-to-Sign should have been").unwrap_or((rest, ""));
        Some(SigningSteps {
            canonical_request: quoted(canonical)?.to_owned(),
            string_to_sign: quoted(to_sign).unwrap_or_default().to_owned(),
        })
    }

    /// Compares these steps, which were signed, with AWS's.
    pub(crate) fn compare(&self, aws: &SigningSteps) -> Comparison {
        let ours: Vec<&str> = self.canonical_request.lines().collect();
        let theirs: Vec<&str> = aws.canonical_request.lines().collect();
        if let Some(at) = first_difference(&ours, &theirs) {
            let what = part_of_canonical_request(at, &ours);
            return differ("the canonical request", at, &what, &ours, &theirs);
        }
        let ours: Vec<&str> = self.string_to_sign.lines().collect();
        let theirs: Vec<&str> = aws.string_to_sign.lines().collect();
        match first_difference(&ours, &theirs).filter(|_| !theirs.is_empty()) {
            Some(at) => {
                let what = ["algorithm", "time", "scope", "hash"].get(at).unwrap_or(&"end");
                differ("the string to sign", at, what, &ours, &theirs)
            }
            None => Comparison::Same,
        }
    }
}

/// The text between the first and the last `'`.
fn quoted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('\'')?;
    Some(rest.rsplit_once('\'')?.0)
}

fn first_difference(ours: &[&str], theirs: &[&str]) -> Option<usize> {
    (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at))
}

/// Names a line: method, path, query, one line for each header, an empty one, the names of the headers, the hash of the body.
fn part_of_canonical_request(at: usize, ours: &[&str]) -> String {
    let last = ours.len().saturating_sub(1);
    match at {
        0 => "method".to_owned(),
        1 => "path".to_owned(),
        2 => "query".to_owned(),
        at if at == last => "hash of the body".to_owned(),
        at if at + 1 == last => "list of signed headers".to_owned(),
        at => {
            let name = ours.get(at).and_then(|line| line.split_once(':')).map_or("", |(n, _)| n);
            if name.is_empty() { "headers".to_owned() } else { format!("header {name}") }
        }
    }
}

fn differ(text: &str, at: usize, what: &str, ours: &[&str], theirs: &[&str]) -> Comparison {
    let (ours, theirs) = (shown(ours.get(at)), shown(theirs.get(at)));
    let line = at + 1;
    Comparison::Differ(format!(
        "{text} differs in line {line}, the {what}: signed {ours}, AWS received {theirs}"
    ))
}

fn shown(line: Option<&&str>) -> String {
    let Some(line) = line else { return "nothing".to_owned() };
    let line = match line.split_once(':') {
        Some((name, _)) if name.eq_ignore_ascii_case("x-amz-security-token") => {
            &format!("{name}:…")
        }
        _ => *line,
    };
    let mut text: String = line.chars().take(MAX_SHOWN_CHARS).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "POST\n/prod/mcp\na=1\nhost:a.example\nx-amz-security-token:hush\n\nhost;x-amz-security-token\nabc";

    fn steps(canonical_request: &str, string_to_sign: &str) -> SigningSteps {
        SigningSteps {
            canonical_request: canonical_request.to_owned(),
            string_to_sign: string_to_sign.to_owned(),
        }
    }

    fn difference(ours: &SigningSteps, aws: &SigningSteps) -> String {
        match ours.compare(aws) {
            Comparison::Same => "none".to_owned(),
            Comparison::Differ(difference) => difference,
        }
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        for (from, to, expected) in [
            ("POST", "GET", r#"line 1, the method: signed "POST", AWS received "GET""#),
            ("/prod", "/", r#"line 2, the path: signed "/prod/mcp", AWS received "//mcp""#),
            ("a=1", "", r#"line 3, the query: signed "a=1", AWS received """#),
            (
                "a.example",
                "b",
                r#"line 4, the header host: signed "host:a.example", AWS received "host:b""#,
            ),
            ("abc", "def", r#"line 8, the hash of the body: signed "abc", AWS received "def""#),
            ("\nhost;", "\n", "line 7, the list of signed headers"),
            ("\nabc", "", r#"signed "abc", AWS received nothing"#),
        ] {
            let found = difference(&steps(OURS, ""), &steps(&OURS.replace(from, to), ""));
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let found = difference(&steps(OURS, ""), &steps(&OURS.replace("hush", "other"), ""));
        assert!(found.contains("x-amz-security-token:…"), "{found}");
        assert!(!found.contains("hush") && !found.contains("other"), "{found}");
    }

    #[test]
    fn the_string_to_sign_comes_second() {
        let scope = "AWS4-HMAC-SHA256\n20300101T000000Z\n20300101/us-east-1/lambda/aws4_request\nh";
        let ours = steps(OURS, scope);
        assert_eq!(ours.compare(&steps(OURS, "")), Comparison::Same);
        assert_eq!(ours.compare(&ours), Comparison::Same);
        let other = steps(OURS, &scope.replace("us-east-1", "eu-west-1"));
        let found = difference(&ours, &other);
        assert!(found.starts_with("the string to sign differs in line 3, the scope"), "{found}");
    }
}
