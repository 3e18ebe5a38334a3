"""The packer, with made-up binaries for every platform: no tool, no network, seconds. `make test-packer` runs it."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import unittest
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / ".github/release"
sys.path.insert(0, str(RELEASE))
sys.dont_write_bytecode = True

from packer import binaries, install_lines, wheels  # noqa: E402
from packer import project as facts  # noqa: E402

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
NAMED = f"sigv4-proxy {VERSION}".encode()


def elf(machine: int, interpreter: bool = False, body: bytes = NAMED) -> bytes:
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<II", 3 if interpreter else 1, 5) + bytes(48) + body


def mach_o(cpu: int, size: int = 0) -> bytes:
    return struct.pack("<IIII", 0xFEEDFACF, cpu, 3, 2) + NAMED + bytes(size)


def pe(machine: int = 0x8664) -> bytes:
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 64) + struct.pack("<4sH", b"PE\0\0", machine) + NAMED


ALL = {
    "x86_64-unknown-linux-musl/sigv4-proxy": elf(62),
    "aarch64-unknown-linux-musl/sigv4-proxy": elf(183),
    "x86_64-apple-darwin/sigv4-proxy": mach_o(0x01000007, 5000),
    "aarch64-apple-darwin/sigv4-proxy": mach_o(0x0100000C),
    "windows/sigv4-proxy.exe": pe(),
}


class PackerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="with a space "))
        self.addCleanup(shutil.rmtree, self.folder)

    def binaries(self, files: dict[str, bytes], name: str = "binaries", mode: int = 0o755) -> Path:
        for path, data in files.items():
            file = self.folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(mode)
        return self.folder / name

    def run_packer(self, source: Path, output: str = "out", *flags: str, umask: int = 0o022, **variables: str):
        environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
        command = [sys.executable, "-B", RELEASE / "pack.py", source, self.folder / output, *flags]
        return subprocess.run(
            command, env=environment | variables, umask=umask, cwd=self.folder, capture_output=True, text=True
        )

    def pack(self, source: Path, output: str = "out", **options) -> dict[str, bytes]:
        run = self.run_packer(source, output, **options)
        self.assertEqual(run.returncode, 0, run.stderr)
        folder = self.folder / output
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def test_the_same_bytes_whatever_surrounds_them(self) -> None:
        first = self.pack(self.binaries(ALL), SOURCE_DATE_EPOCH="1700000000")
        # Other folder, names, execute bits, umask and time zone.
        others = {f"deep/er/{place}/{Path(path).name}": data for place, (path, data) in enumerate(ALL.items())}
        source = self.binaries(others, "others", mode=0o600)
        again = self.pack(source, "again", SOURCE_DATE_EPOCH="1700000000", TZ="Asia/Tokyo", umask=0o077)
        self.assertEqual(first.keys(), again.keys())
        self.assertEqual([name for name in first if first[name] != again[name]], [])
        later = self.pack(source, "later", SOURCE_DATE_EPOCH="1700000002")
        self.assertNotEqual(first["sigv4-proxy.mcpb"], later["sigv4-proxy.mcpb"])

    def test_every_channel_has_every_platform(self) -> None:
        files = self.pack(self.binaries(ALL))
        self.assertEqual(
            sorted(name for name in files if "/" not in name),
            [
                "SHA256SUMS",
                "sigv4-proxy-aarch64-apple-darwin.tar.gz",
                "sigv4-proxy-aarch64-unknown-linux-musl.tar.gz",
                "sigv4-proxy-image.tar",
                "sigv4-proxy-universal-apple-darwin.tar.gz",
                "sigv4-proxy-x86_64-apple-darwin.tar.gz",
                "sigv4-proxy-x86_64-pc-windows.zip",
                "sigv4-proxy-x86_64-unknown-linux-musl.tar.gz",
                "sigv4-proxy.mcpb",
            ],
        )
        tags = [name.rsplit("-none-")[1] for name in files if name.startswith("pypi/")]
        self.assertEqual(
            sorted(tags),
            [
                "macosx_10_12_x86_64.whl",
                "macosx_11_0_arm64.whl",
                "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
                "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64.whl",
                "win_amd64.whl",
            ],
        )
        main = json.loads(members(files[f"npm/sigv4-proxy-{VERSION}.tgz"])["package/package.json"])
        scope = facts.load().npm_scope
        platforms = ["darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64", "win32-x64"]
        names = [f"@{scope}/sigv4-proxy-{platform}" for platform in platforms]
        self.assertEqual(sorted(main["optionalDependencies"].items()), [(name, VERSION) for name in names])
        self.assertNotIn("scripts", main)
        for platform in platforms:
            package = json.loads(
                members(files[f"npm/{scope}-sigv4-proxy-{platform}-{VERSION}.tgz"])["package/package.json"]
            )
            system, cpu = platform.split("-")
            self.assertEqual(package["os"], [system])
            self.assertEqual(package["cpu"], [cpu, "arm64"] if system == "win32" else [cpu])
            self.assertNotIn("libc", package)

    def test_the_packed_program_is_the_binary_and_executable(self) -> None:
        files = self.pack(self.binaries(ALL, mode=0o644))
        for name, data in files.items():
            packed = members(data) if name.endswith((".tar.gz", ".tgz", ".zip", ".whl", ".mcpb")) else {}
            programs = {
                path for path in packed if Path(path).name in ("sigv4-proxy", "sigv4-proxy.exe", "sigv4-proxy-macos")
            }
            if packed:
                self.assertTrue(programs, name)
            for path in (
                programs - {"package/bin/sigv4-proxy"} if name == f"npm/sigv4-proxy-{VERSION}.tgz" else programs
            ):
                is_binary = packed[path] in ALL.values() or packed[path][:4] == b"\xca\xfe\xba\xbe"
                self.assertTrue(is_binary, f"{name}: {path}")
            for path in packed:
                self.assertEqual(packed.modes[path], 0o755 if path in programs else 0o644, f"{name}: {path}")
        for architecture, source in ("amd64", "x86_64"), ("arm64", "aarch64"):
            binary = ALL[f"{source}-unknown-linux-musl/sigv4-proxy"]
            self.assertEqual(files[f"image/{architecture}/sigv4-proxy"], binary)

    def test_the_licences_of_the_libraries_go_along_with_every_binary(self) -> None:
        third_party = (RELEASE / "third-party.txt").read_bytes()
        files = self.pack(self.binaries(ALL))
        packed = [name for name in files if name.endswith((".tar.gz", ".tgz", ".zip", ".whl", ".mcpb"))]
        for name in packed:
            found = members(files[name])
            by_name = {Path(path).name: data for path, data in found.items()}
            self.assertIn("LICENSE", by_name, name)
            if name != f"npm/sigv4-proxy-{VERSION}.tgz":  # no binary in it
                self.assertEqual(by_name["THIRD-PARTY.txt"], third_party, name)
            for path, data in found.items():
                if path.endswith("/METADATA"):
                    self.assertIn(b"\nLicense-File: THIRD-PARTY.txt\n", data)
        self.assertEqual(files["image/THIRD-PARTY.txt"], third_party)
        self.assertIn(b"COPY ${TARGETARCH}/sigv4-proxy LICENSE THIRD-PARTY.txt /", files["image/Dockerfile"])
        layout = members(gzip.compress(files["sigv4-proxy-image.tar"]))
        layers = [members(data) for data in layout.values() if data[:2] == b"\x1f\x8b"]
        self.assertEqual([layer["THIRD-PARTY.txt"] for layer in layers], [third_party] * 2)

    def test_checksums_are_those_of_the_files(self) -> None:
        files = self.pack(self.binaries(ALL))
        lines = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
        self.assertEqual(lines.keys(), files.keys() - {"SHA256SUMS"})
        for name, checksum in lines.items():
            self.assertEqual(hashlib.sha256(files[name]).hexdigest(), checksum, name)
        formula = files["homebrew/sigv4-proxy.rb"].decode()
        for target in (
            "aarch64-apple-darwin",
            "x86_64-apple-darwin",
            "aarch64-unknown-linux-musl",
            "x86_64-unknown-linux-musl",
        ):
            file = f"sigv4-proxy-{target}.tar.gz"
            self.assertIn(f'/{file}"\n      sha256 "{lines[file]}"', formula)
        windows = lines["sigv4-proxy-x86_64-pc-windows.zip"]
        self.assertEqual(json.loads(files["scoop/sigv4-proxy.json"])["architecture"]["64bit"]["hash"], windows)
        installers = [data.decode() for name, data in files.items() if name.endswith(".installer.yaml")]
        self.assertIn(windows.upper(), installers[0])
        server = json.loads(files["mcp-registry/server.json"])
        by_registry = {package["registryType"]: package for package in server["packages"]}
        self.assertEqual(list(by_registry), ["npm", "pypi", "oci", "mcpb"])
        self.assertEqual(by_registry["mcpb"]["fileSha256"], lines["sigv4-proxy.mcpb"])

    def test_each_package_proves_its_owner_to_the_mcp_registry(self) -> None:
        files = self.pack(self.binaries(ALL))
        name = json.loads(files["mcp-registry/server.json"])["name"]
        self.assertEqual(
            json.loads(members(files[f"npm/sigv4-proxy-{VERSION}.tgz"])["package/package.json"])["mcpName"], name
        )
        for wheel in (data for path, data in files.items() if path.startswith("pypi/")):
            metadata = next(data for path, data in members(wheel).items() if path.endswith("/METADATA"))
            self.assertIn(f"mcp-name: {name}".encode(), metadata)
        self.assertIn(f'LABEL io.modelcontextprotocol.server.name="{name}"'.encode(), files["image/Dockerfile"])

    def test_the_image_is_whole(self) -> None:
        layout = members(gzip.compress(self.pack(self.binaries(ALL))["sigv4-proxy-image.tar"]))
        for path, data in layout.items():
            if path.startswith("blobs/"):
                self.assertEqual(path, f"blobs/sha256/{hashlib.sha256(data).hexdigest()}")

        def blob(descriptor: dict) -> bytes:
            data = layout["blobs/" + descriptor["digest"].replace(":", "/")]
            self.assertEqual(len(data), descriptor["size"])
            return data

        (root,) = json.loads(layout["index.json"])["manifests"]
        index = json.loads(blob(root))
        self.assertEqual([m["platform"]["architecture"] for m in index["manifests"]], ["arm64", "amd64"])
        for described in index["manifests"]:
            manifest = json.loads(blob(described))
            config = json.loads(blob(manifest["config"]))
            (layer,) = manifest["layers"]
            content = gzip.decompress(blob(layer))
            self.assertEqual(config["rootfs"]["diff_ids"], [f"sha256:{hashlib.sha256(content).hexdigest()}"])
            self.assertEqual(config["config"]["User"], "1000:1000")
            self.assertEqual(config["architecture"], described["platform"]["architecture"])

    def test_the_bundle_has_what_its_manifest_names(self) -> None:
        for chosen in (ALL, {path: ALL[path] for path in list(ALL)[:1]}, {path: ALL[path] for path in list(ALL)[2:]}):
            with self.subTest(list(chosen)):
                shutil.rmtree(self.folder / "binaries", ignore_errors=True)
                bundle = members(self.pack(self.binaries(chosen))["sigv4-proxy.mcpb"])
                manifest = json.loads(bundle["manifest.json"])
                self.assertEqual(manifest["version"], VERSION)
                self.assertIn(manifest["server"]["entry_point"], bundle)
                self.assertIn(manifest["icon"], bundle)
                command = manifest["server"]["mcp_config"]
                for system in manifest["compatibility"]["platforms"]:
                    used = command["platform_overrides"].get(system, command)["command"]
                    self.assertIn(used.removeprefix("${__dirname}/"), bundle, system)

    def test_one_binary_is_enough_for_a_try(self) -> None:
        files = self.pack(self.binaries({"a/sigv4-proxy": elf(62)}))
        registries = [p["registryType"] for p in json.loads(files["mcp-registry/server.json"])["packages"]]
        self.assertEqual(registries, ["npm", "pypi", "oci", "mcpb"])
        self.assertFalse([name for name in files if name.startswith(("winget/", "scoop/"))])
        files = self.pack(self.binaries({"sigv4-proxy.exe": pe()}, "windows alone"))
        registries = [p["registryType"] for p in json.loads(files["mcp-registry/server.json"])["packages"]]
        self.assertEqual(registries, ["npm", "pypi", "mcpb"])
        self.assertFalse([name for name in files if name.startswith(("homebrew/", "image/"))])

    def test_a_dynamic_binary_is_for_its_machine_alone(self) -> None:
        source = self.binaries({"sigv4-proxy": elf(62, interpreter=True)})
        run = self.run_packer(source)
        self.assertIn("x86_64-unknown-linux-gnu is not static", run.stderr)
        names = {path.name for path in (self.folder / "out").rglob("*")}
        self.assertIn(f"sigv4_proxy-{VERSION}-py3-none-linux_x86_64.whl", names)
        self.assertNotIn("sigv4-proxy-image.tar", names)

    def test_the_sbom_goes_along(self) -> None:
        bom = b'{"bomFormat":"CycloneDX"}\n'
        files = self.pack(self.binaries(ALL | {"x86_64-unknown-linux-musl/sigv4-proxy.cdx.json": bom}))
        self.assertEqual(files["sigv4-proxy-x86_64-unknown-linux-musl.cdx.json"], bom)
        wheel = next(data for path, data in files.items() if path.endswith("musllinux_1_1_x86_64.whl"))
        self.assertIn(bom, members(wheel).values())

    def test_what_cannot_be_packed_is_refused_with_a_reason(self) -> None:
        two = {"a/sigv4-proxy": elf(62), "b/sigv4-proxy": elf(62, interpreter=True)}
        old = elf(62, body=b"sigv4-proxy 0.0.9")
        for name, files, reason in (
            ("none", {"README": b""}, "no file named sigv4-proxy"),
            ("two", two, "are both for linux x64: remove one"),
            ("old", {"sigv4-proxy": old}, f"not sigv4-proxy {VERSION}: build it again"),
            ("script", {"sigv4-proxy": b"#!/bin/sh\n"}, "not a program for"),
            ("empty", {"sigv4-proxy": b""}, "not a program for"),
            ("cut", {"sigv4-proxy": elf(62)[:40]}, "not a program for"),
            ("riscv", {"sigv4-proxy": elf(243)}, "not a program for"),
            ("x86", {"sigv4-proxy.exe": pe(0x14C)}, "not a program for"),
        ):
            with self.subTest(name):
                run = self.run_packer(self.binaries(files, name))
                self.assertEqual(run.returncode, 1)
                self.assertIn(reason, run.stderr)
                self.assertNotIn("Traceback", run.stderr)
                self.assertFalse((self.folder / "out").exists())
        self.assertIn("there is no such folder", self.run_packer(self.folder / "nowhere").stderr)
        epoch = self.run_packer(self.binaries(ALL), SOURCE_DATE_EPOCH="yesterday")
        self.assertIn("SOURCE_DATE_EPOCH='yesterday': it must be a number", epoch.stderr)

    def test_no_folder_of_others_is_emptied(self) -> None:
        precious = self.folder / "out/precious"
        precious.parent.mkdir()
        precious.write_text("mine")
        run = self.run_packer(self.binaries(ALL))
        self.assertIn("not empty, and not made by this script", run.stderr)
        self.assertEqual(precious.read_text(), "mine")

    def test_what_was_left_from_the_last_time_is_gone(self) -> None:
        self.pack(self.binaries(ALL))
        left = self.folder / "out.unfinished/npm/left.tgz"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"")
        files = self.pack(self.binaries({"sigv4-proxy": elf(62)}, "one"))
        self.assertFalse([name for name in files if "darwin" in name or "windows" in name or "left" in name])
        self.assertFalse((self.folder / "out.unfinished").exists())

    def test_a_release_is_complete_or_refused(self) -> None:
        run = self.run_packer(self.binaries({"sigv4-proxy": elf(62, interpreter=True)}), "out", "--release")
        self.assertEqual(run.returncode, 1)
        for reason in (
            "no binary for aarch64-apple-darwin",
            "no binary for x86_64-pc-windows",
            "x86_64-unknown-linux-gnu is not a static binary",
            "no SBOM next to the binary",
            "project.toml: owner is a placeholder",
            "SOURCE_DATE_EPOCH is not set",
        ):
            self.assertIn(reason, run.stderr)
        self.assertFalse((self.folder / "out").exists())

    def test_a_universal_binary_holds_both_halves_where_macos_looks(self) -> None:
        halves = [mach_o(0x0100000C, 20000), mach_o(0x01000007, 5000)]
        data = binaries.universal(halves)
        magic, count = struct.unpack_from(">II", data)
        self.assertEqual((magic, count), (0xCAFEBABE, 2))
        for place, half in enumerate(sorted(halves, key=lambda half: half[4:8])):
            cpu, _, start, size, page = struct.unpack_from(">IIIII", data, 8 + 20 * place)
            self.assertEqual(data[start : start + size], half)
            self.assertEqual(cpu, struct.unpack_from("<I", half, 4)[0])
            self.assertEqual(start % (1 << page), 0)

    def test_versions_are_spelled_as_pypi_does(self) -> None:
        for cargo, pypi in (
            ("1.2.3", "1.2.3"),
            ("0.2.0-rc.1", "0.2.0rc1"),
            ("1.0.0-alpha2", "1.0.0a2"),
            ("1.0.0-beta.3", "1.0.0b3"),
        ):
            self.assertEqual(wheels.wheel_version(cargo), pypi)
        for version in "1.2.3-nightly", "1.2.3+5", "1.2":
            self.assertRaises(facts.Problem, wheels.wheel_version, version)

    def test_links_of_the_readme_lead_somewhere_from_anywhere(self) -> None:
        readme = facts.load().readme().decode()
        self.assertIn(f"/blob/v{VERSION}/docs/troubleshooting.md)", readme)
        self.assertIn(f"/raw/v{VERSION}/docs/flow.svg)", readme)
        targets = [part.split(")")[0] for part in readme.split("](")[1:]]
        self.assertEqual([target for target in targets if not target.startswith(("https://", "#"))], [])

    def test_cargo_binstall_finds_the_archives(self) -> None:
        cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]
        settings = cargo["metadata"]["binstall"]
        files = self.pack(self.binaries(ALL))
        for target in (
            "x86_64-unknown-linux-gnu",
            "x86_64-unknown-linux-musl",
            "aarch64-unknown-linux-gnu",
            "aarch64-unknown-linux-musl",
            "x86_64-apple-darwin",
            "aarch64-apple-darwin",
            "universal-apple-darwin",
            "x86_64-pc-windows-msvc",
            "x86_64-pc-windows-gnu",
        ):
            values = {key: settings[key] for key in ("pkg-url", "pkg-fmt", "bin-dir")} | settings["overrides"].get(
                target, {}
            )
            filled = {
                "{ repo }": "REPO",
                "{ version }": VERSION,
                "{ name }": "sigv4-proxy",
                "{ bin }": "sigv4-proxy",
                "{ target }": target,
                "{ binary-ext }": ".exe" if "windows" in target else "",
                "{ archive-suffix }": {"tgz": ".tar.gz", "zip": ".zip"}[values["pkg-fmt"]],
            }
            for name, value in filled.items():
                values = {key: text.replace(name, value) for key, text in values.items()}
            folder, file = values["pkg-url"].rsplit("/", 1)
            self.assertEqual(folder, f"REPO/releases/download/v{VERSION}")
            self.assertIn(file, files, target)
            self.assertIn(values["bin-dir"], members(files[file]), target)

    def test_the_pages_show_what_is_published(self) -> None:
        for page, text in install_lines.pages(facts.load()).items():
            self.assertEqual(page.read_text(encoding="utf-8"), text, f"{page} lags behind: make install-docs")
        project = facts.load()
        for channel in install_lines.CHANNELS:
            renewed = install_lines.pages(dataclasses.replace(project, published=(channel,)))
            for page, text in renewed.items():
                self.assertNotIn("has been published yet", text, page)
        with self.assertRaisesRegex(facts.Problem, "published: unknown channel 'pipy'"):
            install_lines.pages(dataclasses.replace(project, published=("pipy",)))


class Members(dict):
    modes: dict[str, int]


def members(data: bytes) -> Members:
    """The files in a zip or compressed tar file, and their modes; none other than regular ones is allowed."""
    found = Members()
    found.modes = {}
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                assert stat.S_ISREG(info.external_attr >> 16), info
                found[info.filename] = archive.read(info)
                found.modes[info.filename] = stat.S_IMODE(info.external_attr >> 16)
        return found
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            assert info.isreg() and (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", ""), info
            found[info.name] = archive.extractfile(info).read()
            found.modes[info.name] = info.mode
    return found


if __name__ == "__main__":
    unittest.main()
