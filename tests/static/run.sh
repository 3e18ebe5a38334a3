#!/bin/sh
# Builds the static binary twice, in two folders, compares the two, and tries what is promised of it.
set -eu
target=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"

binary=$here/target/static/$target/release/sigv4-proxy
tests/static/build.sh "$target" "$here/target/static"
echo "built once: $binary"
tests/static/build.sh "$target" "$here/target/static-again"
if cmp "$binary" "$here/target/static-again/$target/release/sigv4-proxy"; then
    echo '  ok  built twice, the same bytes'
else
    echo 'the two builds differ' >&2
    exit 1
fi

check() {
    cargo run --quiet --locked --example static-check -- "$@"
}
case $target in
"$(uname -m)"-*) check "$binary" ;;
*)
    emulator=$(command -v "qemu-${target%%-*}-static") || {
        echo "to try it here, install qemu-user-static" >&2
        exit 1
    }
    check "$binary" "$emulator"
    ;;
esac

install -D -m 755 "$binary" "$here/target/binaries/$target/sigv4-proxy"
sha256sum "$binary"
