//! The real program with `--listen`, and clients that connect to it.

#[cfg(unix)]
use crate::harness::program::Ended;
use crate::harness::program::{Launch, Program};
use crate::support::HttpClient;

/// A program that listens on loopback. It is killed when it is dropped.
pub(crate) struct Listening {
    program: Option<Program>,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

impl Listening {
    /// On a free port, with a token of its own making.
    pub(crate) fn start(launch: Launch) -> Listening {
        let mut program = launch.arg("--listen").arg("127.0.0.1:0").start();
        let (mut url, mut token) = (None, None);
        program.logged(|line| {
            url = url.take().or_else(|| url_in(line));
            token = token.take().or_else(|| token_in(line));
            (url.is_some() && token.is_some()).then_some(())
        });
        Listening { program: Some(program), url: url.unwrap_or_default(), token }
    }

    /// On a free port, with the token in this file.
    pub(crate) fn with_token_file(launch: Launch, path: &str) -> Listening {
        let launch = launch.arg("--listen-token-file").arg(path);
        let mut program = launch.arg("--listen").arg("127.0.0.1:0").start();
        let url = program.logged(url_in);
        let token = std::fs::read_to_string(path).expect("the file can be read");
        Listening { program: Some(program), url, token: Some(token.trim().to_owned()) }
    }

    /// On a free port, without a token.
    pub(crate) fn open(launch: Launch) -> Listening {
        Listening::open_at(launch, "127.0.0.1:0")
    }

    /// At this address, without a token.
    pub(crate) fn open_at(launch: Launch, address: &str) -> Listening {
        let mut program = launch.arg("--listen").arg(address).arg("--no-listen-token").start();
        let url = program.logged(url_in);
        Listening { program: Some(program), url, token: None }
    }

    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(&self.url, self.token.as_deref())
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").split('/').next().unwrap_or_default()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn pid(&self) -> u32 {
        self.program.as_ref().expect("it has not ended").pid()
    }

    pub(crate) fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("it has not ended")
    }

    /// Sends SIGTERM and waits for the end.
    #[cfg(unix)]
    pub(crate) fn end(mut self) -> Ended {
        let program = self.program.take().expect("it has not ended");
        program.signal("-TERM");
        program.wait()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            program.kill();
        }
    }
}

fn url_in(line: &str) -> Option<String> {
    Some(line.split_once("listening on ")?.1.trim_end().to_owned())
}

/// The content of the file that the log names.
fn token_in(line: &str) -> Option<String> {
    let (_, path) = line.split_once("with the token in ")?;
    Some(std::fs::read_to_string(path.trim_end()).ok()?.trim().to_owned())
}
