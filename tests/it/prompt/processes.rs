//! Many calls and many processes: one sign-in.

use crate::harness::program::Program;
use crate::prompt::scene::{Scene, TAKES_URLS, add, assert_link, response, shake_hands, sum};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn fifty_calls_are_one_sign_in() {
    let scene = Scene::new("fifty-calls");
    let mut program = scene.client(TAKES_URLS);
    for id in 1..=50 {
        program.write(&add(id));
    }
    let question = program.read();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    // Everything else passes meanwhile.
    let started = Instant::now();
    program.write(r#"{"jsonrpc":"2.0","id":"p","method":"prompts/list"}"#);
    assert_eq!(program.read()["id"], "p");
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    program.write(r#"{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-1","result":{"action":"accept"}}"#);
    scene.center.approve();
    assert_eq!(program.read()["method"], "notifications/elicitation/complete");
    let mut sums: Vec<u32> = Vec::new();
    while sums.len() < 50 {
        let line = program.read();
        if line["method"].is_null() {
            assert_eq!(sum(&line), (line["id"].as_u64().unwrap() + 1).to_string());
            sums.push(u32::try_from(line["id"].as_u64().unwrap()).unwrap());
        }
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).collect::<Vec<_>>());
    let [registrations, codes] =
        ["/client/register", "/device_authorization"].map(|p| scene.center.count(p));
    assert_eq!((registrations, codes), (1, 1));
}

#[test]
fn ten_processes_are_one_sign_in() {
    let scene = Scene::new("ten-processes");
    let mut programs: Vec<Program> = (0..10).map(|_| scene.launch().start()).collect();
    for program in &mut programs {
        shake_hands(program, "2025-11-25", TAKES_URLS);
        program.write(&add(1));
    }
    let mut links: Vec<Value> =
        programs.iter_mut().map(|p| p.read()["params"]["url"].clone()).collect();
    links.dedup();
    assert_eq!(links, [json!("https://corp.awsapps.com/start/#/device?user_code=CODE-0001")]);
    scene.center.approve();
    for program in &mut programs {
        while program.read()["method"] != "notifications/elicitation/complete" {}
        assert_eq!(sum(&response(program, 1)), "2");
    }
    let [registrations, codes] =
        ["/client/register", "/device_authorization"].map(|p| scene.center.count(p));
    assert_eq!((registrations, codes), (1, 1));
    assert!(scene.file("lock").exists() && !scene.file("pending").exists());
}

#[cfg(unix)]
#[test]
fn another_process_continues_when_the_holder_is_killed() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new("killed-holder");
    let mut holder = scene.client("{}");
    assert_link(&holder.ask(&add(1)), "CODE-0001");
    let pending = scene.file("pending");
    assert_eq!(fs::metadata(&pending).unwrap().permissions().mode() & 0o777, 0o600);
    let members: Value = serde_json::from_slice(&fs::read(&pending).unwrap()).unwrap();
    assert_eq!((&members["version"], &members["userCode"]), (&json!(1), &json!("CODE-0001")));
    let mut other = scene.client(TAKES_URLS);
    other.write(&add(2));
    assert!(other.read()["params"]["url"].as_str().unwrap().ends_with("CODE-0001"));
    holder.signal("-KILL");
    holder.wait();
    scene.center.approve();
    while other.read()["method"] != "notifications/elicitation/complete" {}
    assert_eq!(sum(&response(&mut other, 2)), "3");
    assert_eq!(scene.center.count("/device_authorization"), 1);
    assert!(!pending.exists());
}

#[test]
fn two_sessions_are_two_sign_ins_and_profiles_of_one_session_are_one() {
    let scene = Scene::new("sessions");
    let arguments = ["--profile=dev", "--profile=ops", "--profile=other", "--profile-tools=*"];
    let mut program = scene.launch_with(&arguments).start();
    shake_hands(&mut program, "2025-11-25", "{}");
    let with_profile = |id: u32, profile: &str| {
        add(id).replace(r#""b":1"#, &format!(r#""b":1,"aws_profile":"{profile}""#))
    };
    let code = |response: &Value| response["error"]["data"]["signIn"]["userCode"].clone();
    let first = program.ask(&with_profile(1, "dev"));
    let second = program.ask(&with_profile(2, "ops"));
    assert_eq!((code(&first), code(&second)), (json!("CODE-0001"), json!("CODE-0001")));
    assert!(
        second["error"]["message"].as_str().unwrap().starts_with("profile \"ops\": "),
        "{second}"
    );
    assert_eq!(code(&program.ask(&with_profile(3, "other"))), "CODE-0002");
}

#[test]
fn a_holder_that_shows_no_link_is_not_waited_for_long() {
    let scene = Scene::new("no-link");
    fs::create_dir_all(scene.file("lock").parent().unwrap()).unwrap();
    let lock = fs::File::create(scene.file("lock")).unwrap();
    lock.lock().unwrap();
    let mut program = scene.client(TAKES_URLS);
    let started = Instant::now();
    let error = program.ask(&add(1));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(error["error"]["message"].as_str().unwrap().contains("another process"), "{error}");
    assert_eq!(scene.center.count("/client/register"), 0);
}

#[cfg(unix)]
#[test]
fn a_home_that_cannot_be_written_is_enough_for_one_process() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new("read-only-home");
    // Not even root can create a folder in place of a file.
    scene.home.write(".aws/sso", "");
    fs::set_permissions(scene.home.0.join(".aws/sso"), fs::Permissions::from_mode(0o400)).unwrap();
    let mut program = scene.client(TAKES_URLS);
    program.write(&add(1));
    assert_eq!(program.read()["method"], "elicitation/create");
    program.write(r#"{"jsonrpc":"2.0","id":"sigv4-proxy-sign-in-1","result":{"action":"accept"}}"#);
    scene.center.approve();
    while program.read()["method"] != "notifications/elicitation/complete" {}
    assert_eq!(sum(&response(&mut program, 1)), "2");
    assert!(program.close().log.contains("so other programs cannot use it"));
}

#[test]
fn a_process_that_waits_shows_the_link_that_counts() {
    let scene = Scene::new("next-link");
    let mut holder = scene.client("{}");
    assert_link(&holder.ask(&add(1)), "CODE-0001");
    let mut other = scene.client("{}");
    assert_link(&other.ask(&add(1)), "CODE-0001");
    scene.center.next_poll(400, json!({ "error": "access_denied" }));
    let started = Instant::now();
    let mut id = 2;
    let code = |response: &Value| response["error"]["data"]["signIn"]["userCode"].clone();
    // The holder starts another sign-in, and the other process shows it.
    while code(&holder.ask(&add(id))) != "CODE-0002" || code(&other.ask(&add(id))) != "CODE-0002" {
        assert!(started.elapsed() < Duration::from_secs(20), "the old link is still shown");
        std::thread::park_timeout(Duration::from_millis(100));
        id += 1;
    }
    assert_eq!(scene.center.count("/device_authorization"), 2);
    scene.center.approve();
    scene.wait_for_token();
    for program in [&mut holder, &mut other] {
        program.write(&add(1000));
        assert_eq!(sum(&response(program, 1000)), "1001");
    }
}
