"""A whole MCP session through a command, with a server that verifies signatures, and the ways in which it can end."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_EC2_METADATA_DISABLED": "true",
}
SIGNED_FOR = ["--region", "us-east-1", "--service-name", "execute-api"]
LIMIT = 20  # seconds


@dataclass(frozen=True)
class Session:
    server: Path  # the program `verifying-server`

    def run(self, command: list, home: Path, end: signal.Signals | None = None, to_all: bool = False, **options) -> int:
        """Initializes, calls a tool, ends the session and returns the exit code; negative: ended by that signal.

        `end` is the signal that ends it, sent to the command alone or, like Ctrl-C, `to_all` of its processes; `None`
        closes stdin.
        """
        with subprocess.Popen([self.server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            url = server.stdout.readline().strip()
            environment = {"PATH": os.environ["PATH"], "HOME": str(home)} | KEYS
            process = subprocess.Popen(
                [*command, url, *SIGNED_FOR],
                env=environment,
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                **options,
            )
            try:
                talk(process)
                if end is not None:
                    os.killpg(process.pid, end) if to_all else process.send_signal(end)
                    process.wait(LIMIT)  # stdin stays open: the signal alone has to do
                process.stdin.close()
                code = process.wait(LIMIT)
                wait_until(lambda: not is_alive(process.pid), "all its processes had ended")
                left = process.stdout.read()
                assert left == "", f"unexpected output: {left}"
            finally:
                if is_alive(process.pid):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(LIMIT)
                process.stdout.close()
                server.stdin.close()
            assert server.wait(LIMIT) == 0, server.stdout.read()
        return code


def talk(process: subprocess.Popen) -> None:
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "check", "version": "1"}}
    answer = ask(process, 1, "initialize", client)
    assert answer["serverInfo"]["name"] == "verifying-server", answer
    tell(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    tools = ask(process, 2, "tools/list", {})["tools"]
    assert "add" in [tool["name"] for tool in tools], tools
    answer = ask(process, 3, "tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}})
    assert answer["content"][0]["text"] == "5", answer


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def tell(process: subprocess.Popen, message: dict) -> None:
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def ask(process: subprocess.Popen, number: int, method: str, params: dict) -> dict:
    tell(process, {"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    answer = {}
    while answer.get("id") != number:
        line = process.stdout.readline()
        assert line, f"{method}: stdout ended"
        answer = json.loads(line)
    return answer["result"]


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)
