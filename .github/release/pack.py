#!/usr/bin/env python3
"""Packs a folder of binaries for every channel. Needs Python 3.11 and nothing else: no package, no network.

The folder holds one file named sigv4-proxy (or sigv4-proxy.exe) for each platform, in folders of any name, each with
its SBOM next to it as sigv4-proxy.cdx.json. What is packed depends on those files, the repository and
SOURCE_DATE_EPOCH alone.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("pack.py: Python 3.11 or newer is needed")

from packer import binaries, downloads, image, manifests, mcp_registry, mcpb, npm, wheels
from packer.archives import sha256
from packer.project import NAME, Problem, Project, load


class Output:
    """The folder that is filled: its top level is what a release on GitHub has, each folder is for one channel."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and any(folder.iterdir()) and not (folder / "SHA256SUMS").is_file():
            raise Problem(f"{folder}: not empty, and not made by this script: name another folder, or remove it")
        self.folder = folder
        self.unfinished = folder.with_name(f"{folder.name}.unfinished")
        self.checksums: dict[str, str] = {}
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def write(self, path: str, data: bytes | str, executable: bool = False) -> str:
        """Returns the SHA-256 of what was written."""
        data = data.encode() if isinstance(data, str) else data
        file = self.unfinished / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if executable else 0o644)
        self.checksums[path] = sha256(data)
        return self.checksums[path]

    def finish(self) -> None:
        sums = "".join(f"{checksum}  {path}\n" for path, checksum in sorted(self.checksums.items()))
        self.write("SHA256SUMS", sums)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.unfinished.rename(self.folder)


def pack(project: Project, found: list[binaries.Binary], output: Output) -> None:
    archives = {}
    for binary in found:
        platform = binary.platform
        archives[platform] = output.write(downloads.archive_name(platform), downloads.archive(project, binary))
        if binary.sbom:
            output.write(f"{downloads.folder_name(platform)}.cdx.json", binary.sbom)
        if platform.wheel_tag:
            name, wheel = wheels.wheel(project, binary)
            output.write(f"pypi/{name}", wheel)

    npm_packages = npm.packages(project, found)
    for name, tarball in npm_packages.items():
        output.write(f"npm/{name}", tarball)

    bundle = mcpb.bundle(project, found)
    bundle_checksum = output.write(mcpb.FILE, bundle) if bundle else ""

    layout = image.layout(project, found)
    if layout:
        output.write(image.FILE, layout)
        for entry in image.contexts(project, found).values():
            output.write(f"image/{entry.path}", entry.data, entry.executable)

    if formula := manifests.homebrew(project, archives):
        output.write(f"homebrew/{NAME}.rb", formula)
    if manifest := manifests.scoop(project, archives):
        output.write(f"scoop/{NAME}.json", manifest)
    for name, manifest in manifests.winget(project, archives).items():
        output.write(f"winget/{name}", manifest)

    has_wheels = any(binary.platform.wheel_tag for binary in found)
    made = {"npm": npm_packages, "pypi": has_wheels, "image": layout, "bundle": bundle}
    listed = {channel for channel in made if made[channel] and project.goes_to(channel)}
    entry = mcp_registry.server(project, listed, wheels.wheel_version(project.version), mcpb.FILE, bundle_checksum)
    output.write("mcp-registry/server.json", entry)
    output.finish()


def check_release(project: Project, found: list[binaries.Binary]) -> None:
    """What a try may lack and a release may not."""
    platforms = {binary.platform for binary in found}
    problems = [f"no binary for {platform.target}" for platform in binaries.RELEASED if platform not in platforms]
    for binary in found:
        if not binary.platform.portable:
            problems.append(f"{binary.platform.target} is not a static binary: `make static` builds one")
        if not binary.sbom:
            problems.append(f"no SBOM next to the binary for {binary.platform.target}: `make sbom` makes it")
    problems += [f"project.toml: {name} is a placeholder: set it" for name in project.placeholders()]
    if not project.published:
        problems.append("project.toml: published is empty: name the channels, and run `make install-docs`")
    if "SOURCE_DATE_EPOCH" not in os.environ:
        problems.append("SOURCE_DATE_EPOCH is not set: use the date of the commit (git log -1 --format=%ct)")
    if problems:
        raise Problem("not complete:\n  " + "\n  ".join(problems))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=Path, help="the folder of binaries")
    parser.add_argument("output", type=Path, help="the folder to fill; what this script left there is replaced")
    parser.add_argument("--release", action="store_true", help="refuse what is not complete: platforms, SBOMs, names")
    arguments = parser.parse_args()
    try:
        project = load()
        found = binaries.find(arguments.binaries, project)
        if arguments.release:
            check_release(project, found)
        output = Output(arguments.output)
        pack(project, found, output)
    except (Problem, OSError) as problem:
        sys.exit(f"pack.py: {problem}")
    for binary in found:
        if not binary.platform.portable:
            print(f"pack.py: the binary for {binary.platform.target} is not static: for tests only", file=sys.stderr)
    for path in sorted(path for path in output.folder.rglob("*") if path.is_file()):
        print(f"{path.stat().st_size:>10}  {path}")


if __name__ == "__main__":
    main()
