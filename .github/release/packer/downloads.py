"""The archives to download: the program, its licences, its manual page and completions, in a folder of their own."""

from .archives import Entry, tar_gz, zipped
from .binaries import Binary, Platform
from .project import NAME, ROOT, Project

DOCUMENTS = {"sigv4-proxy.1": "docs/sigv4-proxy.1"} | {
    f"completions/{file}": f"docs/completions/{file}"
    for file in ("sigv4-proxy.bash", "sigv4-proxy.fish", "sigv4-proxy.ps1", "_sigv4-proxy")
}


def folder_name(platform: Platform) -> str:
    return f"{NAME}-{platform.target}"


def archive_name(platform: Platform) -> str:
    # No version: so there is one address of the newest.
    return folder_name(platform) + (".zip" if platform.os == "win32" else ".tar.gz")


def archive(project: Project, binary: Binary) -> bytes:
    folder = folder_name(binary.platform)
    entries = [
        Entry(f"{folder}/{binary.platform.program}", binary.data, executable=True),
        Entry(f"{folder}/README.md", project.readme()),
    ]
    entries += [Entry(f"{folder}/{name}", data) for name, data in project.licenses().items()]
    entries += [Entry(f"{folder}/{name}", (ROOT / path).read_bytes()) for name, path in DOCUMENTS.items()]
    pack = zipped if binary.platform.os == "win32" else tar_gz
    return pack(entries, project.date)
