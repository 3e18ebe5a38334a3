//! Protection of the memory that holds keys.

use crate::harness::program::{Launch, PATIENCE};
use crate::support::{Server, ServerOptions};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Other processes of the same user cannot read its memory, and it leaves no core dump.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_not_for_others() {
    let server = Server::start(ServerOptions::default());
    let mut program = Launch::to(&server.url("/mcp")).start();
    program.ask(PING);
    server.wait_for(PATIENCE, |requests| requests.len() == 1);
    let environ = format!("/proc/{}/environ", program.pid());
    let metadata = std::fs::metadata(&environ).unwrap();
    // The /proc entries of a process that is not dumpable belong to root.
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 0);
}
