//! Cached credentials: changed files, expired and rejected keys, concurrent calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use serde_json::json;
use sigv4_proxy::credentials::config::ini::{self, Dialect};
use sigv4_proxy::credentials::config::plan::Plan;
use sigv4_proxy::credentials::config::profile::{Files, Selection};
use sigv4_proxy::credentials::{CredentialCache, Credentials, Settings};
use sigv4_proxy::environment::Environment;
use sigv4_proxy::signing::Secret;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::support::aws::Aws;

pub(crate) const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

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
    // The config file appears, with a different setting.
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
    assert!(warning.contains("those from profile default (~/.aws/credentials) remain in use"));
    assert!(!warning.contains("hush"));

    // Once they are refused, there is nothing to fall back on.
    cache.invalidate(&first, NOW);
    assert!(cache.get(NOW).unwrap_err().to_string().contains("line 1"));

    home.write_keys("AKIDMENDED");
    assert_eq!(parts(&cache.get(NOW).unwrap())[0], Some("AKIDMENDED"));
}

#[test]
fn missing_files_are_found_when_they_appear() {
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
    cache.invalidate(&first, NOW);
    let second = cache.get(NOW).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    let later = NOW + Duration::from_secs(60);
    cache.invalidate(&first, later);
    assert!(Arc::ptr_eq(&second, &cache.get(later).unwrap()), "the late rejection is not its");
    cache.invalidate(&second, NOW + Duration::from_secs(29));
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

/// A home whose profile assumes a role, and an STS that returns it for an hour each time.
fn role_for_an_hour(name: &str, second_takes_ms: u64) -> (CredentialCache, Aws) {
    let home = Home::new(name);
    let config = "[default]\nrole_arn = r\nsource_profile = base\nregion = us-east-1\n";
    home.write(".aws/config", config);
    home.write(".aws/credentials", "[base]\naws_access_key_id = A\naws_secret_access_key = S\n");
    let answer = |key: &str, time: &str, wait_ms: u64| {
        let credentials = format!(
            "<a><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{time}</Expiration></Credentials></a>"
        );
        json!({ "ask": "POST /", "wait_ms": wait_ms, "answer": credentials })
    };
    let first = answer("ASIAONE", "2030-01-01T01:00:00Z", 0);
    let second = answer("ASIATWO", "2030-01-01T02:00:00Z", second_takes_ms);
    let aws = Aws::start(vec![first, second], NOW);
    let environment = home.environment([("AWS_ENDPOINT_URL", aws.url.as_str())]);
    (CredentialCache::new(environment, Settings::default(), NOW), aws)
}

#[test]
fn a_thousand_requests_ask_once() {
    let (cache, aws) = role_for_an_hour("thousand", 0);
    for at in 0..1000 {
        let found = cache.get(NOW + Duration::from_secs(3 * at)).unwrap();
        assert_eq!(parts(&found)[0], Some("ASIAONE"));
    }
    assert_eq!(aws.counts(), [1, 0]);
}

#[test]
#[cfg_attr(windows, ignore = "a look-up under wine takes longer than the fake service waits")]
fn newer_keys_are_fetched_while_the_old_ones_serve() {
    let (cache, aws) = role_for_an_hour("ahead", 300);
    cache.get(NOW).unwrap();
    let soon = NOW + Duration::from_secs(3600 - 120);
    // No call waits, and one request is enough.
    let before = Instant::now();
    for _ in 0..100 {
        assert_eq!(parts(&cache.get(soon).unwrap())[0], Some("ASIAONE"));
    }
    assert!(before.elapsed() < Duration::from_millis(250), "{:?}", before.elapsed());
    while parts(&cache.get(soon).unwrap())[0] != Some("ASIATWO") {
        assert!(before.elapsed() < Duration::from_secs(10), "the newer keys do not come");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!((aws.counts(), aws.unexpected()), (vec![1, 1], vec![]));
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
    let plan = Plan::of_profile(&profile, &mut Vec::new()).unwrap();
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

    /// As `aws configure` writes the name of a profile that has a space in it.
    #[test]
    fn quoted_names_survive(name in r"\S(\PC{0,18}\S)?", comment in r"( \PC{0,20})?") {
        let quoted = name.replace('\'', r#"'"'"'"#);
        let text = format!("[profile '{quoted}']{comment}\nsetting = 1\n");
        let sections = ini::parse(text.as_bytes(), Dialect::Config).unwrap();
        prop_assert_eq!(sections.profiles[&name].get("setting"), Some("1"));
    }

    /// Names and values with any characters are read back by rust-ini.
    #[test]
    fn names_and_values_survive(name in r"[^\s\[\]]([^\r\n]{0,20}\S)?", value in r"\PC{0,40}") {
        let value = value.trim().replace([' ', '\t'], "_");
        // An empty value, or one that is all comment, is followed by nested settings: another rule.
        prop_assume!(!value.is_empty() && !value.starts_with(['#', ';']));
        let name = name.replace('\t', " ");
        // There the header would end.
        prop_assume!(!["] ", "]#", "];"].iter().any(|end| name.contains(end)));
        let text = format!("[{name}]\nsetting = {value}\n  more\n");
        let sections = ini::parse(text.as_bytes(), Dialect::Credentials).unwrap();
        let misnamed = name.strip_prefix("profile ");
        if misnamed.is_none() {
            let expected = format!("{value}\nmore");
            prop_assert_eq!(sections.profiles[&name].get("setting"), Some(expected.as_str()));
        }
    }
}

/// A new home folder for each test.
pub(crate) struct Home(pub(crate) PathBuf);

impl Home {
    pub(crate) fn new(name: &str) -> Home {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("credentials").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join(".aws")).unwrap();
        Home(folder)
    }

    pub(crate) fn environment<'a>(
        &'a self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Environment {
        let home = ("HOME", self.0.to_str().unwrap());
        // No request leaves this machine.
        let disabled = ("AWS_EC2_METADATA_DISABLED", "true");
        Environment::from_pairs([disabled, home].into_iter().chain(variables))
    }

    fn cache(&self) -> CredentialCache {
        CredentialCache::new(self.environment([]), Settings::default(), NOW)
    }

    /// Writes in place, always with the same modification time: files differ only in length.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(written_at()).unwrap();
    }

    #[cfg(unix)]
    pub(crate) fn make_executable(&self, path: &str) {
        // By a copy that another process makes. A file that was written here may still be open for writing in a child that
        // another test is just starting, and could not be run.
        let copy = r#"cp "$0" "$0.copy" && chmod 755 "$0.copy" && mv "$0.copy" "$0""#;
        let file = self.0.join(path);
        #[expect(clippy::disallowed_methods, reason = "the stdin of a test has no messages")]
        let made = std::process::Command::new("sh").args(["-c", copy]).arg(file).status().unwrap();
        assert!(made.success());
    }

    #[cfg(not(unix))]
    pub(crate) fn make_executable(&self, _: &str) {}

    fn write_keys(&self, id: &str) {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = hush\n");
        self.write(".aws/credentials", text);
    }
}

fn written_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn parts(found: &Credentials) -> [Option<&str>; 3] {
    let key = &found.key;
    [
        Some(&key.access_key_id),
        Some(key.secret_access_key.expose()),
        key.session_token.as_ref().map(Secret::expose),
    ]
}
