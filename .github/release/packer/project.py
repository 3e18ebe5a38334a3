"""The facts that all packages share: names and addresses, the version, the documents, the date of all files."""

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

NAME = "sigv4-proxy"
HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent

# The first day that a zip file can name. An earlier date in `SOURCE_DATE_EPOCH` is raised to it.
EARLIEST = 315532800
LATEST = 4354819199


class Problem(Exception):
    """Something about the input that the caller has to fix; the text says what and how."""


@dataclass(frozen=True)
class Project:
    version: str
    summary: str
    keywords: tuple[str, ...]
    owner: str
    npm_scope: str
    image_registry: str
    published: tuple[str, ...]
    date: int  # seconds since 1970, of every file in every package

    @property
    def repository(self) -> str:
        return f"https://github.com/{self.owner}/{NAME}"

    @property
    def image(self) -> str:
        return f"{self.image_registry}/{self.owner}/{NAME}"

    @property
    def mcp_name(self) -> str:
        """The name in the MCP registry, which every package has to carry as a proof of ownership."""
        return f"io.github.{self.owner}/{NAME}"

    def download(self, file: str) -> str:
        return f"{self.repository}/releases/download/v{self.version}/{file}"

    def goes_to(self, channel: str) -> bool:
        """Whether a release goes there; before any channel is named, every one counts."""
        return not self.published or channel in self.published

    def placeholders(self) -> list[str]:
        values = {"owner": self.owner, "npm_scope": self.npm_scope, "image_registry": self.image_registry}
        return [name for name, value in values.items() if value.startswith("example")]

    def readme(self) -> bytes:
        """README.md with links that work outside the repository."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        pages, files = f"{self.repository}/blob/v{self.version}/", f"{self.repository}/raw/v{self.version}/"

        def absolute(link: re.Match) -> str:
            image, label, target = link.groups()
            if "://" in target or target.startswith("#"):
                return link.group(0)
            return f"{image}[{label}]({files if image else pages}{target})"

        return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", absolute, text).encode()

    def license(self) -> bytes:
        return (ROOT / "LICENSE").read_bytes()

    def licenses(self) -> dict[str, bytes]:
        """What goes along with a binary, which contains libraries of others: files by name."""
        return {"LICENSE": self.license(), "THIRD-PARTY.txt": (HERE / "third-party.txt").read_bytes()}


def load() -> Project:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]
    names = tomllib.loads((HERE / "project.toml").read_text(encoding="utf-8"))
    for name in ("owner", "npm_scope", "image_registry"):
        # All that npm, container registries and GitHub have in common.
        if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", names[name]):
            raise Problem(f"project.toml: {name} = {names[name]!r}: use lower-case letters, digits, '-' and '.'")
    return Project(
        version=cargo["version"],
        summary="Connects MCP clients to MCP servers protected by AWS IAM: signs every request with SigV4",
        keywords=tuple(cargo["keywords"]),
        owner=names["owner"],
        npm_scope=names["npm_scope"],
        image_registry=names["image_registry"],
        published=tuple(names["published"]),
        date=date_of_files(os.environ.get("SOURCE_DATE_EPOCH", "")),
    )


def date_of_files(epoch: str) -> int:
    if not epoch:
        return EARLIEST
    if not re.fullmatch(r"[0-9]+", epoch):
        raise Problem(f"SOURCE_DATE_EPOCH={epoch!r}: it must be a number of seconds since 1970")
    return min(max(int(epoch), EARLIEST), LATEST)
