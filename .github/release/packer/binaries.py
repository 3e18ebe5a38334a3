"""The binaries to pack. A binary's platform is read from its header, never from its name."""

import struct
from dataclasses import dataclass
from pathlib import Path

from .project import NAME, Problem, Project


@dataclass(frozen=True)
class Platform:
    target: str  # in the names of archives
    os: str  # as Node.js names it, and MCPB after it
    cpu: str
    wheel_tag: str
    image_arch: str = ""  # as container images name it; empty: none
    portable: bool = True  # to other machines of this kind

    @property
    def program(self) -> str:
        return f"{NAME}.exe" if self.os == "win32" else NAME


LINUX_X64 = Platform(
    "x86_64-unknown-linux-musl",
    "linux",
    "x64",
    "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "amd64",
)
LINUX_ARM64 = Platform(
    "aarch64-unknown-linux-musl",
    "linux",
    "arm64",
    "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    "arm64",
)
DARWIN_X64 = Platform("x86_64-apple-darwin", "darwin", "x64", "macosx_10_12_x86_64")
DARWIN_ARM64 = Platform("aarch64-apple-darwin", "darwin", "arm64", "macosx_11_0_arm64")
DARWIN = Platform("universal-apple-darwin", "darwin", "", "")
WIN32_X64 = Platform("x86_64-pc-windows", "win32", "x64", "win_amd64")

# Linked against the C library of the machine that built it: good for a try on that machine. PyPI refuses these tags.
DYNAMIC = {
    LINUX_X64: Platform("x86_64-unknown-linux-gnu", "linux", "x64", "linux_x86_64", portable=False),
    LINUX_ARM64: Platform("aarch64-unknown-linux-gnu", "linux", "arm64", "linux_aarch64", portable=False),
}
RELEASED = (LINUX_X64, LINUX_ARM64, DARWIN_X64, DARWIN_ARM64, DARWIN, WIN32_X64)


@dataclass(frozen=True)
class Binary:
    platform: Platform
    data: bytes
    sbom: bytes | None  # CycloneDX, in JSON


def find(folder: Path, project: Project) -> list[Binary]:
    """The binaries in a folder, at any depth, with the SBOMs next to them, in the order of their targets."""
    if not folder.is_dir():
        raise Problem(f"{folder}: there is no such folder")
    found: dict[tuple[str, str], tuple[Path, Binary]] = {}  # by system and processor
    for path in sorted(folder.rglob("*")):
        if path.name not in (NAME, f"{NAME}.exe") or not path.is_file():
            continue
        data = path.read_bytes()
        platform = platform_of(data)
        if platform is None:
            raise Problem(f"{path}: not a program for Linux, macOS or Windows on x86_64 or aarch64")
        if not names_version(data, project.version):
            raise Problem(f"{path}: not {NAME} {project.version}: build it again, from this source")
        key = platform.os, platform.cpu
        if key in found:
            raise Problem(f"{path} and {found[key][0]} are both for {' '.join(key)}: remove one")
        sbom = path.parent / f"{NAME}.cdx.json"
        found[key] = path, Binary(platform, data, sbom.read_bytes() if sbom.is_file() else None)
    if not found:
        raise Problem(f"{folder}: no file named {NAME} or {NAME}.exe in it: `make static` builds one")
    binaries = [binary for _, binary in found.values()]
    slices = [binary for binary in binaries if binary.platform in (DARWIN_X64, DARWIN_ARM64)]
    if len(slices) == 2 and (DARWIN.os, DARWIN.cpu) not in found:
        binaries.append(Binary(DARWIN, universal([binary.data for binary in slices]), slices[0].sbom))
    return sorted(binaries, key=lambda binary: binary.platform.target)


def names_version(data: bytes, version: str) -> bool:
    return any(f"{NAME}{separator}{version}".encode() in data for separator in " /")


def platform_of(data: bytes) -> Platform | None:
    try:
        if data[:6] == b"\x7fELF\x02\x01":
            return elf_platform(data)
        if data[:2] == b"MZ":
            (at,) = struct.unpack_from("<I", data, 0x3C)
            machine = struct.unpack_from("<4sH", data, at)
            return WIN32_X64 if machine == (b"PE\0\0", 0x8664) else None
        (magic,) = struct.unpack_from("<I", data)
        if magic == 0xFEEDFACF:
            cpu, _, kind = struct.unpack_from("<III", data, 4)
            return {CPU_X64: DARWIN_X64, CPU_ARM64: DARWIN_ARM64}.get(cpu) if kind == 2 else None
        return DARWIN if data[:4] == b"\xca\xfe\xba\xbe" else None
    except struct.error:
        return None


def elf_platform(data: bytes) -> Platform | None:
    kind, machine = struct.unpack_from("<HH", data, 16)
    platform = {62: LINUX_X64, 183: LINUX_ARM64}.get(machine) if kind in (2, 3) else None
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<I", data, table + at * size)[0] for at in range(count)]
    names_interpreter = 3 in headers
    return DYNAMIC[platform] if platform and names_interpreter else platform


CPU_X64, CPU_ARM64 = 0x01000007, 0x0100000C
PAGES = {CPU_X64: 12, CPU_ARM64: 14}  # as powers of two; macOS loads a slice only where a page begins


def universal(slices: list[bytes]) -> bytes:
    """One Mach-O file for several processors, as `lipo -create` makes it."""
    header, body = struct.pack(">II", 0xCAFEBABE, len(slices)), b""
    start = len(header) + 20 * len(slices)
    for data in sorted(slices, key=lambda data: data[4:8]):
        cpu, variant = struct.unpack_from("<II", data, 4)
        body += b"\0" * (-(start + len(body)) % (1 << PAGES[cpu]))
        header += struct.pack(">IIIII", cpu, variant, start + len(body), len(data), PAGES[cpu])
        body += data
    return header + body
