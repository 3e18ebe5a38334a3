//! The terminal of the process, and programs that are started without it.
//!
//! A program without a terminal needs a session of its own, which only the program itself can begin. So this program starts
//! itself with a mark, begins the session, and becomes the other program: that is what `pre_exec` would do, without unsafe code.

use std::ffi::OsString;
use std::io;
#[cfg(unix)]
use std::process::Command;

/// The first argument of this program when it is to become another one in a new session.
#[cfg(unix)]
const MARK: &str = "--become-in-new-session";

/// Whether the process has a terminal and is in the foreground there. A background process that reads it is stopped.
pub(crate) fn has_terminal() -> bool {
    #[cfg(unix)]
    {
        use rustix::process::getpgrp;
        use rustix::termios::tcgetpgrp;
        std::fs::File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
    }
    #[cfg(not(unix))]
    {
        use std::io::IsTerminal as _;
        io::stdin().is_terminal()
    }
}

/// A program that runs in a session of its own, without a terminal. `main` of this process must begin with
/// [`become_other_program`].
#[cfg(unix)]
pub(crate) fn in_new_session(program: &str) -> io::Result<Command> {
    // The link leads to this very file, even if an update has replaced it.
    let ours = if cfg!(target_os = "linux") {
        std::path::PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe()?
    };
    #[expect(clippy::disallowed_methods, reason = "the caller decides on its stdin")]
    let mut command = Command::new(ours);
    command.args([MARK, program]);
    Ok(command)
}

/// Becomes the program that `in_new_session` names, if this process was started for that. Returns if it was not, or with the
/// reason why the program cannot be run. To be called before anything else.
pub fn become_other_program(arguments: impl IntoIterator<Item = OsString>) -> Option<io::Error> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        let mut arguments = arguments.into_iter().skip(1);
        if arguments.next()? != MARK {
            return None;
        }
        let _ = rustix::process::setsid();
        #[expect(
            clippy::disallowed_methods,
            reason = "it keeps the stdin that this process was given"
        )]
        let mut program = Command::new(arguments.next()?);
        Some(program.args(arguments).exec())
    }
    #[cfg(not(unix))]
    {
        drop(arguments);
        None
    }
}
