#!/usr/bin/env bash
# Runs fuzz targets under libFuzzer: scripts/fuzz.sh SECONDS_EACH [TARGET...]
#
# Needs no nightly compiler: the coverage instrumentation is LLVM's own and is asked for with stable
# options. What is found is left in target/fuzz/found/TARGET; copy it to fuzz/found/TARGET when it is mended, and
# `make test` keeps it so.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
# All of them, unless some are named: a list here would forget the next one.
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
work=target/fuzz
# Not instrumented: what counts coverage is linked into the fuzz programs only.
cargo run --quiet --locked -p capstan-fuzz --bin write-seeds -- "$work/corpus"

# With --target the flags reach our code and its dependencies, not the build scripts.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
export CARGO_PROFILE_RELEASE_LTO=false
cargo build --release --locked -p capstan-fuzz --features libfuzzer --target "$host" --target-dir "$work" \
    "${targets[@]/#/--bin=}"
programs=$work/$host/release

failed=0
for target in "${targets[@]}"; do
    mkdir -p "$work/corpus/$target" "$work/found/$target" "fuzz/found/$target"
    echo "== $target"
    if ! "$programs/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -max_len=65536 \
        -artifact_prefix="$work/found/$target/" -print_final_stats=1 "$work/corpus/$target" "fuzz/found/$target" \
        2>"$work/$target.log"; then
        failed=1
        tail -n 40 "$work/$target.log"
        echo "$target failed: the input is in $work/found/$target"
    fi
    grep -E '^stat::(number_of_executed_units|new_units_added|peak_rss_mb)' "$work/$target.log" || true
done
exit $failed
