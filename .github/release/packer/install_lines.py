"""The lines that install the program, in README.md and docs/installing.md: made from the list of published channels."""

from dataclasses import dataclass
from pathlib import Path

from .binaries import LINUX_X64
from .downloads import archive_name
from .mcpb import FILE as BUNDLE
from .project import NAME, ROOT, Problem, Project

BEGIN = "<!-- generated from .github/release/project.toml; renew with: make install-docs -->\n"
END = "<!-- end of the generated part -->\n"

FROM_SOURCE = """\
    cargo install --path . --locked

It needs [Rust](https://rustup.rs) 1.89 or newer and a C compiler, takes a few minutes, and installs into `~/.cargo/bin`. `make static`
builds one static binary for Linux, and `make packages` packs it for pip, npm, containers and more into `target/packages`.
"""


@dataclass(frozen=True)
class Channel:
    title: str
    systems: str
    line: str  # with {owner}, {image}, {latest} for the addresses


CHANNELS = {
    "homebrew": Channel("Homebrew", "macOS, Linux", f"brew install {{owner}}/tap/{NAME}"),
    "winget": Channel("winget", "Windows", f"winget install {{owner}}.{NAME}"),
    "scoop": Channel("Scoop", "Windows", f"scoop install {{latest}}/{NAME}.json"),
    "pypi": Channel("PyPI", "macOS, Linux, Windows", f"uv tool install {NAME}"),
    "npm": Channel("npm", "macOS, Linux, Windows", f"npm install --global {NAME}"),
    "crates": Channel("cargo-binstall", "macOS, Linux, Windows", f"cargo binstall {NAME}"),
    "image": Channel("container image", "Linux, x86_64 and aarch64", "docker pull {image}"),
    "archives": Channel(
        "archive", "macOS, Linux, Windows", f"curl -fsSL {{latest}}/{archive_name(LINUX_X64)} | tar -xz"
    ),
    "bundle": Channel("MCP bundle", "Claude Desktop on macOS, Linux, Windows", f"{{latest}}/{BUNDLE}"),
}


def pages(project: Project) -> dict[Path, str]:
    """The two pages as they should be."""
    for channel in project.published:
        if channel not in CHANNELS:
            raise Problem(f"project.toml: published: unknown channel {channel!r}: one of {', '.join(CHANNELS)}")
    parts = {"README.md": readme(project), "docs/installing.md": table(project)}
    return {ROOT / name: with_part(ROOT / name, part) for name, part in parts.items()}


def with_part(page: Path, part: str) -> str:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise Problem(f"{page}: the marks of the generated part are missing")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def readme(project: Project) -> str:
    published = [name for name in CHANNELS if name in project.published]
    if not published:
        return (
            "No release has been published yet. Build it from a clone of this repository:\n\n"
            + FROM_SOURCE
            + "\nReleases will need no toolchain; [docs/installing.md](docs/installing.md) has their commands: "
            + ", ".join(f"`{CHANNELS[name].line}`" for name in ("pypi", "npm"))
            + ",\nHomebrew, winget, Scoop, `cargo binstall`, a container image, archives and an MCP bundle.\n"
        )
    rows = "".join(f"| {CHANNELS[name].systems} | `{filled(name, project)}` |\n" for name in published)
    return (
        f"| system | command |\n|---|---|\n{rows}\n[docs/installing.md](docs/installing.md) has more. "
        "From a clone of this repository:\n\n" + FROM_SOURCE
    )


def table(project: Project) -> str:
    rows = ""
    for name, channel in CHANNELS.items():
        state = "yes" if name in project.published else "not yet"
        rows += f"| {channel.title} | {channel.systems} | `{filled(name, project)}` | {state} |\n"
    state = "" if project.published else "Nothing has been published yet. These will be the commands of the first release:\n\n"
    return f"""\
{state}| channel | systems | command or file | published |
|---|---|---|---|
{rows}
To check what you downloaded, with the list of checksums of the release and GitHub's command line:

    sha256sum --check --ignore-missing SHA256SUMS
    gh attestation verify {archive_name(LINUX_X64)} --repo {project.owner}/{NAME}
"""


def filled(name: str, project: Project) -> str:
    latest = f"{project.repository}/releases/latest/download"
    line = CHANNELS[name].line.format(owner=project.owner, image=project.image, latest=latest)
    return line.replace("|", "\\|")  # in a table
