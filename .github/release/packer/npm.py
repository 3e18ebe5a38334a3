"""npm packages: one for each platform with the program in it, and one that depends on all and starts the right one."""

import json

from .archives import Entry, tar_gz
from .binaries import Binary, Platform
from .project import HERE, NAME, Project


def platform_package(project: Project, platform: Platform) -> str:
    return f"@{project.npm_scope}/{NAME}-{platform.os}-{platform.cpu}"


def packages(project: Project, binaries: list[Binary]) -> dict[str, bytes]:
    """The tarballs by file name, the one that depends on the others last, as they have to be published."""
    binaries = [binary for binary in binaries if binary.platform.cpu]
    files = {}
    for binary in binaries:
        name = platform_package(project, binary.platform)
        files[file_name(name, project)] = tar_gz(platform_entries(project, binary), project.date)
    if binaries:
        files[file_name(NAME, project)] = tar_gz(main_entries(project, binaries), project.date)
    return files


def file_name(package: str, project: Project) -> str:
    """As `npm pack` names it."""
    return f"{package.removeprefix('@').replace('/', '-')}-{project.version}.tgz"


def common(project: Project, name: str, description: str) -> dict:
    return {
        "name": name,
        "version": project.version,
        "description": description,
        "license": "MIT OR Apache-2.0",
        "homepage": f"{project.repository}#readme",
        "repository": {"type": "git", "url": f"git+{project.repository}.git"},
        "bugs": f"{project.repository}/issues",
    }


def main_entries(project: Project, binaries: list[Binary]) -> list[Entry]:
    description = common(project, NAME, project.summary) | {
        "keywords": list(project.keywords),
        "mcpName": project.mcp_name,
        "bin": {NAME: f"bin/{NAME}"},
        "engines": {"node": ">=18"},
        "optionalDependencies": {platform_package(project, binary.platform): project.version for binary in binaries},
    }
    launcher = (HERE / "npm/launcher.js").read_text(encoding="utf-8").replace("@SCOPE", f"@{project.npm_scope}")
    return [
        Entry("package/package.json", json_file(description)),
        Entry(f"package/bin/{NAME}", launcher.encode(), executable=True),
        Entry("package/LICENSE", project.license()),
        Entry("package/README.md", project.readme()),
    ]


def platform_entries(project: Project, binary: Binary) -> list[Entry]:
    platform = binary.platform
    name = platform_package(project, platform)
    # Windows on Arm runs programs for x64.
    cpus = ["x64", "arm64"] if platform.os == "win32" else [platform.cpu]
    description = common(project, name, f"The program of {NAME} for {platform.os} on {' and '.join(cpus)}") | {
        "os": [platform.os],
        "cpu": cpus,
        "preferUnplugged": True,  # Yarn must not keep a program inside a zip file
    }
    entries = [
        Entry("package/package.json", json_file(description)),
        Entry(f"package/bin/{platform.program}", binary.data, executable=True),
        *(Entry(f"package/{name}", data) for name, data in project.licenses().items()),
        Entry("package/README.md", f"The program of [{NAME}]({project.repository}); install `{NAME}`.\n".encode()),
    ]
    if binary.sbom:
        entries.append(Entry(f"package/{NAME}.cdx.json", binary.sbom))
    return entries


def json_file(value: dict) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
