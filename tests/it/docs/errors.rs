//! docs/messages.md lists every error there is: its table and the texts in the source are compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Functions that create errors, by their names in the source.
const MAKERS: [&str; 11] = [
    "invalid(",
    "Error::new(",
    "usage_error(",
    "wrong(",
    "refuse(",
    "refused(",
    "unreachable(",
    "missing_response(",
    "malformed(",
    "fault(",
    "broken(",
];

/// Variables that hold a text before it becomes an error.
const NAMES: [&str; 4] = ["let message =", "let what =", "let why =", "let how ="];

/// Reasons that are warnings in the log, or parts of a text that is listed.
const NO_ERRORS: [&str; 3] =
    ["src/mcp/tool_catalog.rs", "src/cli/completions.rs", "src/doctor/report.rs"];

#[test]
fn the_table_lists_the_errors_of_the_source_and_no_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/messages.md")).unwrap();
    let (_, table) = page.split_once("<!-- errors -->").expect("the table is marked");
    let (table, _) = table.split_once("<!-- /errors -->").expect("the table is marked");
    let listed: BTreeSet<String> = table
        .lines()
        .filter_map(|row| Some(row.strip_prefix("| `")?.split_once("` |")?.0.to_owned()))
        .collect();
    let mut of_source = BTreeSet::new();
    for (file, text) in sources(&root.join("src"), root) {
        if !NO_ERRORS.contains(&file.as_str()) {
            of_source.extend(texts(&text));
        }
    }
    let missing: Vec<&String> = of_source.difference(&listed).collect();
    assert!(missing.is_empty(), "not in docs/messages.md: {missing:#?}");
    let stale: Vec<&String> = listed.difference(&of_source).collect();
    assert!(stale.is_empty(), "no longer in the source: {stale:#?}");
    assert!(listed.len() > 100);
}

/// The hints of refusals are in the page.
#[test]
fn the_advice_on_refusals_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/messages.md")).unwrap();
    let page = page.replace('`', "");
    for (file, start, end, count) in [
        ("src/aws/hint.rs", "fn hint(", "\n}\n", 8),
        ("src/aws/service_facts.rs", "const LATTICE_IDLE", "\nimpl ServiceFacts", 20),
    ] {
        let source = fs::read_to_string(root.join(file)).unwrap();
        let (_, body) = source.split_once(start).unwrap();
        let body = body.split_once(end).unwrap().0;
        let literals: Vec<String> = body.split('"').skip(1).step_by(2).map(template).collect();
        let advice: Vec<&String> = literals.iter().filter(|text| text.len() > 36).collect();
        assert!(advice.len() > count, "{advice:?}");
        for text in advice {
            assert!(page.contains(text.as_str()), "{file}: {text}");
        }
    }
}

/// Every `kind` a client can see has its row.
#[test]
fn the_kinds_are_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/messages.md")).unwrap();
    let source = fs::read_to_string(root.join("src/error.rs")).unwrap();
    let (_, names) = source.split_once("pub fn name(self)").unwrap();
    let names = names.split_once("\n    }\n").unwrap().0;
    let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert_eq!(names.len(), 11);
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}

fn sources(folder: &Path, root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path, root));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push((name, text));
        }
    }
    found
}

/// The first literal after each maker, and the texts of the variables.
fn texts(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut texts = Vec::new();
    for maker in MAKERS {
        for (at, _) in code.match_indices(maker) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || code[..at].ends_with("fn ") {
                continue;
            }
            // The kind precedes the text.
            let arguments = if maker == "Error::new(" { 2 } else { 1 };
            texts.extend(literal(&code[at + maker.len() - 1..], Some(arguments)));
        }
    }
    for name in NAMES {
        for (at, _) in code.match_indices(name) {
            let rest = code[at + name.len()..].trim_start();
            let rest = rest.strip_prefix("format!(").unwrap_or(rest).trim_start();
            texts.extend(literal(rest, None).filter(|_| rest.starts_with('"')));
        }
    }
    // Without words of its own it only joins other texts.
    texts.retain(|text| text != "HTTP …" && text.chars().filter(|c| c.is_alphabetic()).count() > 3);
    texts
}

/// The first string literal of `code`; of a call, only in the given number of arguments.
fn literal(code: &str, arguments: Option<usize>) -> Option<String> {
    let (mut depth, mut commas) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 1 => commas += 1,
            '"' => {
                let mut is_escaped = false;
                let end = code[at + 1..].find(|c| {
                    let ends = c == '"' && !is_escaped;
                    is_escaped = c == '\\' && !is_escaped;
                    ends
                })?;
                return Some(template(&code[at + 1..at + 1 + end]));
            }
            _ => {}
        }
        if arguments.is_some_and(|most| depth == 0 || commas == most) {
            return None;
        }
    }
    None
}

/// The literal with `…` for the variable parts, as in the table.
fn template(literal: &str) -> String {
    let joined: Vec<&str> = literal.split("\\\n").collect();
    let joined: String = joined
        .iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { line } else { line.trim_start() })
        .collect();
    let mut text = String::new();
    let mut rest = joined.replace("\\\"", "\"").replace("{{", "\u{1}");
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        if !text.ends_with('…') {
            text.push('…');
        }
        let Some((_, after)) = after.split_once('}') else { break };
        rest = after.to_owned();
    }
    (text + &rest).replace('\u{1}', "{").replace('|', "\\|")
}
