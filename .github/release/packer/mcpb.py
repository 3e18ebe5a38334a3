"""The MCP bundle: one file for Claude Desktop and other clients that install servers by a double click."""

import json

from .archives import Entry, zipped
from .binaries import DARWIN, LINUX_X64, WIN32_X64, Binary
from .project import HERE, Project

FILE = "sigv4-proxy.mcpb"

# A bundle chooses by the operating system alone, so there is one program for each.
PROGRAMS = {
    DARWIN: "server/sigv4-proxy-macos",
    LINUX_X64: "server/sigv4-proxy",
    WIN32_X64: "server/sigv4-proxy.exe",
}


def bundle(project: Project, binaries: list[Binary]) -> bytes | None:
    """The bundle for those operating systems whose binaries are there; `None` without any."""
    programs = [binary for binary in binaries if binary.platform in PROGRAMS]
    if not programs:
        return None
    manifest = json.loads((HERE / "mcpb/manifest.json").read_text(encoding="utf-8"))
    systems = [binary.platform.os for binary in programs]
    command = manifest["server"]["mcp_config"]
    overrides = command["platform_overrides"]
    command["platform_overrides"] = {system: overrides[system] for system in overrides if system in systems}
    manifest["compatibility"]["platforms"] = systems
    manifest["version"] = project.version
    manifest["homepage"] = manifest["support"] = project.repository
    manifest["repository"] = {"type": "git", "url": f"{project.repository}.git"}
    entry_points = [PROGRAMS[binary.platform] for binary in programs]
    if manifest["server"]["entry_point"] not in entry_points:
        manifest["server"]["entry_point"] = entry_points[0]
    entries = [
        Entry("manifest.json", (json.dumps(manifest, indent=2) + "\n").encode()),
        Entry("icon.png", (HERE / "mcpb/icon.png").read_bytes()),
        *(Entry(name, data) for name, data in project.licenses().items()),
        Entry("README.md", project.readme()),
    ]
    entries += [Entry(PROGRAMS[binary.platform], binary.data, executable=True) for binary in programs]
    return zipped(entries, project.date)
