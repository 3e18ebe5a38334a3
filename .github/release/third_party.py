#!/usr/bin/env python3
"""Writes .github/release/third-party.txt: the libraries in the binaries of a release, and
the licences that go along with them.

`make licences` runs it after a change of Cargo.lock. Needs cargo, which downloads the libraries if they are not there yet.
"""

import json
import re
import subprocess
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGETS = tomllib.loads((HERE.parent / "deny.toml").read_text(encoding="utf-8"))["graph"]["targets"]

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""

RULE = "-" * 78


def libraries() -> list[dict]:
    """The packages that are linked into the binary of any platform."""
    command = ["cargo", "metadata", "--locked", "--format-version=1"]
    command += [f"--filter-platform={target}" for target in TARGETS]
    metadata = json.loads(subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, waiting = set(), [root]
    while waiting:
        package = waiting.pop()
        # A macro runs in the compiler, and so does all that it uses.
        is_macro = any("proc-macro" in target["kind"] for target in packages[package]["targets"])
        if package in found or is_macro:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return sorted((packages[package] for package in found - {root}), key=lambda one: (one["name"], one["version"]))


def is_apache(package: dict) -> bool:
    """Whether a library can be used under the Apache License, whose text is that of this project, too."""
    license = package["license"]
    return " AND " not in license and "Apache-2.0" in re.split(r" OR |/", license)


def texts(package: dict) -> list[str]:
    """The texts that go along with a library."""
    folder = Path(package["manifest_path"]).parent
    kinds = "notice" if is_apache(package) else "licen[cs]e|copying|notice"
    files = sorted(path for path in folder.iterdir() if re.match(kinds, path.name, re.IGNORECASE))
    if " OR " in package["license"] and not is_apache(package):
        files = [path for path in files if path.name == "LICENSE-MIT"]
    if files or is_apache(package):
        return [plain(path.read_text(encoding="utf-8")) for path in files]
    if package["license"] != "MIT" or not package["authors"]:
        raise SystemExit(f"third_party.py: {package['name']} has no file with its licence")
    names = ", ".join(re.sub(r" <.*?>", "", author) for author in package["authors"])
    return [f"Copyright (c) {names}\n\n{MIT}"]


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def document(packages: list[dict]) -> str:
    def listed(packages: list[dict]) -> str:
        return "".join(f"  {one['name']} {one['version']}, {one['repository']}\n" for one in packages)

    under_apache = [package for package in packages if is_apache(package)]
    others = [package for package in packages if not is_apache(package)]
    head = (
        "The programs of sigv4-proxy contain these libraries, some only on some systems.\n\n"
        "Under the Apache License, Version 2.0, whose text is in the file LICENSE:\n\n"
        f"  the standard library of Rust, https://github.com/rust-lang/rust\n{listed(under_apache)}\n"
        "Under the licences that follow:\n\n"
        f"{listed(others)}  musl (Linux), https://musl.libc.org\n"
    )
    # A text that several libraries have is there once.
    users: dict[str, list[str]] = {}
    for package in packages:
        for text in texts(package):
            users.setdefault(text, []).append(package["name"])
    users.setdefault(f"Copyright © 2005-2020 Rich Felker, et al.\n\n{MIT}", []).append("musl")
    return f"\n{RULE}\n\n".join([head, *(f"{', '.join(names)}:\n\n{text}\n" for text, names in users.items())])


if __name__ == "__main__":
    (HERE / "third-party.txt").write_text(document(libraries()), encoding="utf-8")
