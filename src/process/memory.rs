//! Protection of the process's memory.

/// Forbids core dumps and debuggers of the same user, because memory holds keys. Linux only; has no effect if an old kernel or a
/// sandbox refuses it.
pub fn protect_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
