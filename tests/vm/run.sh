#!/usr/bin/env bash
# The emulated library, served over iSCSI, in front of a real Linux kernel: see guest.sh for what is tried there.
#
#   run.sh [GUEST_SCRIPT]
#
# Builds what it needs, leaves the report in target/vm/out.log, and ends with 0 if every line of it says ok.
set -euo pipefail
cd "$(dirname "$0")/../.."
script=${1:-tests/vm/guest.sh}
dir=target/vm
rm -rf "$dir"
mkdir -p "$dir/share"

"${CARGO:-cargo}" build --release --locked --bin capstan
# The suite as a program that the guest can run.
conformance=$("${CARGO:-cargo}" test --locked --test conformance --no-run --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "conformance" and message["executable"]:
        print(message["executable"])')
capstan=target/release/capstan
strip -o "$dir/share/capstan" "$capstan"
strip -o "$dir/share/conformance" "$conformance"
cp "$script" "$dir/share/guest.sh"

"$capstan" vtl create "$dir/library" --drives 2 --slots 8 --import-export 2 --cartridges 6 --generation lto8 --capacity 48M 2>/dev/null
"$capstan" vtl serve "$dir/library" --listen 127.0.0.1:0 --target-name iqn.2026-01.test.capstan:vm >"$dir/serve.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    port=$(sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$dir/serve.log" | head -1)
    [ -z "$port" ] || break
    kill -0 "$server" || { cat "$dir/serve.log" >&2; exit 1; }
    sleep 0.1
done
start=$(date +%s)
status=0
VM_TARGET="$port:iqn.2026-01.test.capstan:vm" VM_MEM=2048 tests/vm/vm.sh run "$dir/share" guest.sh || status=$?
cp "$dir/share/out.log" "$dir/out.log" 2>/dev/null || true
echo "guest: $(grep -c '^ok' "$dir/out.log" || true) ok, $(grep -c '^FAIL' "$dir/out.log" || true) failed, $(($(date +%s) - start)) s"
exit "$status"
