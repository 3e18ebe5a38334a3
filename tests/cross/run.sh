#!/bin/sh
# Builds the program for Windows and macOS on Linux. All tests run under wine; what is built for macOS is linked and not run.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"
windows=x86_64-pc-windows-gnu
folder=$here/target/cross

need() {
    for command in $1; do
        if command -v "$command" >/dev/null; then
            found=$command
            return
        fi
    done
    echo "$1 is not installed; on Debian: apt-get install --no-install-recommends $2" >&2
    exit 1
}
need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
need "wine64 /usr/lib/wine/wine64 wine" wine64
wine=$found
rustup target add $windows aarch64-apple-darwin x86_64-apple-darwin 2>/dev/null || {
    echo 'rustup is needed, which brings the standard libraries of Windows and macOS' >&2
    exit 1
}

# ---- Windows

export CARGO_TARGET_DIR="$folder" CARGO_PROFILE_DEV_DEBUG=0
export WINEPREFIX="$folder/wine" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml='
unset DISPLAY
mkdir -p "$WINEPREFIX"
server=$(command -v wineserver || echo /usr/lib/wine/wineserver)
trap '"$server" -k 2>/dev/null || true' EXIT
"$wine" cmd /c exit
system=$WINEPREFIX/drive_c/windows/system32
if ! [ -e "$system/bcryptprimitives.dll" ]; then
    x86_64-w64-mingw32-gcc -shared -O2 -o "$system/bcryptprimitives.dll" tests/cross/bcryptprimitives.c -ladvapi32
fi

cargo build --quiet --locked --release --bin sigv4-proxy --target $windows
leave() {
    mkdir -p "target/binaries/$1"
    cp "$folder/$1/release/$2" "target/binaries/$1/"
    echo "$3: target/binaries/$1/$2, $(wc -c <"$folder/$1/release/$2") bytes"
}
leave $windows sigv4-proxy.exe built
built=$folder/tests.json
cargo test --quiet --locked --no-run --lib --test it --target $windows --message-format=json-render-diagnostics >"$built"
sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$built" | grep '/deps/' | while read -r tests; do
    log=$folder/$(basename "$tests").log
    echo "under wine: $(basename "$tests")"
    "$wine" "$tests" --test-threads 4 2>&1 | tr -d '\r' >"$log" || true
    sed -n 's/^test \(.*\) \.\.\. ignored, /  not there: \1: /p; s/^test \(.*\) \.\.\. FAILED/  FAILED: \1/p' "$log"
    grep '^test result: ' "$log"
    if ! grep -q '^test result: ok' "$log"; then
        echo "see $log" >&2
        exit 1
    fi
done

# ---- macOS

# Only what the linker asks for: the frameworks are on the Mac that runs it.
for framework in Security CoreFoundation; do
    mkdir -p "$folder/frameworks/$framework.framework"
    cat >"$folder/frameworks/$framework.framework/$framework.tbd" <<STUB
--- !tapi-tbd
tbd-version:     4
targets:         [ arm64-macos, x86_64-macos ]
install-name:    '/System/Library/Frameworks/$framework.framework/Versions/A/$framework'
...
STUB
done
tools=$(tests/static/tools.sh)
for target in aarch64-apple-darwin x86_64-apple-darwin; do
    binary=$folder/$target/release/sigv4-proxy
    PATH=$tools/bin:$PATH \
        RUSTFLAGS="-C link-arg=-F$folder/frameworks -C link-arg=-undefined -C link-arg=dynamic_lookup" \
        cargo-zigbuild zigbuild --quiet --locked --release --bin sigv4-proxy --target $target 2>"$folder/$target.log" ||
        { cat "$folder/$target.log" >&2; exit 1; }
    # The magic number of 64-bit Mach-O, and the type of an executable.
    [ "$(od -An -tx4 -N4 "$binary" | tr -d ' ')" = feedfacf ] && [ "$(od -An -tu4 -j12 -N4 "$binary" | tr -d ' ')" = 2 ] ||
        { echo "$binary is not an executable of macOS" >&2; exit 1; }
    leave $target sigv4-proxy 'linked, not run'
done
