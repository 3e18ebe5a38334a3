#!/bin/sh
# Installs zig and cargo-zigbuild from PyPI, which link for other systems. Prints their folder.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
# Not zig 0.17: its libc has an allocator of its own, in which hundreds of threads on few cores spin.
tools=$here/target/static-tools-0.15
if ! [ -x "$tools/bin/cargo-zigbuild" ]; then
    echo 'installing zig and cargo-zigbuild from PyPI' >&2
    python3 -m venv "$tools" >&2
    "$tools/bin/pip" install --quiet 'ziglang==0.15.2' 'cargo-zigbuild==0.24.1' >&2
fi
echo "$tools"
