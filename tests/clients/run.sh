#!/bin/sh
# Runs each client against a verifying server of its own. Arguments: the proxy, the server, node's script, python.
set -eu
proxy=$1 server=$2 here=$(dirname "$0") python=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

against() {
    mkfifo "$folder/stdin"
    "$server" <"$folder/stdin" >"$folder/out" &
    pid=$!
    exec 9>"$folder/stdin"
    while ! [ -s "$folder/out" ]; do sleep 0.05; done
    "$@" "$proxy" "$(head -n 1 "$folder/out")" 9>&-
    exec 9>&-
    wait "$pid" || { tail -n 1 "$folder/out"; exit 1; }
    tail -n 1 "$folder/out"
    rm "$folder/stdin" "$folder/out"
}

against node "$here/client.mjs"
against "$python" "$here/client.py"
against node "$here/modern.mjs"
against "$python" "$here/modern.py"
against node "$here/cold.mjs" node "$here/discover.mjs"
against node "$here/cold.mjs" "$python" "$here/discover.py"
against node "$here/listener.mjs" node "$here/client.mjs"
against node "$here/listener.mjs" "$python" "$here/client.py"
against node "$here/listener.mjs" node "$here/discover.mjs"
against node "$here/listener.mjs" "$python" "$here/discover.py"
against node "$here/listener.mjs" --with '--bridge always' node "$here/modern.mjs"
against node "$here/listener.mjs" --with '--bridge always' "$python" "$here/modern.py"
node "$here/sign_in.mjs" "$proxy" "$python"
