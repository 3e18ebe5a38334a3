"""Roles assumed at a moto server, an STS that is not ours: `check.py PROBE PROXY`, from moto's virtual environment.

PROBE is the example `credentials-probe`, which prints what the credential chain finds as one line of JSON. PROXY is
sigv4-proxy, whose `login` exchanges MFA codes.
"""
import json
import os
import pty
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

PROBE, PROXY = sys.argv[1:]
ROLE = "arn:aws:iam::123456789012:role/Reader"
CONFIG = f"""
[profile direct]
role_arn = {ROLE}
source_profile = keys
role_session_name = direct

[profile chained]
role_arn = arn:aws:iam::210987654321:role/Writer
source_profile = direct
duration_seconds = 900

[profile web]
role_arn = {ROLE}
web_identity_token_file = ~/token

[profile mfa]
role_arn = {ROLE}
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/user

[profile session]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = secret
mfa_serial = arn:aws:iam::123456789012:mfa/user
duration_seconds = 1200
"""
CREDENTIALS = "[keys]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, server):
    for _ in range(300):
        if server.poll() is not None:
            sys.exit("moto did not start")
        try:
            return urllib.request.urlopen(url, timeout=1)
        except OSError:
            time.sleep(0.1)
    sys.exit("moto does not answer")


def main():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    moto = os.path.join(os.path.dirname(sys.executable), "moto_server")
    server = subprocess.Popen([moto, "-H", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(url + "/moto-api/", server)
        with tempfile.TemporaryDirectory() as home:
            os.mkdir(os.path.join(home, ".aws"))
            for path, text in [(".aws/config", CONFIG), (".aws/credentials", CREDENTIALS), ("token", "a.b.c")]:
                with open(os.path.join(home, path), "w") as file:
                    file.write(text)
            base = {"HOME": home, "AWS_ENDPOINT_URL_STS": url, "AWS_REGION": "eu-west-1"}
            web = {"AWS_WEB_IDENTITY_TOKEN_FILE": home + "/token", "AWS_ROLE_ARN": ROLE}
            for profile, more, source, lasts in [
                ("direct", {}, "assume-role", 3600),
                ("chained", {}, "assume-role", 900),
                ("web", {}, "web-identity", 3600),
                ("", web, "web-identity", 3600),
            ]:
                check(profile, {**base, **more}, source, lasts)
            for profile, source, lasts in [("mfa", "assume-role", 3600), ("session", "mfa-session", 1200)]:
                log_in(profile, base)
                check(profile, base, source, lasts)
    finally:
        server.terminate()
        server.wait()


def log_in(profile, environment):
    """Types a code where `login` asks for one. moto takes any code."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(PROXY, [PROXY, "login", "--profile", profile], environment)
    shown = b""
    while b"MFA code" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, b"424242\n")
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:
        pass  # how Linux reports the end of a terminal
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert b"424242" not in shown, "the code is not echoed"


def check(profile, environment, source, lasts):
    printed = subprocess.run([PROBE, profile, ""], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(printed.stdout)
    assert "error" not in found, found
    # For GetSessionToken moto has one access key, with another prefix.
    assert found["access_key_id"].startswith("ASIA") or source == "mfa-session", found
    assert found["session_token"] and found["secret_access_key"], found
    assert found["source"] == source, found
    left = found["expiry"] - time.time()
    assert lasts - 60 < left <= lasts + 5, left
    print(f"{profile or 'environment'}: {source}, {found['access_key_id'][:4]}…, {lasts} s")


main()
