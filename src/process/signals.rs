//! Signals, with the dispositions inherited from the parent.

/// Makes waiting for child processes work even if the parent ignored SIGCHLD, which is inherited. Must be called
/// before the first child starts.
pub fn wait_for_children() {
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGCHLD;
        use std::sync::Arc;
        use std::sync::atomic::AtomicBool;
        // An empty handler is equivalent to the default, and children do not inherit it. Registered only if needed, because
        // a handler interrupts system calls.
        if is_ignored(SIGCHLD) != Some(false) {
            let _ = signal_hook::flag::register(SIGCHLD, Arc::<AtomicBool>::default());
        }
    }
}

/// On Windows, calls `end` for Ctrl-C, Ctrl-Break, and when the console is closed or the user logs off; elsewhere
/// for each SIGTERM, SIGINT, SIGQUIT and SIGHUP. All but SIGTERM stay ignored if the parent ignored them, as `nohup`
/// and shells do for background jobs.
pub fn watch_signals(end: impl Fn() + Send + 'static) {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let kept = [SIGHUP, SIGINT, SIGQUIT].into_iter();
        let kept = kept.filter(|signal| is_ignored(*signal) != Some(true));
        // Without handlers, signals end the process at once.
        let Ok(mut signals) = signal_hook::iterator::Signals::new(kept.chain([SIGTERM])) else {
            return;
        };
        std::thread::spawn(move || signals.forever().for_each(|_| end()));
    }
    #[cfg(windows)]
    let _ = ctrlc::set_handler(end);
    #[cfg(not(any(unix, windows)))]
    drop(end);
}

/// Whether a signal is ignored; `None` if unknown. The portable way, `sigaction`, is unsafe.
#[cfg(unix)]
fn is_ignored(signal: i32) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (signal - 1) & 1 == 1)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use signal_hook::consts::{SIGPIPE, SIGTERM};

    #[test]
    fn ignored_signals() {
        // The Rust runtime ignores SIGPIPE.
        assert_eq!(is_ignored(SIGPIPE), Some(true));
        assert_eq!(is_ignored(SIGTERM), Some(false));
    }
}
