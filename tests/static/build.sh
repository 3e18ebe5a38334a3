#!/bin/sh
# Builds the static binary. Arguments: the target, the folder to build in.
#
# Where the standard library of the target is installed (`rustup target add`), that is used; elsewhere it is built from
# Debian's source of it. The C compiler is musl-gcc if there is one for the target, else zig's, from PyPI.
set -eu
target=$1 folder=$2
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"

# The folder's name must not get into the binary: two builds in two folders are compared.
flags="-C target-feature=+crt-static --remap-path-prefix=$here=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

install_zig() {
    tools=$here/target/static-tools-0.15
    # Not zig 0.17: its libc has an allocator of its own, in which hundreds of threads on few cores spin.
    if ! [ -x "$tools/bin/cargo-zigbuild" ]; then
        echo 'installing zig and cargo-zigbuild from PyPI' >&2
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet 'ziglang==0.15.2' 'cargo-zigbuild==0.24.1'
    fi
    PATH=$tools/bin:$PATH
    export PATH
}

build() {
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$folder "$@" --profile static --locked --bin sigv4-proxy --target "$target" >&2
}

if [ -d "$(rustc --print target-libdir --target "$target")" ]; then
    if [ "$target" = x86_64-unknown-linux-musl ] && command -v musl-gcc >/dev/null; then
        build cargo build
    else
        install_zig
        build cargo-zigbuild zigbuild
    fi
else
    source=$(ls -d /usr/lib/rustlib/src/rust/library /usr/lib/rust-web/lib/rustlib/src/rust/library /usr/src/rustc-*/library 2>/dev/null | head -n 1 || true)
    if [ -z "$source" ] || ! [ -x /usr/bin/cargo ]; then
        echo "The standard library for $target is not installed. Either of these brings it:" >&2
        echo "    rustup target add $target" >&2
        echo '    apt-get update && apt-get install rustc-web cargo-web rust-web-src    (Debian 12 and later)' >&2
        exit 1
    fi
    install_zig
    # The pieces of libc are zig's, not the ones that rustup would bring.
    flags="$flags -C link-self-contained=no"
    RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo RUSTC_BOOTSTRAP=1
    export RUSTC CARGO RUSTC_BOOTSTRAP
    # Without std's printer of backtraces: panics are told in one line.
    build cargo-zigbuild zigbuild -Z build-std=std,panic_unwind -Z build-std-features=
fi
