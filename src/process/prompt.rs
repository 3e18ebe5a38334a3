//! Prompts on the terminal, whose replies are not shown. Stdin may belong to another program.

use std::io;
use zeroize::Zeroizing;

/// Asks for a line. `None`: the terminal ended, or `is_cancelled` became true.
///
/// # Errors
/// There is no terminal, or the process is in its background.
#[cfg(unix)]
pub(crate) fn ask(
    prompt: &str,
    is_cancelled: impl Fn() -> bool,
) -> io::Result<Option<Zeroizing<String>>> {
    use crate::process::has_terminal;
    use std::io::Write as _;
    if !has_terminal() {
        return Err(io::Error::other("no terminal"));
    }
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
    let quiet = quiet::Quiet::new(&terminal)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let line = quiet.read_line(is_cancelled);
    drop(quiet);
    (&terminal).write_all(b"\n")?;
    line
}

#[cfg(windows)]
pub(crate) fn ask(
    prompt: &str,
    _is_cancelled: impl Fn() -> bool,
) -> io::Result<Option<Zeroizing<String>>> {
    rpassword::prompt_password(prompt).map(|line| Some(Zeroizing::new(line)))
}

#[cfg(not(any(unix, windows)))]
pub(crate) fn ask(
    _prompt: &str,
    _is_cancelled: impl Fn() -> bool,
) -> io::Result<Option<Zeroizing<String>>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
mod quiet {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::{Errno, read};
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use rustix::time::Timespec;
    use std::fs::File;
    use std::io;
    use zeroize::Zeroizing;

    /// Maximum length of a reply in bytes. The terminal's own line editing has shorter limits.
    const MAX_BYTES: usize = 8 * 1024;

    /// Interval between checks for the cancellation.
    const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

    const END_OF_INPUT: u8 = 0x04;
    const BACKSPACE: [u8; 2] = [0x08, 0x7f];

    /// A terminal that shows nothing of what is typed. Dropping it restores the terminal.
    pub(crate) struct Quiet<'a> {
        terminal: &'a File,
        before: Termios,
    }

    impl<'a> Quiet<'a> {
        pub(crate) fn new(terminal: &'a File) -> io::Result<Quiet<'a>> {
            let before = tcgetattr(terminal)?;
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
            // Input from before the prompt is not a reply to it.
            tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
            Ok(Quiet { terminal, before })
        }

        pub(crate) fn read_line(
            &self,
            is_cancelled: impl Fn() -> bool,
        ) -> io::Result<Option<Zeroizing<String>>> {
            let mut line = Zeroizing::new(Vec::new());
            loop {
                if is_cancelled() {
                    return Ok(None);
                }
                match poll(&mut [PollFd::new(self.terminal, PollFlags::IN)], Some(&PAUSE)) {
                    Ok(0) | Err(Errno::INTR) => continue,
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
                let mut byte = [0];
                if read(self.terminal, &mut byte)? == 0 {
                    return Ok(None);
                }
                match byte[0] {
                    END_OF_INPUT if line.is_empty() => return Ok(None),
                    b'\n' | b'\r' | END_OF_INPUT => {
                        return Ok(Some(Zeroizing::new(
                            String::from_utf8_lossy(&line).into_owned(),
                        )));
                    }
                    erase if BACKSPACE.contains(&erase) => drop(line.pop()),
                    byte if line.len() < MAX_BYTES => line.push(byte),
                    _ => {}
                }
            }
        }
    }

    impl Drop for Quiet<'_> {
        fn drop(&mut self) {
            let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
        }
    }
}
