#!/bin/sh
# Writes a software bill of materials (CycloneDX, JSON) next to each binary. Argument: the folder of binaries, in which each
# folder has the name of the target whose binary is in it. SOURCE_DATE_EPOCH is the date that is written.
set -eu
case ${1:?the folder of binaries} in /*) binaries=$1 ;; *) binaries=$PWD/$1 ;; esac
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"

version=0.5.9
tools=$here/target/sbom-tools-$version
if ! [ -x "$tools/bin/cargo-cyclonedx" ]; then
    echo 'building cargo-cyclonedx' >&2
    cargo install --quiet --locked --debug --root "$tools" "cargo-cyclonedx@$version"
fi

# It writes into the folder of Cargo.toml and names that folder, which must not depend on the machine.
trap 'rm -f "$here/sbom.json"' EXIT
for folder in "$binaries"/*/; do
    folder=${folder%/}
    target=$(basename "$folder")
    case $target in universal-*) continue ;; esac # pack.py makes that binary, and takes the list of one of its halves
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800} PATH=$tools/bin:$PATH \
        cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --target "$target" --override-filename sbom
    sed "s|path+file://$here#|path+file:///sigv4-proxy#|g" sbom.json >"$folder/sigv4-proxy.cdx.json"
    echo "$folder/sigv4-proxy.cdx.json"
done
