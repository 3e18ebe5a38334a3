"""Uses every package as its users do: in an empty folder with a space in its name, with a fresh home.

Arguments: the folder of binaries, the folder of tools, the program `verifying-server`.
"""

import filecmp
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
from pathlib import Path

import test_packer
from session import Session

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
SHOWN = f"sigv4-proxy {VERSION}"
MACHINE = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}[platform.machine()]
CPU = {"x86_64": "x64", "aarch64": "arm64"}[MACHINE]
BUILT = {"CARGO_TARGET_DIR": str(ROOT / "target")}  # the dependencies are built already
SIGNALS = (None, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

binaries, tools, server = (Path(argument).resolve() for argument in sys.argv[1:4])
session = Session(server)
scratch = Path(tempfile.mkdtemp(prefix="sigv4-proxy packages "))
packed = scratch / "packed"
skipped: list[str] = []


def ok(what: str) -> None:
    print(f"  ok  {what}", flush=True)


def skip(what: str, why: str) -> None:
    skipped.append(what)
    print(f"skip  {what}: {why}", flush=True)


def fresh(name: str) -> tuple[Path, Path]:
    """An empty folder, and an empty home."""
    folder, home = scratch / name, scratch / f"{name} home"
    folder.mkdir()
    home.mkdir()
    return folder, home


def run(*command, home: Path | None = None, code: int = 0, **options) -> str:
    """What a command writes to stdout and stderr; it has to end with that exit code."""
    environment = os.environ | ({"HOME": str(home)} if home else {}) | options.pop("variables", {})
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        **options,
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def starts(output: str) -> bool:
    return any(line.startswith(SHOWN) for line in output.splitlines())


def one(pattern: str) -> Path:
    (found,) = packed.glob(pattern)
    return found


def packing() -> None:
    for output in packed, scratch / "again":
        run(sys.executable, "-B", ROOT / ".github/release/pack.py", binaries, output)
    for path in packed.rglob("*"):
        same = scratch / "again" / path.relative_to(packed)
        assert path.is_dir() or filecmp.cmp(path, same, shallow=False), f"{path.name} differs"
    ok("packed twice, the same bytes")
    run("sha256sum", "--check", "SHA256SUMS", cwd=packed)
    ok("checksums")


def archive() -> Path:
    """Returns the program, as unpacked from the archive."""
    folder, home = fresh("archive")
    path = one(f"sigv4-proxy-{MACHINE}-unknown-linux-*.tar.gz")
    run("tar", "-xzf", path, cwd=folder)
    (unpacked,) = folder.iterdir()
    program = unpacked / "sigv4-proxy"
    assert starts(run(program, "--version", home=home))
    assert session.run([program], home) == 0
    assert {file.name for file in unpacked.rglob("*")} >= {"LICENSE", "THIRD-PARTY.txt", "README.md", "sigv4-proxy.1", "_sigv4-proxy"}
    run("bash", "-n", unpacked / "completions/sigv4-proxy.bash")
    ok(f"{path.name}: unpacked, a whole session")
    return program


def wheel(tool: Path) -> None:
    path = one(f"pypi/*linux*{MACHINE}.whl")
    run(tool / "twine", "check", "--strict", *packed.glob("pypi/*.whl"))
    ok("wheels: twine check")
    folder, home = fresh("pip")
    run(sys.executable, "-m", "venv", folder / "venv", home=home)
    run(folder / "venv/bin/pip", "install", "--no-index", path, home=home)
    assert starts(run(folder / "venv/bin/sigv4-proxy", "--version", home=home))
    assert session.run([folder / "venv/bin/sigv4-proxy"], home) == 0
    run(folder / "venv/bin/pip", "uninstall", "--yes", "sigv4-proxy", home=home)
    assert not (folder / "venv/bin/sigv4-proxy").exists()
    ok("pip install, a whole session, pip uninstall")
    folder, home = fresh("uvx")
    uvx = [tool / "uvx", "--offline", "--from", path, "sigv4-proxy"]
    assert starts(run(*uvx, "--version", home=home, cwd=folder))
    for end in SIGNALS:
        assert session.run(uvx, home, end, cwd=folder) == 0, end
    ok("uvx, whole sessions: end of stdin, SIGTERM, SIGINT, SIGHUP")


def npm(program: Path) -> None:
    folder, home = fresh("npm")
    tarballs = [one(f"npm/sigv4-proxy-{VERSION}.tgz"), one(f"npm/*-linux-{CPU}-{VERSION}.tgz")]
    install = ["npm", "install", "--offline", "--no-audit", "--no-fund"]
    run(*install, *tarballs, home=home, cwd=folder)
    launcher = folder / "node_modules/.bin/sigv4-proxy"
    npx = ["npx", "--offline", "sigv4-proxy"]
    assert starts(run(*npx, "--version", home=home, cwd=folder))
    assert session.run(npx, home, cwd=folder) == 0
    ok("npm install, npx, a whole session")
    # npx does not pass on a signal; it ends, and the program when its stdin does.
    assert session.run(npx, home, signal.SIGTERM, cwd=folder) == -signal.SIGTERM
    session.run(npx, home, signal.SIGINT, to_all=True, cwd=folder)
    ok("npx: SIGTERM and Ctrl-C leave no process behind")
    for end in SIGNALS:
        assert (code := session.run([launcher], home, end)) == session.run([program], home, end), (end, code)
    for arguments, code in (["--no-such-flag"], 2), (["doctor"], 1):
        run(program, *arguments, home=home, code=code)
        run(launcher, *arguments, home=home, code=code)
    ok("the launcher ends as the program does: end of stdin, SIGTERM, SIGINT, SIGHUP, exit codes")
    killed_child_is_seen(launcher, home)
    for version in "18", "22", "24":
        node = node_of(version)
        if node:
            assert session.run([node, launcher], home) == 0
            assert session.run([node, launcher], home, signal.SIGTERM) == 0
            ok(f"Node.js {run(node, '--version').strip()}: a whole session, SIGTERM")

    folder, home = fresh("npm without optional")
    run(*install, "--omit=optional", tarballs[0], home=home, cwd=folder)
    output = run("npx", "--offline", "sigv4-proxy", "--version", home=home, cwd=folder, code=1)
    assert "is not installed" in output and "--omit=optional" in output and "    at " not in output, output
    ok("npm install --omit=optional: an error that says what to do")
    folder, home = fresh("npm with another program")
    run(*install, *tarballs, home=home, cwd=folder)
    (binary,) = folder.glob("node_modules/@*/*/bin/sigv4-proxy")
    binary.write_text("#!/bin/sh\ntrap 'exit 7' TERM\nkill -TERM $PPID\nsleep 5 & wait\n")
    for _ in range(10):
        run(folder / "node_modules/.bin/sigv4-proxy", home=home, code=7)
    ok("a signal that comes while the launcher starts the program is forwarded")
    binary.chmod(0o644)
    output = run(folder / "node_modules/.bin/sigv4-proxy", home=home, code=126)
    assert "cannot start" in output and "reinstall" in output, output
    ok("a program that cannot start: an error that says what to do, 126")


def killed_child_is_seen(launcher: Path, home: Path) -> None:
    process = subprocess.Popen(
        [launcher, "http://127.0.0.1:9/", "--region=us-east-1", "--service-name=execute-api"],
        env=os.environ | {"HOME": str(home)},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():
        assert process.poll() is None
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    ok("the launcher is ended by the signal that ended the program")


def node_of(version: str) -> Path | None:
    """Another Node.js, from npm."""
    folder = tools / f"node-{version}"
    node = folder / "node_modules/node/bin/node"
    if not node.exists():
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, f"node@{version}"]
        try:
            run(*install)
        except AssertionError as error:
            skip(f"Node.js {version}", str(error).splitlines()[-1])
            return None
    return node


def bundle() -> None:
    folder, home = fresh("bundle")
    mcpb = tools / "node_modules/.bin/mcpb"
    run(mcpb, "unpack", packed / "sigv4-proxy.mcpb", folder, home=home)
    run(mcpb, "validate", folder / "manifest.json", home=home)
    run(mcpb, "pack", folder, scratch / "repacked.mcpb", home=home)
    ok("mcpb unpack, validate, pack")
    config = json.loads((folder / "manifest.json").read_text())["server"]["mcp_config"]
    command = config["command"].replace("${__dirname}", str(folder))
    if platform.machine() == "x86_64":
        assert session.run([command], home) == 0
        ok("the bundle's command: a whole session")


def image(program: Path) -> None:
    if not (packed / "sigv4-proxy-image.tar").exists():
        return skip("the container image", "the binary is not static")
    folder, _ = fresh("layout")
    with tarfile.open(packed / "sigv4-proxy-image.tar") as archive:
        archive.extractall(folder, filter="data")
    blob = lambda descriptor: folder / "blobs" / descriptor["digest"].replace(":", "/")  # noqa: E731
    load = lambda path: json.loads(path.read_text())  # noqa: E731
    index = load(blob(load(folder / "index.json")["manifests"][0]))
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[MACHINE]
    (described,) = [each for each in index["manifests"] if each["platform"]["architecture"] == architecture]
    manifest = load(blob(described))
    settings = load(blob(manifest["config"]))["config"]
    root, home = fresh("image")
    for layer in manifest["layers"]:
        run("tar", "-xzf", blob(layer), "-C", root)
    in_root(root, settings["Entrypoint"], settings["Env"], settings["User"], "the image")

    root, _ = fresh("dockerfile")
    settings = from_dockerfile(packed / "image/Dockerfile", packed / "image", root, architecture)
    in_root(root, *settings, "the Dockerfile")
    if shutil.which("skopeo"):
        inspected = json.loads(run("skopeo", "inspect", f"oci-archive:{packed}/sigv4-proxy-image.tar"))
        assert inspected["Labels"]["io.modelcontextprotocol.server.name"].endswith("/sigv4-proxy")
        ok("skopeo reads the image")
    else:
        skip("skopeo inspect", "skopeo is not installed")


def in_root(root: Path, entry: list[str], variables: list[str], user: str, what: str) -> None:
    if os.geteuid() != 0:
        return skip(f"{what} in a root of its own", "only root can chroot")
    command = ["chroot", f"--userspec={user}", root, "/" + entry[0].lstrip("/")]
    assert starts(run("env", "-i", *variables, shutil.which("chroot"), *command[1:], "--version"))
    home = next(each for each in variables if each.startswith("HOME=")).removeprefix("HOME=")
    assert session.run(command, Path(home)) == 0
    ok(f"{what}: in a root of its own as user {user}, a whole session")


def from_dockerfile(file: Path, context: Path, root: Path, architecture: str) -> tuple[list[str], list[str], str]:
    """Carries out the last stage of a Dockerfile; returns entry point, environment and user."""
    entry, variables, user = [], [], ""
    for line in file.read_text().split("FROM scratch\n")[1].splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            *sources, target = rest.replace("${TARGETARCH}", architecture).split()
            for source in sources:
                shutil.copy2(context / source, root / target.lstrip("/"))
        elif word == "ENV":
            variables.append(rest)
        elif word == "USER":
            user = rest
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
        else:
            assert word in ("ARG", "LABEL"), line
    return entry, variables, user


def source_dockerfile() -> None:
    """The files that it copies are enough to build from, and are not ignored. The profile is the quick one."""
    folder, _ = fresh("source image")
    file = ROOT / ".github/release/container/source.Dockerfile"
    allowed = file.with_name("source.Dockerfile.dockerignore").read_text().split()
    stage = file.read_text().split("FROM scratch")[0]
    for line in re.findall(r"^COPY (.+)$", stage, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            assert f"!{source}" in allowed, f"{source} is ignored"
            place = folder / target / (source if target == "./" else "")
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
            copy(ROOT / source, place)
    (build,) = re.findall(r"^RUN (cargo build .+)$", stage, re.MULTILINE)
    assert "--release" in build
    run(*build.replace("--release", "").split(), cwd=folder, variables=BUILT)
    assert starts(run(ROOT / "target/debug/sigv4-proxy", "--version"))
    ok("source.Dockerfile: its files are enough to build from")


def manifests(tool: Path) -> None:
    """With made-up binaries for every platform, so that every manifest is there and whole."""
    folder, _ = fresh("made up")
    for path, data in test_packer.ALL.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    everything = scratch / "everything"
    run(sys.executable, "-B", ROOT / ".github/release/pack.py", folder, everything)
    if shutil.which("ruby"):
        run("ruby", "-c", everything / "homebrew/sigv4-proxy.rb")
        ok("Homebrew formula: ruby -c")
    else:
        skip("ruby -c of the Homebrew formula", "ruby is not installed")
    winget = "https://aka.ms/winget-manifest.{}.1.10.0.schema.json"
    registry = everything / "mcp-registry/server.json"
    validated(tool, registry, json.loads(registry.read_text())["$schema"])
    for path in sorted(everything.glob("winget/*.yaml")):
        (kind,) = re.findall(r'^ManifestType: "(\w+)"$', path.read_text(), re.MULTILINE)
        validated(tool, path, winget.format(kind))
    for path in everything.glob("scoop/*.json"):
        validated(tool, path, "https://raw.githubusercontent.com/ScoopInstaller/Scoop/master/schema.json")
    for path in packed.glob("*.cdx.json"):
        program = (
            "import sys\n"
            "from cyclonedx.schema import SchemaVersion\n"
            "from cyclonedx.validation.json import JsonStrictValidator\n"
            "sys.exit(JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()))"
        )
        run(sys.executable, "-c", program, path)
        ok(f"{path.name}: CycloneDX 1.5")


def validated(tool: Path, path: Path, address: str) -> None:
    """Against the schema at that address; SCHEMAS names a folder that has it where there is no network."""
    name = "-".join(address.split("/")[-2:])
    schema = Path(os.environ.get("SCHEMAS", tools / "schemas")) / name
    if not schema.exists():
        try:
            with urllib.request.urlopen(address, timeout=20) as response:
                data = response.read()
        except OSError as error:
            return skip(f"{path.name} against its schema", f"{address}: {error}")
        schema.parent.mkdir(exist_ok=True)
        schema.write_bytes(data)
    run(tool / "check-jsonschema", "--schemafile", schema, path)
    ok(f"{path.name}: {name}")


def workflows(tool: Path) -> None:
    files = sorted((ROOT / ".github/workflows").glob("*.yml"))
    run(tool / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    run(tool / "check-jsonschema", "--builtin-schema", "vendor.dependabot", ROOT / ".github/dependabot.yml")
    run(tool / "zizmor", "--offline", "--no-progress", "--quiet", *files, ROOT / ".github/dependabot.yml")
    ok("workflows and dependabot.yml: schema, zizmor")


def cargo() -> None:
    run("cargo", "package", "--locked", "--allow-dirty", "--no-verify", "--quiet", cwd=ROOT)
    folder, home = fresh("cargo")
    with tarfile.open(ROOT / f"target/package/sigv4-proxy-{VERSION}.crate") as crate:
        crate.extractall(folder, filter="data")
    source = folder / f"sigv4-proxy-{VERSION}"
    # Debug: as much is proved in a fifth of the time.
    install = ["cargo", "install", "--quiet", "--debug", "--locked", "--path", source, "--root", folder / "root"]
    run(*install, variables=BUILT)
    assert starts(run(folder / "root/bin/sigv4-proxy", "--version"))
    assert session.run([folder / "root/bin/sigv4-proxy"], home) == 0
    ok("cargo package, cargo install --locked from it, a whole session")


def main() -> None:
    tool = tools / "bin"
    packing()
    program = archive()
    wheel(tool)
    npm(program)
    bundle()
    image(program)
    manifests(tool)
    workflows(tool)
    source_dockerfile()
    cargo()
    for path in sorted(path for path in packed.rglob("*") if path.is_file() and path.stat().st_size > 100_000):
        print(f"{path.stat().st_size:>10}  {path.relative_to(packed)}")
    print(f"all packages work; {len(skipped)} checks skipped")


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(scratch)
