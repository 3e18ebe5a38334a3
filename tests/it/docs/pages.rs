//! The pages for users: the program's own parser accepts their examples, and their links have targets.

use serde_json::Value;
use sigv4_proxy::cli::{self, Command, ProfileSettings};
use sigv4_proxy::environment::Environment;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let others = [
        "README.md",
        "test-vectors/README.md",
        ".github/CODE_OF_CONDUCT.md",
        ".github/CONTRIBUTING.md",
        ".github/SECURITY.md",
        ".github/SUPPORT.md",
        ".github/pull_request_template.md",
    ];
    let paths = docs.chain(others.map(|name| root().join(name)));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Whether the program would start with these words.
pub(crate) fn assert_accepted(words: &[String], page: &Path) {
    let environment = Environment::from_pairs([("ORDERS_KEY", "k"), ("SEARCH_KEY", "k")]);
    let arguments = words.iter().map(OsString::from);
    let read = cli::parse(arguments, &environment, |_| Ok(ProfileSettings::default()));
    match read {
        Ok(Command::Doctor(checkup)) => {
            assert!(checkup.problems.is_empty(), "{:?}", checkup.problems);
        }
        Ok(_) => {}
        Err(problems) => panic!("{}: {words:?}: {problems:?}", page.display()),
    }
}

/// Every object in a JSON document that starts the program.
fn commands(json: &Value, found: &mut Vec<Vec<String>>) {
    if let Some(members) = json.as_object() {
        // Some clients take the command and its arguments as one list.
        let command = match members.get("command") {
            Some(Value::Array(words)) => words.as_slice(),
            Some(word) => std::slice::from_ref(word),
            None => &[],
        };
        let arguments = members.get("args").and_then(Value::as_array).into_iter().flatten();
        let mut words = command.iter().chain(arguments).filter_map(Value::as_str);
        if words.next().is_some_and(|program| program.ends_with("sigv4-proxy")) {
            found.push(words.map(str::to_owned).collect());
        }
        members.values().for_each(|value| commands(value, found));
    }
    json.as_array().into_iter().flatten().for_each(|value| commands(value, found));
}

#[test]
fn every_client_configuration_starts_the_program() {
    let mut count = 0;
    for (path, text) in pages() {
        for block in text.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let json: Value = serde_json::from_str(block)
                .unwrap_or_else(|error| panic!("{}: {error}: {block}", path.display()));
            let mut found = Vec::new();
            commands(&json, &mut found);
            count += found.len();
            for words in &found {
                assert_accepted(words, &path);
            }
        }
    }
    assert!(count >= 5, "only {count} configurations were found");
}

/// `args = [..]`, `args=[..]`, `args: ['..']`: lists of texts that differ only in their quotes.
#[test]
fn configurations_in_other_languages_start_the_program() {
    for language in ["toml", "python", "ts"] {
        let mut count = 0;
        for (path, text) in pages() {
            for block in text.split(&format!("```{language}\n")).skip(1) {
                let block = block.split("```").next().unwrap();
                let Some((_, list)) = block.split_once("args") else { continue };
                let (start, end) = (list.find('[').unwrap(), list.find(']').unwrap());
                let list = list[start..=end].replace('\'', "\"");
                let words: Vec<String> = serde_json::from_str(&list).unwrap();
                assert!(block.contains("sigv4-proxy"), "{}: {block}", path.display());
                assert_accepted(&words, &path);
                count += 1;
            }
        }
        assert!(count > 0, "no configuration in {language} was found");
    }
}

/// The program starts with the settings that a bundle asks its user for; the profile may stay empty.
#[test]
fn the_bundle_starts_the_program() {
    let path = root().join(".github/release/mcpb/manifest.json");
    let manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let config = &manifest["server"]["mcp_config"];
    let arn = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/orders-Ab1";
    let settings = manifest["user_config"].as_object().unwrap();
    let on_api_gateway = "https://abc123.execute-api.us-east-1.amazonaws.com/prod/mcp";
    let own_domain = "https://mcp.example.com/mcp";
    for given in [
        &[("url", on_api_gateway)][..],
        &[("url", arn), ("profile", "work")],
        &[("url", own_domain), ("region", "eu-west-1"), ("service", "execute-api")],
    ] {
        let value = |setting: &str| {
            let given = given.iter().find(|(name, _)| *name == setting).map(|(_, value)| *value);
            given.or_else(|| settings[setting]["default"].as_str()).unwrap()
        };
        let filled = |text: &Value| {
            let text = settings.keys().fold(text.as_str().unwrap().to_owned(), |text, setting| {
                text.replace(&format!("${{user_config.{setting}}}"), value(setting))
            });
            assert!(!text.contains("${"), "{text}");
            text
        };
        let arguments: Vec<String> =
            config["args"].as_array().unwrap().iter().map(filled).collect();
        let variables = config["env"].as_object().unwrap().iter();
        let environment =
            Environment::from_pairs(variables.map(|(name, value)| (name.clone(), filled(value))));
        let asked = |_: Option<&str>| Ok(ProfileSettings::default());
        match cli::parse(arguments.iter().map(OsString::from), &environment, asked) {
            Ok(Command::Run(options)) => assert!(options.profiles.is_empty(), "{options:?}"),
            other => panic!("{other:?}"),
        }
        let profile = Some(value("profile")).filter(|profile| !profile.is_empty());
        assert_eq!(environment.get("AWS_PROFILE"), profile);
    }
}

/// As a shell splits them, as far as the pages need it.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => (quote, any) = (Some(c), true),
            (None, ' ') => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (_, c) => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

#[test]
fn every_command_line_is_accepted() {
    let mut count = 0;
    for (path, text) in pages() {
        for line in text.lines() {
            let line = line.trim_start();
            let Some(at) =
                line.find("sigv4-proxy ").filter(|at| *at == 0 || line[..*at].ends_with("-- "))
            else {
                continue;
            };
            let rest = line[at + "sigv4-proxy ".len()..].trim_end_matches('`');
            // A continued line, a placeholder, prose.
            let is_command = rest.starts_with('-')
                || rest.starts_with("https://")
                || rest.starts_with("arn:")
                || rest.starts_with("doctor --")
                || rest.starts_with("doctor https://")
                || rest.starts_with("login --");
            if !is_command || rest.ends_with('\\') || rest.contains(" URL") || rest.contains('…')
            {
                continue;
            }
            let rest = rest.split(" </dev/null").next().unwrap();
            assert_accepted(&words(rest), &path);
            count += 1;
        }
    }
    assert!(count >= 28, "only {count} command lines were found");
}

/// The files and headings that a page links to; without a file it is the page itself.
fn links(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let targets = text.split("](").skip(1).map(|link| link.split(')').next().unwrap());
    let local = targets.filter(|target| !target.contains("://"));
    local.map(|target| match target.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (target, None),
    })
}

/// The anchors of a page's headings, as forges derive them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let words = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let is_kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ' ';
    words.map(|words| words.replace(|c| !is_kept(c), "").replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for (path, text) in pages() {
        for (file, heading) in links(&text) {
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(target.exists(), "{}: {file}", path.display());
            if let Some(heading) = heading {
                let anchors = anchors(&fs::read_to_string(&target).unwrap());
                assert!(anchors.iter().any(|anchor| anchor == heading), "{file}#{heading}");
            }
        }
    }
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let mut reached = vec![root().join("README.md").canonicalize().unwrap()];
    let mut at = 0;
    while let Some(path) = reached.get(at).cloned() {
        for (file, _) in links(&fs::read_to_string(&path).unwrap()) {
            let target = path.with_file_name(file).canonicalize().unwrap_or_default();
            if target.extension().is_some_and(|kind| kind == "md") && !reached.contains(&target) {
                reached.push(target);
            }
        }
        at += 1;
    }
    // The forge links its own pages.
    let forge = root().join(".github");
    for (path, _) in pages().into_iter().filter(|(path, _)| !path.starts_with(&forge)) {
        assert!(reached.contains(&path.canonicalize().unwrap()), "{}", path.display());
    }
}

/// Names such as `http::connections::a_refusal_…`, `streamable_http::streams::*` or `signing::secret`.
#[test]
fn the_tests_that_the_pages_name_exist() {
    for (page, least) in [("docs/reliability.md", 50), ("docs/security.md", 30)] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let spans = text.split('`').skip(1).step_by(2);
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_:*…".contains(c);
        let names = spans.filter(|span| span.contains("::") && span.chars().all(is_path));
        let names: Vec<&str> = names.collect();
        assert!(names.len() > least, "{page}: only {} names were found", names.len());
        for name in names {
            assert!(is_test(name), "{page}: {name}");
        }
    }
}

/// Whether there is a test of this path, from the room on; the end of its name may be omitted.
fn is_test(name: &str) -> bool {
    let (module, function) = name.rsplit_once("::").unwrap();
    let start = format!("fn {}", function.trim_end_matches(['…', '*']));
    ["tests/it", "src"].iter().any(|folder| {
        // A file may have modules.
        let parts: Vec<&str> = module.split("::").collect();
        let files = (1..=parts.len()).rev().map(|n| parts[..n].join("/"));
        let mut files = files.map(|file| root().join(folder).join(format!("{file}.rs")));
        let source = files.find_map(|file| fs::read_to_string(file).ok());
        let has_test = source.is_some_and(|source| source.contains(&start));
        let path = root().join(folder).join(name.trim_end_matches("::*").replace("::", "/"));
        has_test || path.is_dir() || path.with_extension("rs").is_file()
    })
}

#[test]
fn the_version_is_the_same_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    assert!(read("docs/changelog.md").contains(&format!("\n## {version}\n")));
    let pinned = format!("sigv4-proxy@{version}\"");
    assert_eq!(read("docs/installing.md").matches(&pinned).count(), 2);
}

/// The first screen has a configuration that works, and the page is not too long.
#[test]
fn the_readme_is_short_and_begins_with_a_configuration() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let at = text.lines().position(|line| line.contains("\"command\": \"sigv4-proxy\"")).unwrap();
    assert!(at < 25, "line {at}");
    assert!(text.lines().count() <= 200);
}

/// `make pictures` draws it from the table.
#[test]
fn the_picture_of_speed_shows_the_figures_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let picture = include_str!("../../../docs/speed.svg");
    let shown: Vec<&str> = picture.split("</text>").filter_map(|t| t.rsplit('>').next()).collect();
    for row in ["| | sigv4-proxy", "| from start", "| memory", "| the same over"] {
        let line = readme.lines().find(|line| line.starts_with(row)).unwrap();
        for cell in line.trim_matches('|').split('|').skip(1).map(str::trim) {
            assert!(cell == "–" || shown.contains(&cell), "{cell}: make pictures");
        }
    }
}

/// `make figures` writes both.
#[test]
fn the_benchmarks_in_short_are_those_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let page = fs::read_to_string(root().join("docs/benchmarks.md")).unwrap();
    for row in ["| | sigv4-proxy", "| from start", "| the same over", "| memory when idle"] {
        let line = readme.lines().find(|line| line.starts_with(row)).unwrap();
        assert!(page.lines().any(|other| other == line), "{line}");
    }
}

/// The page of all options is generated from their table.
#[test]
fn the_options_that_the_readme_names_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let options = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let spans = readme.split('`').skip(1).step_by(2);
    let words = spans.filter(|span| !span.contains("--locked")).flat_map(str::split_whitespace);
    let flags: Vec<&str> = words
        .filter(|word| word.starts_with("--") && !["--global", "--help"].contains(word))
        .collect();
    assert!(flags.len() > 8, "{flags:?}");
    for flag in flags {
        assert!(options.contains(&format!("`{flag}`")), "{flag}");
    }
}

/// The texts of the page are compared with those of the program in `prompt`.
#[test]
fn the_picture_of_a_sign_in_shows_the_texts_of_its_page() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = words(include_str!("../../../docs/sign-in.md"));
    let picture = include_str!("../../../docs/sign-in.svg");
    let shown = picture.lines().filter(|line| line.contains("<text") && !line.contains("\"skip\""));
    let texts: Vec<&str> =
        shown.filter_map(|line| line.split('>').nth(1)?.strip_suffix("</text")).collect();
    assert!(texts.len() > 10, "{texts:?}");
    for text in texts.into_iter().filter(|text| !["Open", "Decline"].contains(text)) {
        assert!(page.contains(&words(text)), "{text}");
    }
}
