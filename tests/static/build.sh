#!/bin/sh
# Builds the static binary. Arguments: the target, the folder to build in.
#
# The standard library is built, too, from the source that rustup or Debian has: without its printer of backtraces the binary
# is a tenth smaller, and panics are reported in one line. The C compiler is zig's, from PyPI.
set -eu
target=$1 folder=$2
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"

if [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    : # rustup's
elif [ -x /usr/bin/cargo ] && ls -d /usr/lib/rustlib/src/rust/library /usr/lib/rust-web/lib/rustlib/src/rust/library /usr/src/rustc-*/library >/dev/null 2>&1; then
    RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
    export RUSTC CARGO
else
    echo 'The source of the standard library is not installed. Either of these installs it:' >&2
    echo '    rustup component add rust-src' >&2
    echo '    apt-get update && apt-get install rustc-web cargo-web rust-web-src    (Debian 12 and later)' >&2
    exit 1
fi

tools=$(tests/static/tools.sh)

# Smaller than the release build, and a little slower: `"z"`, but with more functions inlined when all is linked than it would.
# Only then: compiled with that threshold, the crates that are optimised for speed would have fewer, and SHA-256 take a sixth longer.
CARGO_PROFILE_RELEASE_OPT_LEVEL=z
export CARGO_PROFILE_RELEASE_OPT_LEVEL

# Frame pointers shorten the tables that unwinding needs, and so does a process that ends when a destructor panics: together they
# are 0.3 MB. A panic anywhere else still costs one response only.

# No folder's name may get into the binary: two builds in two folders are compared. The parts of libc are zig's, not the
# ones that rustup would bring. Stable compilers build the standard library only when told that this is not stable.
PATH=$tools/bin:$PATH CARGO_TARGET_DIR=$folder RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS="-C target-feature=+crt-static -C link-self-contained=no -C relocation-model=static -C force-frame-pointers=yes -Z panic-in-drop=abort --remap-path-prefix=$here=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$(rustc --print sysroot)=rust" \
    cargo-zigbuild rustc --release --locked --bin sigv4-proxy --target "$target" \
    -Z build-std=std,panic_unwind -Z build-std-features=optimize_for_size \
    -- -C llvm-args=-inline-threshold=20 >&2
