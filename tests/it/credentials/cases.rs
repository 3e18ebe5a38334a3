//! The credential chain against the cases under `test-vectors/credentials`, whose members
//! `test-vectors/README.md` lists: through the library with the clock of the cases, and through the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use sigv4_proxy::clock;
use sigv4_proxy::credentials::Role;
use sigv4_proxy::credentials::{CredentialCache, ProfileFiles, Settings};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::credentials::chain::{Home, NOW, parts};
use crate::harness::messages::not_found;
use crate::harness::program::Launch;
use crate::support::aws::Aws;

#[test]
fn the_chain_finds_what_the_cases_say() {
    for_each_case(|name, case| {
        // Commands are scripts for sh, and quoted for it.
        let is_for_sh = case.to_string().contains("credential_process")
            || name == "profiles-odd-name-in-the-command";
        if !cfg!(windows) || !is_for_sh {
            Case::new(name, case).check();
        }
    });
}

/// For every outcome, with the log at debug.
#[test]
fn the_program_shows_no_secret_of_any_case() {
    let looked_for = AtomicUsize::new(0);
    for_each_case(|name, case| {
        let case = Case::new(&format!("{name}-shown"), case);
        let log = case.run_program();
        assert!(log.contains("credentials"), "{name}: {log}");
        for secret in case.secrets() {
            assert!(!log.contains(&secret), "{name}: {secret} is in {log}");
            looked_for.fetch_add(1, Ordering::Relaxed);
        }
    });
    let looked_for = looked_for.into_inner();
    assert!(looked_for > 400, "{looked_for}");
}

/// Several at a time: some wait for a limit to pass.
fn for_each_case(check: impl Fn(&str, &Value) + Sync) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-vectors/credentials");
    let mut cases = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let area = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let of_file: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let named = |case: Value| (format!("{area}-{}", case["name"].as_str().unwrap()), case);
        cases.extend(of_file.into_iter().map(named));
    }
    assert!(cases.len() > 200, "{} cases", cases.len());
    let next = std::sync::Mutex::new(cases.iter());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some((name, case)) = next.lock().unwrap().next() else { return };
                    check(name, case);
                }
            });
        }
    });
}

/// A case on its machine.
struct Case<'a> {
    name: String,
    members: &'a Value,
    home: Home,
    aws: Option<Aws>,
}

impl<'a> Case<'a> {
    fn new(name: &str, case: &'a Value) -> Case<'a> {
        let home = Home::new(name);
        let aws = case.get("network").map(|_| Aws::start(Vec::new(), NOW));
        let case = Case { name: name.to_owned(), members: case, home, aws };
        if let (Some(aws), Some(entries)) = (&case.aws, case.members.get("network")) {
            let entries = case.filled(&entries.to_string());
            aws.expect(serde_json::from_str(&entries).unwrap());
        }
        case
    }

    /// Writes the files of the machine, and returns its environment.
    fn prepare(&self) -> Vec<(String, String)> {
        let Case { members: case, home, .. } = self;
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
        variables
            .map(|(name, value)| (name.clone(), self.filled(value.as_str().unwrap())))
            .chain(of_aws.filter(|_| case["env"]["AWS_ENDPOINT_URL"].is_null()))
            .collect()
    }

    fn check(&self) {
        let Case { name, members: case, home, .. } = self;
        let variables = self.prepare();
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment = home.environment(variables);
        let profile = case["profile"].as_str();
        let settings = Settings {
            profile: profile.map(str::to_owned),
            region: case["region"].as_str().map(str::to_owned),
            target_region: case["target_region"].as_str().map(str::to_owned),
            role: case["role"].as_str().map(|arn| Role {
                arn: arn.to_owned(),
                external_id: case["external_id"].as_str().map(str::to_owned),
                ..Role::default()
            }),
            session_name: case["session_name"].as_str().map(str::to_owned),
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
            let [found] = ProfileFiles::new(&environment).settings(profile, ["region"]).unwrap();
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

    /// The output of the program with the credentials of this case; its target is never contacted.
    fn run_program(&self) -> String {
        let mut launch = Launch::bare(&["https://abc.execute-api.us-east-1.amazonaws.com/mcp"])
            .arg("--log-level=debug")
            .env("PATH", "/usr/bin:/bin");
        for (flag, member) in [
            ("profile", "profile"),
            ("role-arn", "role"),
            ("external-id", "external_id"),
            ("role-session-name", "session_name"),
        ] {
            if let Some(value) = self.members[member].as_str() {
                launch = launch.arg(&format!("--{flag}={value}"));
            }
        }
        for (name, value) in self.prepare() {
            launch = launch.env(&name, &value);
        }
        if let Some(aws) = &self.aws {
            aws.set_now(clock::now());
        }
        let ended = launch.env("HOME", self.home.0.to_str().unwrap()).run("");
        assert_eq!(ended.lines, [""; 0], "{}", self.name);
        ended.log
    }

    /// Every text of the case in the position of a secret.
    fn secrets(&self) -> BTreeSet<String> {
        let mut secrets = BTreeSet::new();
        collect_secrets(self.members, false, &mut secrets);
        let expected = ["expect", "steps"].map(|member| &self.members[member]);
        let mut steps = vec![expected[0]];
        steps.extend(expected[1].as_array().into_iter().flatten().map(|step| &step["expect"]));
        for step in steps {
            let of_key = step["key"].as_array().into_iter().flatten().skip(1);
            secrets.extend(
                of_key
                    .chain(&step["error_without"].as_array().cloned().unwrap_or_default())
                    .filter_map(Value::as_str)
                    .map(str::to_owned),
            );
        }
        // Shorter ones are parts of ordinary words, and commands for the user are not secrets.
        secrets.retain(|secret| secret.len() >= 4 && !secret.starts_with("aws "));
        secrets
    }

    fn compare(&self, expect: &Value, cache: &CredentialCache, now: OffsetDateTime) {
        let name = &self.name;
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
        let warnings = warnings.iter().map(|warning| self.unfilled(warning));
        for (warning, words) in warnings.zip(texts(&expect["warnings"])) {
            assert!(warning.contains(words), "{name}: {words:?} is not in {warning:?}");
        }
    }

    /// The members that the files must have when all is over, for their owner alone.
    fn check_files_after(&self) {
        let name = &self.name;
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
            let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
            assert_eq!(files, 1, "{name}: a draft was left");
        }
    }

    fn write(&self, files: &Value) {
        for (path, content) in files.as_object().into_iter().flatten() {
            self.home.write(&self.filled(path), self.content_of(content));
        }
    }

    /// Fills in the values of this run: `{url}`, `{home}`, `{sha1:TEXT}`, `{sha256:TEXT}`.
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
        let no_such_file = not_found(&format!("{}/gone", env!("CARGO_TARGET_TMPDIR")));
        text.replace(self.home.0.to_str().unwrap(), "{home}")
            .replace(&no_such_file, "No such file or directory")
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

/// By the names under which secrets travel, in JSON, in XML, in files and in the environment.
fn collect_secrets(value: &Value, is_secret: bool, secrets: &mut BTreeSet<String>) {
    let names_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["secret", "token", "dpopkey", "authorization"].iter().any(|word| name.contains(word))
            && !["file", "uri", "type", "headers", "ttl"].iter().any(|word| name.contains(word))
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let is_text = value.is_string();
            collect_secrets(value, is_text && names_secret(name), secrets);
        }),
        Value::Array(values) => {
            for value in values {
                collect_secrets(value, is_secret, secrets);
            }
        }
        Value::String(text) if is_secret => {
            secrets.insert(text.clone());
        }
        Value::String(text) => {
            if let Some((name, value)) = text.split_once('=')
                && names_secret(name)
                && !name.contains(' ') | name.ends_with(' ')
            {
                secrets.insert(value.trim().to_owned());
            }
            for name in ["SecretAccessKey", "SessionToken"] {
                let tag = format!("<{name}>");
                let parts = text.split(&tag).skip(1);
                secrets.extend(parts.filter_map(|part| Some(part.split_once('<')?.0.to_owned())));
            }
        }
        _ => {}
    }
}

fn time(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap())
}
