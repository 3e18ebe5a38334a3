//! The terminal of the process, and programs that are started without it.
//!
//! A program without a terminal needs a session of its own, which only the process itself can begin. So this program starts
//! itself under another name, begins the session, and becomes the other program: what `pre_exec` would do, without unsafe code.

use std::ffi::OsString;
use std::io;
#[cfg(unix)]
use std::process::Command;

/// The name (`argv[0]`) that this program has when it is to become another one. An argument would let anyone who may choose
/// arguments choose a program.
#[cfg(unix)]
const NAME: &str = "sigv4-proxy: beginning a session";

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
    use std::os::unix::process::CommandExt as _;
    // The link leads to this very file, even if an update has replaced it.
    let ours = if cfg!(target_os = "linux") {
        std::path::PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe()?
    };
    #[expect(clippy::disallowed_methods, reason = "the caller decides on its stdin")]
    let mut command = Command::new(ours);
    command.arg0(NAME).arg(program);
    Ok(command)
}

/// Becomes the program that `in_new_session` names, if this process was started for that. Returns if it was not, or with the
/// reason why the program cannot be run. To be called before anything else.
pub fn become_other_program(arguments: impl IntoIterator<Item = OsString>) -> Option<io::Error> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        let mut arguments = arguments.into_iter();
        if arguments.next()? != NAME {
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
