#!/bin/sh
# run.sh SECONDS [TARGET...]: fuzzes each target for so long; a crash ends it with the input in target/fuzz.
# Stable Rust and a C++ compiler do: these are the flags of cargo-fuzz, without a sanitizer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
seconds=$1
shift
[ $# -gt 0 ] || set -- stdin_line event_stream ini error_response url sts_xml server_message policy bridge http_request
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1" \
    cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" --target-dir "$root/target/fuzz" --target "$host"
for target; do
    corpus=$root/target/fuzz/corpus/$target
    mkdir -p "$corpus"
    # What was found stays; so do the seeds.
    log=$root/target/fuzz/$target.log
    "$root/target/fuzz/$host/release/$target" "$corpus" "$here/seeds/$target" -max_total_time="$seconds" -max_len=8192 \
        -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$root/target/fuzz/" -print_final_stats=1 >"$log" 2>&1 ||
        { tail -30 "$log"; echo "$target: FAILED, see $log"; exit 1; }
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    echo "$target: $executions executions in $seconds s, $covered, no crash"
done
