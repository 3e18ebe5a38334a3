//! Protection of the process's memory, which holds keys.

/// Forbids core dumps and debuggers of the same user, since memory holds keys. Linux only; an old kernel or a sandbox may
/// refuse.
pub fn protect_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
