//! What `make static` promises of its binary, tried: in a root folder that holds nothing but the binary, as a user of no
//! name, without a home, and with no folder it could write to.
//!
//! Arguments: the binary, and for another architecture the emulator that runs it. Needs root and its `chroot`, or
//! `unshare` and user namespaces that are open to everybody.

#![allow(clippy::print_stdout, reason = "the checks are told as they are made")]
#![allow(clippy::unwrap_used, reason = "a check fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "every child gets a stdin of its own")]

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use support::tls::{Authority, TlsServer, connect_proxy, localhost};
use support::{HttpClient, Server, ServerOptions, Verdict};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"check","version":"1"}}}"#;

/// For `FROM scratch` and one-line installs. The goal is 3.5 MB: docs/benchmarks.md explains the rest.
const MOST_BYTES: usize = 3_500_000;

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
];

/// `e_machine` of ELF.
const AARCH64: usize = 183;

struct Root {
    path: PathBuf,
    emulator: Option<String>,
}

impl Root {
    fn new(binary: &str, emulator: Option<&str>) -> Root {
        let path = std::env::temp_dir().join(format!("sigv4-proxy-root-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let copy = |from: &str, to: &str| {
            fs::copy(from, path.join(to)).unwrap();
            fs::set_permissions(path.join(to), PermissionsExt::from_mode(0o555)).unwrap();
        };
        copy(binary, "sigv4-proxy");
        if let Some(emulator) = emulator {
            copy(emulator, "emulator");
        }
        Root { path, emulator: emulator.map(|_| "/emulator".to_owned()) }
    }

    /// Runs the binary in there as user 1000, without any variable but these.
    fn run(&self, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
        let mut child = self.start(arguments, environment);
        // If it ends without reading stdin, its output shows why.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
        fs::set_permissions(&self.path, PermissionsExt::from_mode(0o555)).unwrap();
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = if is_root {
            let mut command = Command::new("chroot");
            command.arg("--userspec=1000:1000").arg(&self.path);
            command
        } else {
            let mut root = OsString::from("--root=");
            root.push(&self.path);
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(root);
            command
        };
        command.args(&self.emulator).arg("/sigv4-proxy").args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Puts a file there that user 1000 can read.
    fn add(&self, name: &str, content: &[u8]) {
        fs::set_permissions(&self.path, PermissionsExt::from_mode(0o755)).unwrap();
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o444)).unwrap();
    }

    /// Sends `initialize` to this server, and returns the response.
    fn ask(&self, url: &str, more: &[&str]) -> Value {
        let mut arguments =
            vec![url, "--region=us-east-1", "--service-name=execute-api", "--retries=0"];
        arguments.extend(more);
        let output = self.run(&arguments, &KEYS, &format!("{INITIALIZE}\n"));
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.path, PermissionsExt::from_mode(0o755));
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let binary = arguments[0].as_str();
    let emulator = arguments.get(1).map(String::as_str);

    let elf = fs::read(binary).unwrap();
    assert!(interpreter(&elf).is_none(), "it names an interpreter: {:?}", interpreter(&elf));
    told("statically linked: no interpreter");

    // An empty store would refuse strangers as well, so that the roots are there is looked at in the file.
    let root = b"Amazon Root CA 1";
    assert!(elf.windows(root.len()).any(|part| part == root), "Mozilla's roots are not in it");
    told("Mozilla's roots are in it, Amazon's among them");

    match (elf.len(), architecture(&elf)) {
        (bytes @ ..=MOST_BYTES, _) => told(&format!("{bytes} bytes, of {MOST_BYTES} allowed")),
        // The goal is for the architecture that most images have.
        (bytes, AARCH64) => told(&format!("{bytes} bytes")),
        (bytes, _) => panic!("{bytes} bytes: more than {MOST_BYTES}"),
    }

    let root = Root::new(binary, emulator);
    let output = root.run(&["--version"], &[], "");
    assert!(output.status.success(), "{output:?}");
    let version = concat!("sigv4-proxy ", env!("CARGO_PKG_VERSION"), " (");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with(version) && shown.ends_with("-musl, musl)\n"), "{shown}");
    told("starts in an empty root, as user 1000, with nothing to write to");

    let server = Server::start(ServerOptions::default());
    let answer = root.ask(&server.url("/mcp"), &[]);
    assert_eq!(answer["result"]["serverInfo"]["name"], "verifying-server", "{answer}");
    assert!(server.requests().iter().all(|request| request.verdict == Verdict::Verified));
    told("relays a signed request");

    listens(&root, &server);

    let authority = Authority::new("check", &std::env::temp_dir());
    let tls = TlsServer::start(&authority.sign(&localhost()));
    // Without /etc/hosts, a proxy maps the certificate's name to the address.
    let (proxy, _) = connect_proxy(tls.port);
    let answer = through(&root, proxy, &[]);
    let message = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("UnknownIssuer"), "{answer}");
    told("TLS: an authority that is not among the built-in roots is refused");
    root.add("ca.pem", &fs::read(&authority.pem).unwrap());
    let answer = through(&root, proxy, &["--ca-bundle=/ca.pem"]);
    assert_eq!(answer["result"]["serverInfo"]["name"], "over TLS", "{answer}");
    told("TLS with --ca-bundle: a whole request");

    // Without that file musl queries this machine, where no resolver listens in a container.
    let patience = ["--connect-timeout=2s", "--drain-timeout=30s"];
    let answer = root.ask("https://no-such-host.invalid/mcp", &patience);
    let message = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
    let is_told = message.contains("no such host") || message.contains("took longer than 2 s");
    assert!(is_told, "{answer}");
    told("no /etc/resolv.conf: an error for the request, and no crash");

    let output = root.run(
        &["https://abc.execute-api.us-east-1.amazonaws.com/"],
        &[("AWS_EC2_METADATA_DISABLED", "true")],
        "",
    );
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && log.contains("home directory is unknown"), "{output:?}");
    told("no home and no credentials: told, and no crash");
    let _ = fs::remove_file(&authority.pem);
}

/// As a sidecar: a token from a file, a probe by the program itself, a signed session, and an end in order.
fn listens(root: &Root, server: &Server) {
    const TOKEN: &str = "a-token-of-the-check-0123456789";
    root.add("token", TOKEN.as_bytes());
    let url = server.url("/mcp");
    let arguments = [url.as_str(), "--region=us-east-1", "--service-name=execute-api"];
    let listen = ["--listen=127.0.0.1:0", "--listen-token-file=/token"];
    let mut sidecar = root.start(&[&arguments[..], &listen].concat(), &KEYS);
    let mut log = BufReader::new(sidecar.stderr.take().unwrap());
    let mut line = String::new();
    let own = loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the listener has ended");
        if let Some((_, own)) = line.split_once("listening on ") {
            break own.trim_end().to_owned();
        }
    };
    let address = own.trim_start_matches("http://").trim_end_matches("/mcp");
    let probe = root.run(&["doctor", "--listen", address, "--listen-token-file=/token"], &[], "");
    let found = String::from_utf8_lossy(&probe.stdout).into_owned();
    assert!(probe.status.success() && found.contains("the token: accepted"), "{found}");
    let mut client = HttpClient::new(&own, Some(TOKEN));
    client.initialize();
    assert_eq!(client.call(1, "add", &serde_json::json!({"a": 2, "b": 3})), "5");
    let pid = sidecar.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(sidecar.wait().unwrap().success());
    told("listens as a sidecar: a token from a file, a probe, a signed session, an end in order");
}

fn told(what: &str) {
    println!("  ok  {what}");
}

/// The server of that certificate, by name.
fn through(root: &Root, proxy: u16, more: &[&str]) -> Value {
    let mut arguments = vec![
        "https://mcp.example/mcp",
        "--region=us-east-1",
        "--service-name=execute-api",
        "--retries=0",
    ];
    arguments.extend(more);
    let proxy = format!("http://127.0.0.1:{proxy}");
    let variables = [KEYS[0], KEYS[1], ("HTTPS_PROXY", proxy.as_str())];
    let output = root.run(&arguments, &variables, &format!("{INITIALIZE}\n"));
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The interpreter in the program header `PT_INTERP` of a 64-bit little-endian ELF file.
fn interpreter(elf: &[u8]) -> Option<String> {
    assert_eq!(elf[..6], [0x7f, b'E', b'L', b'F', 2, 1], "a 64-bit little-endian ELF file");
    let number = |at, bytes| number(elf, at, bytes);
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).map(|at| table + at * size).find(|header| number(*header, 4) == 3).map(|header| {
        let (start, length) = (number(header + 8, 8), number(header + 32, 8));
        String::from_utf8_lossy(&elf[start..start + length]).into_owned()
    })
}

fn architecture(elf: &[u8]) -> usize {
    number(elf, 18, 2)
}

/// Little-endian.
fn number(elf: &[u8], at: usize, bytes: usize) -> usize {
    elf[at..at + bytes].iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte))
}
