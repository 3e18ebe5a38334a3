//! Runs the command of a `credential_process`: with or without a terminal, for a limited time, with bounded output.

use crate::sync::{Receiver, channel, spawn};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::credentials::settings::Terminal;
use crate::process;
use crate::sync::cancel::Cancel;

/// The time limit of reading the output after the command has ended: a child process may keep the pipe open.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// So that no console window appears for a moment. (`CREATE_NO_WINDOW` of the Windows API.)
#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

pub(crate) const MAX_STDOUT_BYTES: usize = 1024 * 1024;
pub(crate) const KEPT_STDERR_BYTES: usize = 4096;

/// A command that has ended.
pub(crate) struct Ended {
    pub(crate) how: End,
    /// One byte more than [`MAX_STDOUT_BYTES`] if there was more; `None` if a child process keeps it open.
    pub(crate) stdout: Option<Vec<u8>>,
    /// The last [`KEPT_STDERR_BYTES`], unless the command succeeded or its stderr is the terminal.
    pub(crate) stderr: Vec<u8>,
}

pub(crate) enum End {
    Exited(ExitStatus),
    TimedOut,
    Cancelled,
}

/// Runs a command in a shell until it ends. At the limit, it is killed with its children.
pub(crate) fn run(
    command: &str,
    terminal: Terminal,
    limit: Duration,
    cancel: &Cancel,
) -> io::Result<Ended> {
    let mut running = Running::start(command, terminal)?;
    let outputs = running.read_in_background();
    let how = outputs.and_then(|outputs| Ok((running.wait(limit, cancel)?, outputs)));
    let (how, (stdout, stderr)) = match how {
        Ok(ended) => ended,
        Err(error) => {
            running.kill();
            return Err(error);
        }
    };
    let read = |output: &Output| output.recv_timeout(OUTPUT_TIMEOUT).ok();
    let stderr = match how {
        End::Exited(status) if status.success() => None,
        _ => stderr.as_ref().and_then(read),
    };
    Ok(Ended { how, stdout: read(&stdout), stderr: stderr.unwrap_or_default() })
}

struct Running {
    child: Child,
    /// It is in this process's own group, and so cannot be killed as a group.
    #[cfg(unix)]
    shares_group: bool,
    /// Ends with its children when this is dropped.
    #[cfg(windows)]
    job: Option<win32job::Job>,
}

impl Running {
    #[cfg(unix)]
    fn start(command: &str, terminal: Terminal) -> io::Result<Running> {
        use std::io::IsTerminal as _;
        use std::os::unix::process::CommandExt as _;

        let arguments = ["-c", command];
        #[expect(
            clippy::disallowed_methods,
            reason = "it gets our stdin only if that is a terminal"
        )]
        let mut shell = Command::new("sh");
        if terminal == Terminal::Kept && process::has_terminal() {
            with_pipes(shell.args(arguments));
            // Prompts go to the terminal itself, or to stderr, with replies from stdin.
            if io::stdin().is_terminal() {
                shell.stdin(Stdio::inherit());
            }
            if io::stderr().is_terminal() {
                shell.stderr(Stdio::inherit());
            }
            return Ok(Running { child: shell.spawn()?, shares_group: true });
        }
        if terminal != Terminal::Background {
            let without_terminal = process::in_new_session("sh");
            let started =
                without_terminal.and_then(|mut shell| with_pipes(shell.args(arguments)).spawn());
            // Without /proc, this program cannot be started again.
            if let Ok(child) = started {
                return Ok(Running { child, shares_group: false });
            }
        }
        let child = with_pipes(shell.args(arguments).process_group(0)).spawn()?;
        Ok(Running { child, shares_group: false })
    }

    #[cfg(windows)]
    fn start(command: &str, terminal: Terminal) -> io::Result<Running> {
        use std::os::windows::process::CommandExt as _;

        #[expect(
            clippy::disallowed_methods,
            reason = "it gets our stdin only if that is a terminal"
        )]
        let mut shell = Command::new("cmd.exe");
        // Without AutoRun commands of the registry; `/S` removes the outer quotes and nothing else.
        with_pipes(shell.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\"")));
        if terminal == Terminal::Kept && process::has_terminal() {
            shell.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        } else {
            shell.creation_flags(CREATE_NO_WINDOW);
        }
        let child = shell.spawn()?;
        Ok(Running { job: job_of(&child), child })
    }

    /// Reads stdout, and stderr unless that is the terminal.
    fn read_in_background(&mut self) -> io::Result<(Output, Option<Output>)> {
        let stdout = self.child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stdout = read_in_background(stdout, Keep::Beginning)?;
        let stderr = self.child.stderr.take();
        let stderr = stderr.map(|stderr| read_in_background(stderr, Keep::End)).transpose()?;
        Ok((stdout, stderr))
    }

    /// Waits until it ends, and kills it at the limit.
    fn wait(&mut self, limit: Duration, cancel: &Cancel) -> io::Result<End> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait()? {
                #[cfg(windows)]
                self.release_children();
                return Ok(End::Exited(status));
            }
            if cancel.sleep(pause) {
                self.kill();
                return Ok(End::Cancelled);
            }
            if started.elapsed() >= limit {
                self.kill();
                return Ok(End::TimedOut);
            }
            pause = (pause * 2).min(Duration::from_millis(25));
        }
    }

    /// Kills it with its children, as far as the system lists them.
    fn kill(&mut self) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let leader = Pid::from_child(&self.child);
            // Neither id can have been reused, since the command has not been waited for.
            kill_tree(leader);
            if !self.shares_group {
                let _ = kill_process_group(leader, Signal::KILL);
            }
        }
        #[cfg(windows)]
        drop(self.job.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A command that ended in time may leave an agent running.
    #[cfg(windows)]
    fn release_children(&mut self) {
        if let Some(job) = self.job.take() {
            let _ = job.set_extended_limit_info(&win32job::ExtendedLimitInfo::new());
        }
    }
}

/// A job that ends the child and its children when it is dropped. `None` where the system allows no job.
#[cfg(windows)]
fn job_of(child: &Child) -> Option<win32job::Job> {
    use std::os::windows::io::AsRawHandle as _;
    let mut limits = win32job::ExtendedLimitInfo::new();
    let job = win32job::Job::create_with_limit_info(limits.limit_kill_on_job_close()).ok()?;
    job.assign_process(child.as_raw_handle() as isize).ok()?;
    Some(job)
}

fn with_pipes(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Kills a process, then the children that it had, so that it cannot start others. Only Linux lists the children.
#[cfg(unix)]
fn kill_tree(process: rustix::process::Pid) {
    use rustix::process::{Pid, Signal, kill_process};
    let list = format!("/proc/{0}/task/{0}/children", process.as_raw_nonzero());
    let children = std::fs::read_to_string(list).unwrap_or_default();
    let _ = kill_process(process, Signal::KILL);
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.filter_map(Pid::from_raw).for_each(kill_tree);
}

#[derive(Clone, Copy)]
enum Keep {
    Beginning,
    End,
}

type Output = Receiver<Vec<u8>>;

/// Reads to the end on a separate thread, so that the command is never blocked. Keeps a bounded part.
fn read_in_background(mut pipe: impl Read + Send + 'static, keep: Keep) -> io::Result<Output> {
    let (sender, receiver) = channel();
    spawn("output", move || {
        let mut kept = VecDeque::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.extend(&buffer[..count]);
            match keep {
                // One byte more than allowed shows that there was too much.
                Keep::Beginning => kept.truncate(MAX_STDOUT_BYTES + 1),
                Keep::End => drop(kept.drain(..kept.len().saturating_sub(KEPT_STDERR_BYTES))),
            }
        }
        let _ = sender.send(kept.into());
    })
    .map_err(io::Error::other)?;
    Ok(receiver)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn run_within(limit: Duration, command: &str) -> Ended {
        run(command, Terminal::Background, limit, &Cancel::default()).unwrap()
    }

    #[test]
    fn output_is_bounded() {
        let finished = |command| run_within(Duration::from_secs(20), command);
        assert_eq!(finished("cat; echo done").stdout.unwrap(), b"done\n");
        assert_eq!(finished("echo problem >&2; exit 3").stderr, b"problem\n");
        let many = finished("head -c 3000000 /dev/zero");
        assert_eq!(many.stdout.unwrap().len(), MAX_STDOUT_BYTES + 1);
        let long = finished("head -c 99999 /dev/zero | tr '\\0' y >&2; echo end >&2; exit 1");
        assert_eq!(long.stderr.len(), KEPT_STDERR_BYTES);
        assert!(long.stderr.ends_with(b"end\n"));
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let mark = format!("86{:06}", std::process::id());
        let ended = run_within(
            Duration::from_millis(300),
            &format!("echo wait >&2; sleep {mark} & sleep {mark}"),
        );
        assert!(matches!(ended.how, End::TimedOut));
        assert_eq!(ended.stderr, b"wait\n");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let left = processes.filter(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.windows(mark.len()).any(|part| part == mark.as_bytes())
                && line.starts_with(b"sleep")
        });
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn cancelling_kills_it_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let limit = Duration::from_secs(60);
        let ended = run("sleep 60", Terminal::Background, limit, &cancel).unwrap();
        assert!(matches!(ended.how, End::Cancelled));
    }
}
