"""Wheels for PyPI: the program is a script of the package, so that `uvx` and `pipx` run it; no Python in it."""

import base64
import hashlib
import re

from .archives import Entry, zipped
from .binaries import Binary
from .project import NAME, Problem, Project


def wheel_version(version: str) -> str:
    """A version of Cargo's as PEP 440 spells it."""
    parts = re.fullmatch(r"(\d+\.\d+\.\d+)(?:-(alpha|beta|rc)\.?(\d+))?", version)
    if not parts:
        raise Problem(f"version {version}: PyPI has no such version: use 1.2.3 or 1.2.3-rc.4 (alpha, beta, rc)")
    release, phase, number = parts.groups()
    return release + (f"{'rc' if phase == 'rc' else phase[0]}{number}" if phase else "")


def wheel(project: Project, binary: Binary) -> tuple[str, bytes]:
    """The name and content of the wheel for one platform."""
    stem = f"{NAME.replace('-', '_')}-{wheel_version(project.version)}"
    tag = binary.platform.wheel_tag
    info = f"{stem}.dist-info"
    entries = [
        Entry(f"{stem}.data/scripts/{binary.platform.program}", binary.data, executable=True),
        Entry(f"{info}/METADATA", metadata(project)),
        Entry(f"{info}/WHEEL", wheel_file(tag)),
        *(Entry(f"{info}/licenses/{name}", data) for name, data in project.licenses().items()),
    ]
    if binary.sbom:
        entries.append(Entry(f"{info}/sboms/{NAME}.cdx.json", binary.sbom))  # PEP 770
    record = "".join(f"{entry.path},{record_hash(entry.data)},{len(entry.data)}\n" for entry in entries)
    entries.append(Entry(f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode()))
    return f"{stem}-py3-none-{tag}.whl", zipped(entries, project.date)


def metadata(project: Project) -> bytes:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {wheel_version(project.version)}",
        f"Summary: {project.summary}",
        f"Keywords: {','.join(project.keywords)}",
        "License-Expression: MIT OR Apache-2.0",
        *(f"License-File: {name}" for name in project.licenses()),
        f"Project-URL: Source, {project.repository}",
        f"Project-URL: Documentation, {project.repository}/tree/v{project.version}/docs",
        f"Project-URL: Changelog, {project.repository}/blob/v{project.version}/docs/changelog.md",
        "Classifier: Environment :: Console",
        "Classifier: Programming Language :: Rust",
        "Requires-Python: >=3.7",
        "Description-Content-Type: text/markdown",
    ]
    ownership = f"\n<!-- mcp-name: {project.mcp_name} -->\n"
    return ("\n".join(lines) + "\n\n").encode() + project.readme() + ownership.encode()


def wheel_file(tag: str) -> bytes:
    lines = ["Wheel-Version: 1.0", f"Generator: {NAME}", "Root-Is-Purelib: false"]
    lines += [f"Tag: py3-none-{platform}" for platform in tag.split(".")]
    return ("\n".join(lines) + "\n").encode()


def record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
