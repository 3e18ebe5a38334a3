//! The terminal of the process, and programs started without it.
//!
//! A program without a terminal needs a session of its own, which only the new process can create. So this program starts
//! itself under another name, creates the session, and executes the other program. `pre_exec` would be shorter but is unsafe.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
#[cfg(unix)]
use std::process::Command;

/// Name (`argv[0]`) under which this program executes another one. With an argument instead, anyone who may choose arguments
/// could choose a program.
#[cfg(unix)]
const NAME: &str = "sigv4-proxy: beginning a session";

/// Columns of a terminal that does not report them.
const DEFAULT_COLUMNS: usize = 80;

/// Width of the terminal on stdout; `None` if stdout is not a terminal.
pub fn terminal_columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    #[cfg(unix)]
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col.into());
    #[cfg(not(unix))]
    let columns = 0;
    Some(if columns == 0 { DEFAULT_COLUMNS } else { columns })
}

/// Whether the process has a terminal and is in its foreground: reading from the background would stop the process.
pub(crate) fn has_terminal() -> bool {
    #[cfg(unix)]
    {
        use rustix::process::getpgrp;
        use rustix::termios::tcgetpgrp;
        std::fs::File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
    }
    #[cfg(not(unix))]
    {
        io::stdin().is_terminal()
    }
}

/// The command that runs a program in a new session, without a terminal. `main` of this process must begin with
/// [`become_other_program`].
#[cfg(unix)]
pub(crate) fn in_new_session(program: &str) -> io::Result<Command> {
    use std::os::unix::process::CommandExt as _;
    // The link leads to the running executable, even if an update has replaced the file.
    let executable = if cfg!(target_os = "linux") {
        std::path::PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe()?
    };
    #[expect(clippy::disallowed_methods, reason = "the caller decides on its stdin")]
    let mut command = Command::new(executable);
    command.arg0(NAME).arg(program);
    Ok(command)
}

/// Executes the program named by `in_new_session`, if this process was started for that. Returns `None` if it was not, or the
/// error of executing it, with its name. Must be called before anything else.
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
        let error = program.args(arguments).exec();
        Some(io::Error::new(error.kind(), format!("{}: {error}", program.get_program().display())))
    }
    #[cfg(not(unix))]
    {
        drop(arguments);
        None
    }
}
