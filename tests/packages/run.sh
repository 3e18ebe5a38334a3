#!/bin/sh
# Packs the binaries twice, compares, and uses every package as its users do. Argument: the folder of binaries.
set -eu
binaries=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"

tools=$here/target/packages-tools
if ! [ -x "$tools/bin/zizmor" ]; then
    echo 'installing uv, twine, validators and zizmor from PyPI' >&2
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet 'uv==0.13.9' 'twine==7.0.0' 'check-jsonschema==0.39.0' \
        'cyclonedx-python-lib[json-validation]==11.12.0' 'zizmor==1.32.0'
fi
if ! [ -x "$tools/node_modules/.bin/mcpb" ]; then
    echo 'installing mcpb from npm' >&2
    npm install --silent --no-audit --no-fund --prefix "$tools" '@anthropic-ai/mcpb@2.1.2'
fi

cargo build --quiet --locked --example verifying-server
exec "$tools/bin/python" -B tests/packages/check.py "$binaries" "$tools" target/debug/examples/verifying-server
