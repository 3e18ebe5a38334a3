"""Tar and zip files that depend on nothing but their content: not on the clock, the user, the umask or the folder."""

import hashlib
import io
import struct
import tarfile
import time
import zipfile
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    path: str
    data: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(entries: list[Entry], date: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in sorted(entries, key=lambda entry: entry.path):
            info = tarfile.TarInfo(entry.path)
            info.size, info.mode, info.mtime = len(entry.data), entry.mode, date
            archive.addfile(info, io.BytesIO(entry.data))
    return buffer.getvalue()


def gzipped(data: bytes) -> bytes:
    # The header is written here, because what Python writes depends on its version.
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    header = b"\x1f\x8b\x08" + bytes(5) + b"\x02\xff"
    return header + deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def tar_gz(entries: list[Entry], date: int) -> bytes:
    return gzipped(tar(entries, date))


def zipped(entries: list[Entry], date: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.path, time.gmtime(date)[:6])
            info.create_system = 3  # Unix, whatever system packs: the next line is of Unix
            info.external_attr = (0o100000 | entry.mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.data, compresslevel=9)
    return buffer.getvalue()
