"""Manifests for package managers that download the archives: Homebrew, Scoop and winget."""

import json
from collections.abc import Mapping

from .binaries import DARWIN_ARM64, DARWIN_X64, LINUX_ARM64, LINUX_X64, WIN32_X64, Platform
from .downloads import archive_name, folder_name
from .project import NAME, Project

LICENSE = "MIT OR Apache-2.0"
Checksums = Mapping[Platform, str]


def homebrew(project: Project, checksums: Checksums) -> str | None:
    """The formula, for macOS and Linux."""

    def download(system: str, choices: dict[str, Platform]) -> str:
        blocks = "".join(
            f"    {cpu} do\n"
            f'      url "{project.download(archive_name(platform))}"\n'
            f'      sha256 "{checksums[platform]}"\n'
            "    end\n"
            for cpu, platform in choices.items()
            if platform in checksums
        )
        return f"  {system} do\n{blocks}  end\n\n" if blocks else ""

    downloads = download("on_macos", {"on_arm": DARWIN_ARM64, "on_intel": DARWIN_X64})
    downloads += download("on_linux", {"on_arm": LINUX_ARM64, "on_intel": LINUX_X64})
    if not downloads:
        return None
    return f"""\
class Sigv4Proxy < Formula
  desc "Connects MCP clients to MCP servers protected by AWS IAM"
  homepage "{project.repository}"
  version "{project.version}"
  license any_of: ["MIT", "Apache-2.0"]

{downloads}\
  def install
    bin.install "sigv4-proxy"
    man1.install "sigv4-proxy.1"
    bash_completion.install "completions/sigv4-proxy.bash" => "sigv4-proxy"
    fish_completion.install "completions/sigv4-proxy.fish"
    zsh_completion.install "completions/_sigv4-proxy"
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/sigv4-proxy --version")
  end
end
"""


def scoop(project: Project, checksums: Checksums) -> str | None:
    if WIN32_X64 not in checksums:
        return None
    file = archive_name(WIN32_X64)
    newest = f"{project.repository}/releases/download/v$version"
    manifest = {
        "version": project.version,
        "description": project.summary,
        "homepage": project.repository,
        "license": LICENSE.replace(" OR ", "|"),
        "architecture": {"64bit": {"url": project.download(file), "hash": checksums[WIN32_X64]}},
        "extract_dir": folder_name(WIN32_X64),
        "bin": f"{NAME}.exe",
        "checkver": {"github": project.repository},
        "autoupdate": {
            "architecture": {"64bit": {"url": f"{newest}/{file}"}},
            "hash": {"url": "$baseurl/SHA256SUMS"},
        },
    }
    return json.dumps(manifest, indent=4) + "\n"


def winget(project: Project, checksums: Checksums) -> dict[str, str]:
    """The three files of the manifest, by name."""
    if WIN32_X64 not in checksums:
        return {}
    identifier = f"{project.owner}.{NAME}"

    def document(kind: str, fields: dict) -> str:
        head = {"PackageIdentifier": identifier, "PackageVersion": project.version}
        tail = {"ManifestType": kind, "ManifestVersion": "1.10.0"}
        # YAML contains JSON, which quotes a version so that it stays text.
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in (head | fields | tail).items()]
        return "".join(lines)

    installer = {
        "InstallerType": "zip",
        "NestedInstallerType": "portable",
        "NestedInstallerFiles": [
            {"RelativeFilePath": f"{folder_name(WIN32_X64)}\\{NAME}.exe", "PortableCommandAlias": NAME}
        ],
        "Installers": [
            {
                "Architecture": "x64",
                "InstallerUrl": project.download(archive_name(WIN32_X64)),
                "InstallerSha256": checksums[WIN32_X64].upper(),
            }
        ],
    }
    locale = {
        "PackageLocale": "en-US",
        "Publisher": project.owner,
        "PublisherUrl": f"https://github.com/{project.owner}",
        "PackageName": NAME,
        "PackageUrl": project.repository,
        "License": LICENSE,
        "LicenseUrl": f"{project.repository}/blob/v{project.version}/LICENSE",
        "ShortDescription": project.summary,
        "Moniker": NAME,
        "Tags": list(project.keywords),
        "ReleaseNotesUrl": f"{project.repository}/releases/tag/v{project.version}",
    }
    return {
        f"{identifier}.yaml": document("version", {"DefaultLocale": "en-US"}),
        f"{identifier}.installer.yaml": document("installer", installer),
        f"{identifier}.locale.en-US.yaml": document("defaultLocale", locale),
    }
