#!/usr/bin/env python3
"""Draws docs/doctor.svg and docs/doctor-fails.svg from two runs of `sigv4-proxy doctor` on a terminal.

The runs take place in a network namespace in which the names of AWS lead to the test server and to two small fakes, so
that the pictures show what a user sees. Needs Linux with user namespaces, iproute2 and openssl. Arguments: the program
and the verifying server.
"""

import fcntl
import json
import os
import pty
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from hashlib import sha1
from html import escape
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "docs"
COLUMNS = 96
SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")

SERVER = "abc123.execute-api.us-east-1.amazonaws.com"
STS = "sts.us-east-1.amazonaws.com"
PORTAL = "portal.sso.us-east-1.amazonaws.com"
# Addresses for documentation (RFC 5737).
ADDRESSES = {SERVER: "203.0.113.10", STS: "203.0.113.11", PORTAL: "203.0.113.12"}

COMMAND = ["doctor", f"https://{SERVER}/prod/mcp"]
CONFIG = """\
[profile work]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Developer
region = us-east-1

[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.awsapps.com/start
sso_registration_scopes = sso:account:access
"""
IDENTITY = """\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>\
<Arn>arn:aws:sts::123456789012:assumed-role/Developer/ann</Arn>\
<UserId>AROAEXAMPLE:ann</UserId><Account>123456789012</Account>\
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


def main() -> None:
    program, server = (str(Path(path).resolve()) for path in sys.argv[1:3])
    if len(sys.argv) == 3:
        namespaces = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
        os.execvp("unshare", [*namespaces, sys.executable, "-B", __file__, program, server, "inside"])
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), server)
        stage.sign_in(lasts=8 * 3600)
        passes = stage.run(program, fails=False)
        stage.sign_in(lasts=-3600)
        fails = stage.run(program, fails=True)
        stage.end()
    (DOCS / "doctor.svg").write_text(picture(passes, "sigv4-proxy doctor: all checks pass"), encoding="utf-8")
    title = "sigv4-proxy doctor: the sign-in has expired; the report names the command that renews it"
    (DOCS / "doctor-fails.svg").write_text(picture(fails, title), encoding="utf-8")


class Stage:
    """The network and the home folder of the runs."""

    def __init__(self, folder: Path, server: str) -> None:
        self.home = folder / "home"
        (self.home / ".aws/sso/cache").mkdir(parents=True)
        (self.home / ".aws/config").write_text(CONFIG, encoding="utf-8")
        run("ip", "link", "set", "lo", "up")
        for address in ADDRESSES.values():
            run("ip", "address", "add", f"{address}/32", "dev", "lo")
        hosts = folder / "hosts"
        hosts.write_text("".join(f"{address} {name}\n" for name, address in ADDRESSES.items()), encoding="utf-8")
        run("mount", "--bind", str(hosts), "/etc/hosts")
        authority, context = certificates(folder)
        run("mount", "--bind", str(authority), str(SYSTEM_AUTHORITIES))
        self.server = subprocess.Popen([server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = int(self.server.stdout.readline().rsplit(":", 1)[1].split("/")[0])
        serve(SERVER, context, lambda stream: relay(stream, port))
        serve(STS, context, lambda stream: respond(stream, IDENTITY, "text/xml"))
        until = int((time.time() + 3600) * 1000)
        keys = {
            "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
            "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "sessionToken": "session-token-of-the-example",
            "expiration": until,
        }
        serve(PORTAL, context, lambda stream: respond(stream, json.dumps({"roleCredentials": keys}), "application/json"))

    def sign_in(self, lasts: int) -> None:
        """Writes the token file that a sign-in leaves, which lasts for `lasts` seconds from now."""
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasts))
        token = {"startUrl": "https://corp.awsapps.com/start", "region": "us-east-1"}
        token |= {"accessToken": "token-of-the-example", "expiresAt": expires}
        path = self.home / ".aws/sso/cache" / f"{sha1(b'corp').hexdigest()}.json"
        path.write_text(json.dumps(token), encoding="utf-8")

    def run(self, program: str, *, fails: bool) -> str:
        """The screen after the doctor has run on a terminal."""
        pid, terminal = pty.fork()
        if pid == 0:
            environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "TERM": "xterm-256color"}
            environment |= {"AWS_PROFILE": "work"}
            time.sleep(0.1)  # until the terminal has its size
            os.execve(program, ["sigv4-proxy", *COMMAND], environment)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        screen = b""
        while True:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            screen += chunk
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        text = screen.decode().replace("\r\n", "\n").replace(str(self.home), "/home/ann")
        if (code != 0) != fails:
            sys.exit(f"exit code {code}:\n{text}")
        return text

    def end(self) -> None:
        self.server.communicate()


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority that the runs trust, and what its certificate serves."""
    authority, key = folder / "authority.pem", folder / "authority.key"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Example CA",
        "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", str(key), "-out", str(authority))  # fmt: skip
    request, own, chain = folder / "request.pem", folder / "own.key", folder / "chain.pem"
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={SERVER}", "-keyout", str(own),
        "-out", str(request))  # fmt: skip
    extensions = folder / "extensions"
    names = ",".join(f"DNS:{name}" for name in ADDRESSES)
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n", encoding="utf-8")
    run("openssl", "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(key), "-days", "30",
        "-CAcreateserial", "-extfile", str(extensions), "-out", str(chain))  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, own)
    return authority, context


def serve(name: str, context: ssl.SSLContext, each) -> None:
    listener = socket.create_server((ADDRESSES[name], 443))

    def handle(connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(connection, server_side=True) as stream:
                each(stream)
        except OSError:
            pass  # the program has seen enough

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def relay(stream: ssl.SSLSocket, port: int) -> None:
    """Passes bytes between the TLS connection and the server at `port`."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def back() -> None:
            try:
                while chunk := server.recv(65536):
                    stream.sendall(chunk)
                stream.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        threading.Thread(target=back, daemon=True).start()
        while chunk := stream.recv(65536):
            server.sendall(chunk)


def respond(stream: ssl.SSLSocket, body: str, content_type: str) -> None:
    """Gives every request the same response."""
    received = b""
    while chunk := stream.recv(65536):
        received += chunk
        while b"\r\n\r\n" in received:
            head, _, rest = received.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            length = int(length[1]) if length else 0
            if len(rest) < length:
                break
            received = rest[length:]
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
            stream.sendall((head + body).encode())


class Span(NamedTuple):
    text: str
    styles: frozenset[str]


# Select Graphic Rendition (ECMA-48), as far as the program uses it.
STYLES = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow", "36": "cyan"}


def spans(line: str) -> list[Span]:
    found, styles = [], frozenset()
    for at, part in enumerate(re.split(r"\x1b\[([0-9;]*)m", line)):
        if at % 2 == 0:
            if part:
                found.append(Span(part, styles))
            continue
        for code in part.split(";"):
            styles = frozenset() if code in ("", "0") else styles | {STYLES[code]}
    # A renderer may draw several spaces as one.
    return [Span(part, span.styles) for span in found for part in re.split("( {2,})", span.text) if part]


# Widths are given, so that columns stand where they stand on a terminal, whatever the font.
SIZE, WIDTH, HEIGHT, MARGIN = 13, 7.8, 18, 16

CSS = """\
    .window { fill: #f6f8fa; stroke: #d0d7de }
    text { fill: #1f2328; white-space: pre }
    .green { fill: #1a7f37 } .yellow { fill: #8a5a00 } .red { fill: #cf222e } .cyan { fill: #0a6b83 }
    .dim { fill: #59636e } .bold { font-weight: 700 }
    @media (prefers-color-scheme: dark) {
      .window { fill: #0d1117; stroke: #3d444d } text { fill: #f0f6fc }
      .green { fill: #3fb950 } .yellow { fill: #d29922 } .red { fill: #f85149 } .cyan { fill: #39c5cf }
      .dim { fill: #9198a1 }
    }"""


def picture(screen: str, title: str) -> str:
    command = f"\x1b[2m$\x1b[0m sigv4-proxy {' '.join(COMMAND)}"
    lines = [command, *screen.rstrip("\n").split("\n")]
    height = MARGIN * 2 + HEIGHT * len(lines)
    width = MARGIN * 2 + WIDTH * COLUMNS
    rows = []
    for row, line in enumerate(lines):
        column, y = 0, MARGIN + HEIGHT * row + SIZE
        for span in spans(line):
            text = span.text.strip(" ")
            if text:
                x = MARGIN + WIDTH * (column + len(span.text) - len(span.text.lstrip(" ")))
                styles = f' class="{" ".join(sorted(span.styles))}"' if span.styles else ""
                length = f' textLength="{WIDTH * len(text):.1f}"'
                rows.append(f'  <text x="{x:.1f}" y="{y}"{length}{styles}>{escape(text, quote=False)}</text>\n')
            column += len(span.text)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-size="{SIZE}" \
font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace">
  <title>{escape(title)}</title>
  <style>
{CSS}
  </style>
  <rect class="window" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>
{"".join(rows)}</svg>
"""


if __name__ == "__main__":
    main()
