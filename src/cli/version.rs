//! The text of `--version`.

/// The commit that was built, if `.github/release/commit.rs` found it.
const COMMIT: Option<&str> = option_env!("SIGV4_PROXY_COMMIT");

const LIBC: &str = if cfg!(target_env = "musl") {
    "musl"
} else if cfg!(all(target_os = "linux", target_env = "gnu")) {
    "glibc"
} else if cfg!(all(windows, target_env = "gnu")) {
    "MinGW"
} else if cfg!(windows) {
    "Microsoft C runtime"
} else {
    "libc of the system"
};

/// Version, commit, target and libc, for reports.
pub(crate) fn text() -> String {
    let commit = COMMIT.map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    format!("sigv4-proxy {version} ({commit}{}, {LIBC})\n", env!("SIGV4_PROXY_TARGET"))
}
