//! The user's browser: whether there is one on this machine, and opening a link in it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::environment::Environment;

/// Variables that are set where the browser is on another machine.
const ELSEWHERE: [&str; 6] = [
    "SSH_CONNECTION",
    "SSH_TTY",
    "CODESPACES",
    "REMOTE_CONTAINERS",
    "WSL_DISTRO_NAME",
    "KUBERNETES_SERVICE_HOST",
];

/// Files that containers have.
const OF_CONTAINERS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Whether a browser that the user opens is on this machine, so that it can be redirected to 127.0.0.1.
pub(crate) fn is_here(environment: &Environment) -> bool {
    has_screen(environment) && !OF_CONTAINERS.iter().any(|file| Path::new(file).exists())
}

fn has_screen(environment: &Environment) -> bool {
    let has_screen = cfg!(any(windows, target_os = "macos"))
        || environment.first(&["DISPLAY", "WAYLAND_DISPLAY"]).is_some();
    has_screen && environment.first(&ELSEWHERE).is_none()
}

/// Opens a link in the default browser. The link is one argument, and no shell reads it. Whether a browser opens is not
/// known, so the link is shown as well.
pub(crate) fn open(environment: &Environment, link: &str) {
    let named = environment.get("BROWSER").unwrap_or_default();
    let named: Vec<&str> = if cfg!(windows) { vec![named] } else { named.split(':').collect() };
    let of_system: &[&str] = if cfg!(windows) {
        &["rundll32 url.dll,FileProtocolHandler"]
    } else if cfg!(target_os = "macos") {
        &["open"]
    } else {
        &["xdg-open"]
    };
    for words in named.iter().chain(of_system) {
        if start(words, link).is_some() {
            return;
        }
    }
}

/// Starts a program with its arguments and the link, in the place of `%s` or after them.
fn start(words: &str, link: &str) -> Option<()> {
    let mut words = words.split_whitespace();
    #[expect(clippy::disallowed_methods, reason = "it gets an empty stdin")]
    let mut command = Command::new(words.next()?);
    let (mut is_named, mut arguments) = (false, Vec::new());
    for word in words {
        is_named |= word.contains("%s");
        arguments.push(word.replace("%s", link));
    }
    if !is_named {
        arguments.push(link.to_owned());
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C in the terminal ends this program, not the browser with the user's other pages.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().ok().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_elsewhere_is_not_here() {
        let check = |pairs: &[(&str, &str)], expected: bool| {
            let environment = Environment::from_pairs(pairs.iter().copied());
            assert_eq!(has_screen(&environment), expected, "{pairs:?}");
        };
        check(&[], cfg!(any(windows, target_os = "macos")));
        check(&[("DISPLAY", ":0")], true);
        check(&[("WAYLAND_DISPLAY", "wayland-0")], true);
        for name in ELSEWHERE {
            check(&[("DISPLAY", ":0"), (name, "1")], false);
            check(&[("DISPLAY", ":0"), (name, "")], true);
        }
    }
}
