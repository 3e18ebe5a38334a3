//! The credential chain: the cases under `test-vectors/credentials`, and what happens when files change.
//!
//! `test-vectors/README.md` lists the members of a case.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sigv4_proxy::credentials::ini::{self, Dialect};
use sigv4_proxy::credentials::profile::{Files, Role, Selection};
use sigv4_proxy::credentials::{CredentialCache, Credentials, Settings, profile_setting};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::signing::Secret;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

use crate::support::aws::Aws;

const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

#[test]
fn the_chain_finds_what_the_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors/credentials");
    let mut cases = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let area = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let of_file: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        cases.extend(
            of_file
                .into_iter()
                .map(|case| (format!("{area}-{}", case["name"].as_str().unwrap()), case)),
        );
    }
    assert!(cases.len() > 200, "{} cases", cases.len());
    // Several at a time: some wait for a limit to pass.
    let next = std::sync::Mutex::new(cases.iter());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let Some((name, case)) = next.lock().unwrap().next() else { return };
                    Case::new(name, case).check();
                }
            });
        }
    });
}

/// A case on its machine.
struct Case<'a> {
    name: &'a str,
    members: &'a Value,
    home: Home,
    aws: Option<Aws>,
}

impl<'a> Case<'a> {
    fn new(name: &'a str, case: &'a Value) -> Case<'a> {
        let home = Home::new(name);
        let aws = case.get("network").map(|_| Aws::start(Vec::new(), NOW));
        let case = Case { name, members: case, home, aws };
        if let (Some(aws), Some(entries)) = (&case.aws, case.members.get("network")) {
            let entries = case.filled(&entries.to_string());
            aws.expect(serde_json::from_str(&entries).unwrap());
        }
        case
    }

    fn check(&self) {
        let Case { name, members: case, home, .. } = self;
        for (key, path) in [("config", ".aws/config"), ("credentials", ".aws/credentials")] {
            if let Some(content) = case.get(key) {
                home.write(path, self.content_of(content));
            }
        }
        self.write(&case["files"]);
        for (path, script) in case["commands"].as_object().into_iter().flatten() {
            home.write(path, self.content_of(script));
            home.make_executable(path);
        }
        let of_aws = self.aws.iter().map(|aws| ("AWS_ENDPOINT_URL".to_owned(), aws.url.clone()));
        let variables = case["env"].as_object().into_iter().flatten();
        let variables = variables
            .map(|(name, value)| (name.clone(), self.filled(value.as_str().unwrap())))
            .chain(of_aws.filter(|_| case["env"]["AWS_ENDPOINT_URL"].is_null()));
        let variables: Vec<(String, String)> = variables.collect();
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment = home.environment(variables);
        let profile = case["profile"].as_str();
        let settings = Settings {
            profile: profile.map(str::to_owned),
            region: case["region"].as_str().map(str::to_owned),
            target_region: case["target_region"].as_str().map(str::to_owned),
            role: case["role"].as_str().map(|arn| Role {
                arn: arn.to_owned(),
                profile: None,
                external_id: case["external_id"].as_str().map(str::to_owned),
                session_name: case["session_name"].as_str().map(str::to_owned),
                duration_seconds: None,
            }),
            ..Settings::default()
        };
        let cache = CredentialCache::new(environment.clone(), settings, NOW);
        let once = [(*case).clone()];
        for step in case["steps"].as_array().map_or(&once[..], Vec::as_slice) {
            let now = NOW + Duration::from_secs(step["at"].as_u64().unwrap_or(0));
            if step["at"].is_u64() {
                self.write(&step["write"]);
            }
            if let Some(aws) = &self.aws {
                aws.set_now(now);
            }
            self.compare(&step["expect"], &cache, now);
        }
        if let Some(region) = case["expect"].get("region") {
            let found = profile_setting(&environment, profile, "region").unwrap();
            assert_eq!(found.as_deref(), region.as_str(), "{name}");
        }
        if let Some(aws) = &self.aws {
            assert_eq!(aws.unexpected(), [""; 0], "{name}");
            assert_eq!(aws.left(), [""; 0], "{name}");
            let names = aws.session_names();
            let all_equal = names.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(all_equal || case["many_sessions"] == true, "{name}: {names:?}");
        }
        self.check_files_after();
    }

    fn compare(&self, expect: &Value, cache: &CredentialCache, now: OffsetDateTime) {
        let name = self.name;
        let found = cache.get(now);
        if let Some(key) = expect.get("key") {
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
            let strings: [Option<&str>; 3] = std::array::from_fn(|at| key[at].as_str());
            assert_eq!(parts(&found), strings, "{name}");
            if let Some(source) = expect["source"].as_str() {
                assert_eq!(found.source.to_string(), source, "{name}");
            }
            if let Some(account) = expect.get("account") {
                assert_eq!(found.account.as_deref(), account.as_str(), "{name}");
            }
            let expires = found.expires.map(|time| time.replace_nanosecond(0).unwrap());
            match &expect["expires"] {
                Value::Array(bounds) => {
                    let [from, to] = [&bounds[0], &bounds[1]].map(|t| time(t.as_str().unwrap()));
                    let expires = expires.unwrap();
                    assert!((from..=to).contains(&expires), "{name}: {expires}");
                }
                expected => assert_eq!(expires, expected.as_str().map(time), "{name}"),
            }
        } else {
            let error = found.map(|found| found.source.to_string()).expect_err(name);
            let message = self.unfilled(&error.to_string());
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
    }

    /// The members that the files must have when all is over, for their owner alone.
    fn check_files_after(&self) {
        let name = self.name;
        for (path, members) in self.members["after"].as_object().into_iter().flatten() {
            let path = self.home.0.join(self.filled(path));
            let content: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            for (member, value) in members.as_object().unwrap() {
                assert_eq!(&content[member], value, "{name}: {member}");
            }
            #[cfg(unix)]
            {
                let mode = std::os::unix::fs::PermissionsExt::mode(
                    &fs::metadata(&path).unwrap().permissions(),
                );
                assert_eq!(mode & 0o777, 0o600, "{name}");
            }
            let beside = fs::read_dir(path.parent().unwrap()).unwrap().count();
            assert_eq!(beside, 1, "{name}: a draft was left behind");
        }
    }

    fn write(&self, files: &Value) {
        for (path, content) in files.as_object().into_iter().flatten() {
            self.home.write(&self.filled(path), self.content_of(content));
        }
    }

    /// Puts in what only this run knows: `{url}`, `{home}`, `{sha1:TEXT}`, `{sha256:TEXT}`.
    fn filled(&self, text: &str) -> String {
        let url = self.aws.as_ref().map_or("", |aws| &aws.url);
        let home = self.home.0.to_str().unwrap();
        let mut text = text.replace("{url}", url).replace("{home}", home);
        for (mark, hash) in [
            ("{sha1:", (|text| hex::encode(Sha1::digest(text))) as fn(&str) -> String),
            ("{sha256:", |text| hex::encode(Sha256::digest(text))),
        ] {
            while let Some((before, rest)) = text.split_once(mark) {
                let (inside, after) = rest.split_once('}').unwrap();
                text = format!("{before}{}{after}", hash(inside));
            }
        }
        text
    }

    fn unfilled(&self, text: &str) -> String {
        text.replace(self.home.0.to_str().unwrap(), "{home}")
    }

    fn content_of(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::String(text) => self.filled(text).into_bytes(),
            Value::Array(_) => {
                let text = texts(value).flat_map(|line| [line, "\n"]).collect::<String>();
                self.filled(&text).into_bytes()
            }
            _ if value["hex"].is_string() => hex::decode(value["hex"].as_str().unwrap()).unwrap(),
            _ if value["json"].is_object() => self.filled(&value["json"].to_string()).into_bytes(),
            _ => {
                let times = usize::try_from(value["times"].as_u64().unwrap()).unwrap();
                value["repeat"].as_str().unwrap().repeat(times).into_bytes()
            }
        }
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
    cache.reject(&first, NOW);
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
    cache.reject(&first, NOW);
    let second = cache.get(NOW).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    let later = NOW + Duration::from_secs(60);
    cache.reject(&first, later);
    assert!(Arc::ptr_eq(&second, &cache.get(later).unwrap()), "the late rejection is not its");
    cache.reject(&second, NOW + Duration::from_secs(29));
    let same = cache.get(later).unwrap();
    assert!(Arc::ptr_eq(&second, &same), "not more often than every 30 seconds");
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
        Settings::default(),
        NOW,
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
    let cache = CredentialCache::new(environment.clone(), Settings::default(), NOW);
    let found = cache.get(NOW).unwrap();
    let selected = Selection::new(&environment, None);
    let files =
        Files::parse((Path::new("config"), config), (Path::new("credentials"), credentials));
    let files = files.unwrap();
    let profile = files.profile(&selected).unwrap().unwrap();
    let plan = profile.plan(&mut Vec::new()).unwrap();
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
        // Nobody outside this machine is asked.
        let disabled = ("AWS_EC2_METADATA_DISABLED", "true");
        Environment::from_pairs([disabled, home].into_iter().chain(variables))
    }

    fn cache(&self) -> CredentialCache {
        CredentialCache::new(self.environment([]), Settings::default(), NOW)
    }

    /// In place, and always with the same time: files differ to the eye by their length alone.
    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(written_at()).unwrap();
    }

    #[cfg(unix)]
    fn make_executable(&self, path: &str) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.0.join(path), mode).unwrap();
    }

    #[cfg(not(unix))]
    fn make_executable(&self, _: &str) {}

    fn write_keys(&self, id: &str) {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = hush\n");
        self.write(".aws/credentials", text);
    }
}

fn written_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn time(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap())
}

fn parts(found: &Credentials) -> [Option<&str>; 3] {
    let key = &found.key;
    [Some(&key.id), Some(key.secret.expose()), key.token.as_ref().map(Secret::expose)]
}
