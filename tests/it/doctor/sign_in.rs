//! The state of sign-ins in doctor's report: their expiry, and what a call would do.

use crate::doctor::checks::assert_check;
use crate::prompt::scene::{Scene, add};

#[test]
fn the_doctor_says_what_a_sign_in_would_do_and_begins_none() {
    for (profile, variables, words) in [
        (
            "dev",
            &[][..],
            "not signed in to corp: the first call shows a link and a code in the client",
        ),
        (
            "dev",
            &[("MCP_LOGIN", "browser")],
            "the first call shows a link for this machine's browser",
        ),
        ("dev", &[("CI", "1")], "calls fail until you run sigv4-proxy login [--login off, or CI]"),
        ("mfa", &[], "MFA codes are only requested by sigv4-proxy login"),
    ] {
        let scene = Scene::new(&format!("doctor-{profile}-{}", variables.len()));
        let mut launch = scene.doctor(profile);
        for (name, value) in variables {
            launch = launch.env(name, value);
        }
        let fix = format!("fix: run \"sigv4-proxy login --profile {profile}\"");
        assert_check(&launch.run(""), "credentials", "fail", &[words, &fix]);
        assert_eq!(scene.center.count("/client/register"), 0);
    }
}

#[test]
fn the_doctor_says_until_when_a_sign_in_lasts() {
    let scene = Scene::new("doctor-signed-in");
    let mut program = scene.client("{}");
    program.ask(&add(1));
    scene.center.approve();
    scene.wait_for_token();
    let ended = scene.doctor("dev").run("");
    let words = [
        "signed in to corp until 20",
        "refreshed while the session lasts; after that, the first call",
    ];
    assert_check(&ended, "credentials", "pass", &words);
}
