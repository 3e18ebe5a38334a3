//! The credential chain: the cases under `test-vectors/credentials`, and what happens when files change.
//!
//! A case is a machine (`profile` as in `--profile`, `env`, the two files, others below the home folder) and
//! what must be found there. A file is a text, its lines, `hex`, or a text repeated. All warnings must be listed, in order.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::Value;
use sigv4_proxy::credentials::ini::{self, Dialect};
use sigv4_proxy::credentials::profile::{Files, Selection};
use sigv4_proxy::credentials::{CredentialCache, Credentials, profile_setting};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::error::Kind;
use sigv4_proxy::signing::Secret;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

#[test]
fn the_chain_finds_what_the_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors/credentials");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let area = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let cases: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for case in cases {
            let name = format!("{area}-{}", case["name"].as_str().unwrap());
            check(&Home::new(&name), &name, &case);
            count += 1;
        }
    }
    assert!(count > 100, "{count} cases");
}

fn check(home: &Home, name: &str, case: &Value) {
    for (key, path) in [("config", ".aws/config"), ("credentials", ".aws/credentials")] {
        if let Some(content) = case.get(key) {
            home.write(path, content_of(content));
        }
    }
    for (path, content) in case["files"].as_object().into_iter().flatten() {
        home.write(path, content_of(content));
    }
    let variables = case["env"].as_object().into_iter().flatten();
    let variables = variables.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
    let environment = home.environment(variables);
    let profile = case["profile"].as_str();
    let expect = &case["expect"];

    let cache = CredentialCache::new(environment.clone(), profile.map(str::to_owned));
    let found = cache.get(NOW);
    if let Some(key) = expect.get("key") {
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        let strings: [Option<&str>; 3] = std::array::from_fn(|at| key[at].as_str());
        assert_eq!(parts(&found), strings, "{name}");
        if let Some(source) = expect["source"].as_str() {
            assert_eq!(found.source.to_string(), source, "{name}");
        }
        let expires =
            expect["expires"].as_str().map(|t| OffsetDateTime::parse(t, &Rfc3339).unwrap());
        assert_eq!(found.expires.map(|t| t.replace_nanosecond(0).unwrap()), expires, "{name}");
    } else {
        let error = found.map(|found| found.source.to_string()).expect_err(name);
        assert_eq!(error.kind(), Kind::Credentials, "{name}");
        let message = error.to_string();
        for words in texts(&expect["error"]) {
            assert!(message.contains(words), "{name}: {words:?} is not in {message:?}");
        }
        for words in texts(&expect["error_without"]) {
            assert!(!message.contains(words), "{name}: {words:?} is in {message:?}");
        }
    }
    let warnings = cache.take_warnings();
    assert_eq!(warnings.len(), texts(&expect["warnings"]).count(), "{name}: {warnings:?}");
    for (warning, words) in warnings.iter().zip(texts(&expect["warnings"])) {
        assert!(warning.contains(words), "{name}: {words:?} is not in {warning:?}");
    }
    if let Some(region) = expect.get("region") {
        let found = profile_setting(&environment, profile, "region").unwrap();
        assert_eq!(found.as_deref(), region.as_str(), "{name}");
    }
}

#[test]
fn unchanged_files_are_not_read_again() {
    let home = Home::new("unchanged");
    home.write_keys("AKIDONE");
    let cache = home.cache();
    let first = cache.get(NOW).unwrap();
    for _ in 0..1000 {
        assert!(Arc::ptr_eq(&first, &cache.get(NOW).unwrap()));
    }
    // Were it read again now, this could not be found: the stamp of the file is the old one.
    home.write_keys("AKIDTWO");
    assert_eq!(parts(&cache.get(NOW).unwrap())[0], Some("AKIDONE"));
}

#[test]
fn a_changed_file_counts_from_the_next_request() {
    let home = Home::new("changed");
    home.write_keys("AKIDONE");
    let cache = home.cache();
    cache.get(NOW).unwrap();
    home.write_keys("AKIDLONGER");
    assert_eq!(parts(&cache.get(NOW).unwrap())[0], Some("AKIDLONGER"));
    // The config file appears, and asks for something else.
    home.write(".aws/config", b"[default]\nregion = eu-west-1\n");
    let same = cache.get(NOW).unwrap();
    assert_eq!(parts(&same)[0], Some("AKIDLONGER"));
    assert!(Arc::ptr_eq(&same, &cache.get(NOW).unwrap()), "equal credentials stay the same");
    assert_eq!(cache.take_warnings(), [""; 0]);
}

#[test]
fn a_file_written_a_moment_ago_is_read_again_though_it_looks_the_same() {
    let home = Home::new("moment");
    home.write_keys("AKIDONE");
    let cache = home.cache();
    let written = OffsetDateTime::from(written_at());
    let soon = written + Duration::from_secs(1);
    cache.get(soon).unwrap();
    home.write_keys("AKIDTWO");
    assert_eq!(parts(&cache.get(soon).unwrap())[0], Some("AKIDTWO"));
    home.write_keys("AKIDTRE");
    assert_eq!(parts(&cache.get(soon).unwrap())[0], Some("AKIDTRE"));
}

#[test]
fn a_file_half_written_keeps_the_old_keys() {
    let home = Home::new("half-written");
    home.write_keys("AKIDONE");
    let cache = home.cache();
    let first = cache.get(NOW).unwrap();
    home.write(".aws/credentials", b"[default\naws_access_key_id = hush");
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&first, &cache.get(NOW).unwrap()));
    }
    let warnings = cache.take_warnings();
    let [warning] = &warnings[..] else { panic!("once: {warnings:?}") };
    assert!(warning.contains("~/.aws/credentials: line 1: "), "{warning}");
    assert!(warning.contains("the keys of profile default (~/.aws/credentials) stay in use"));
    assert!(!warning.contains("hush"));

    // Once they are refused, there is nothing to fall back on.
    cache.reject(&first);
    assert!(cache.get(NOW).unwrap_err().to_string().contains("line 1"));

    home.write_keys("AKIDMENDED");
    assert_eq!(parts(&cache.get(NOW).unwrap())[0], Some("AKIDMENDED"));
}

#[test]
fn what_was_missing_is_found_when_it_appears() {
    let home = Home::new("appears");
    let cache = home.cache();
    assert!(cache.get(NOW).unwrap_err().to_string().starts_with("no AWS credentials found"));
    home.write_keys("AKIDONE");
    let first = cache.get(NOW).unwrap();
    fs::remove_file(home.0.join(".aws/credentials")).unwrap();
    assert!(Arc::ptr_eq(&first, &cache.get(NOW).unwrap()));
    assert_eq!(cache.take_warnings().len(), 1);
}

#[test]
fn only_the_rejected_credentials_are_forgotten() {
    let home = Home::new("rejected");
    home.write_keys("AKIDONE");
    let cache = home.cache();
    let first = cache.get(NOW).unwrap();
    cache.reject(&first);
    let second = cache.get(NOW).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    cache.reject(&first);
    assert!(Arc::ptr_eq(&second, &cache.get(NOW).unwrap()), "the late rejection is not its");
}

#[test]
fn credentials_of_the_environment_end_when_they_expire() {
    let home = Home::new("expire");
    let cache = CredentialCache::new(
        home.environment([
            ("AWS_ACCESS_KEY_ID", "AKIDENV"),
            ("AWS_SECRET_ACCESS_KEY", "hush"),
            ("AWS_CREDENTIAL_EXPIRATION", "2030-01-01T01:00:00Z"),
        ]),
        None,
    );
    let first = cache.get(NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &cache.get(NOW + Duration::from_secs(3599)).unwrap()));
    let error = cache.get(NOW + Duration::from_secs(3600)).unwrap_err();
    assert!(error.message().contains("environment credentials expired at 2030-01-01T01:00:00Z"));
}

#[test]
fn threads_share_what_is_found() {
    let home = Home::new("threads");
    home.write_keys("AKIDONE");
    let cache = home.cache();
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| cache.get(NOW).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
}

#[test]
fn nothing_prints_a_secret() {
    let home = Home::new("secrets");
    let config = b"[profile dev]\nregion = us-east-1\ns3 =\n  a = hush\n";
    let credentials =
        b"[dev]\naws_access_key_id = AKIDDEV\naws_secret_access_key = hush\naws_session_token = hush\n";
    home.write(".aws/config", config);
    home.write(".aws/credentials", credentials);
    let environment = home.environment([("AWS_PROFILE", "dev"), ("X", "hush")]);
    let cache = CredentialCache::new(environment.clone(), None);
    let found = cache.get(NOW).unwrap();
    let selected = Selection::new(&environment, None);
    let files =
        Files::parse((Path::new("config"), config), (Path::new("credentials"), credentials));
    let files = files.unwrap();
    let profile = files.profile(&selected).unwrap().unwrap();
    let plan = profile.plan().unwrap();
    let printed = format!("{environment:?}{cache:?}{found:#?}{files:?}{profile:?}{plan:?}");
    assert!(printed.contains("AKIDDEV") && !printed.contains("hush"), "{printed}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = ini::parse(&bytes, Dialect::Config);
    }

    /// Lines of the characters that mean something: each is read or refused, and a refusal names a line.
    #[test]
    fn no_lines_confuse_the_parser(text in r#"([ \t\[\]a=:#;\\'"\r\n]|profile |default){0,60}"#) {
        for dialect in [Dialect::Config, Dialect::Credentials] {
            if let Err(error) = ini::parse(text.as_bytes(), dialect) {
                let known = [": a setting before", ": a section header", ": a value without", ": neither"];
                prop_assert!(known.iter().any(|m| error.message().contains(m)), "{error}");
            }
        }
    }

    /// Whatever stands in a name or a value, rust-ini gives it back.
    #[test]
    fn names_and_values_survive(name in r"[^\s#;\[\]]([^\r\n#;]{0,20}[^\s#;])?", value in r"\PC{0,40}") {
        let value = value.trim().replace([' ', '\t'], "_");
        // Below an empty value, also one that is all comment, stand nested settings: another rule.
        prop_assume!(!value.is_empty() && !value.starts_with(['#', ';']));
        let name = name.replace('\t', " ");
        let text = format!("[{name}]\nsetting = {value}\n  more\n");
        let sections = ini::parse(text.as_bytes(), Dialect::Credentials).unwrap();
        let misnamed = name.strip_prefix("profile ");
        if misnamed.is_none() {
            let expected = format!("{value}\nmore");
            prop_assert_eq!(sections.profiles[&name].get("setting"), Some(expected.as_str()));
        }
    }
}

/// A home folder of its own for each test, made anew.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Home {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("credentials").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join(".aws")).unwrap();
        Home(folder)
    }

    fn environment<'a>(
        &'a self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Environment {
        let home = ("HOME", self.0.to_str().unwrap());
        Environment::from_pairs(variables.into_iter().chain([home]))
    }

    fn cache(&self) -> CredentialCache {
        CredentialCache::new(self.environment([]), None)
    }

    /// In place, and always with the same time: files differ to the eye by their length alone.
    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(written_at()).unwrap();
    }

    fn write_keys(&self, id: &str) {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = hush\n");
        self.write(".aws/credentials", text);
    }
}

fn written_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn content_of(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(_) => {
            texts(value).flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
        }
        _ if value["hex"].is_string() => hex::decode(value["hex"].as_str().unwrap()).unwrap(),
        _ => {
            let times = usize::try_from(value["times"].as_u64().unwrap()).unwrap();
            value["repeat"].as_str().unwrap().repeat(times).into_bytes()
        }
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap())
}

fn parts(found: &Credentials) -> [Option<&str>; 3] {
    let key = &found.key;
    [Some(&key.id), Some(key.secret.expose()), key.token.as_ref().map(Secret::expose)]
}
