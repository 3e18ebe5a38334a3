//! The number of files and connections that the process may have open.

/// Enough for every connection that a listener accepts, each with one to the server. macOS allows no more.
#[cfg(unix)]
const WANTED: u64 = 10_240;

/// Raises the soft limit, which many systems set to 1024, as far as the hard limit permits. Without success the limit stays.
pub fn raise_open_files_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
        if current.is_some_and(|current| current < wanted) {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        }
    }
}
