#!/usr/bin/env bash
# demo.sh DIR: real files to a datastore, to a tape library over several cartridges, the datastore
# and everything known of the tapes thrown away, and every file back from the tapes alone.
set -euo pipefail

dir=${1:-/usr/share/doc}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/target/demo
capstan=$root/target/release/capstan
export CAPSTAN_CONFIG=$work/config CAPSTAN_STATE=$work/state

step() { printf '\n== %s\n' "$*"; }
run() { printf '$ capstan %s\n' "$*"; "$capstan" "$@"; }

rm -rf "$work"
mkdir -p "$work"
cd "$work"

step "Real files: $dir, and more of this machine up to 300 MB"
"$root/scripts/collect-data.sh" "$work/source" "$dir"
files=$(find source | wc -l)
bytes=$(find source -type f -printf "%s\n" | awk "{s+=\$1} END {print s}")
echo "$files entries, $((bytes / 1000000)) MB"

step "To a deduplicating datastore"
run datastore create first ./store-1
snapshot=$(run backup files.pxar:source --repository first --backup-id demo | tail -n 1)
echo "$snapshot"
run datastore verify first

step "To tape: a library with cartridges so small that several are needed"
chunks=$(find store-1/.chunks -type f -printf '%s\n' | awk '{s+=$1} END {print s}')
capacity=$((chunks / 4 + 24 * 1024 * 1024))
run vtl create ./library --drives 1 --slots 8 --import-export 1 --cartridges 8 \
    --generation lto8 --capacity "$capacity"
run tape changer create library --path 'vtl:./library#changer'
run tape drive create lto0 --path 'vtl:./library#drive0' --changer library
run tape pool create offsite --drive lto0
run tape barcode-label --drive lto0 --pool offsite
set_uuid=$(run tape backup first offsite | tail -n 1)
echo "media set $set_uuid"
run tape media list --pool offsite
used=$("$capstan" tape media list --output-format json |
    python3 -c 'import json, sys; print(sum("seq-nr" in m for m in json.load(sys.stdin)))')
run tape unload

step "The datastore is lost, and so is everything that this machine knew of the tapes"
rm -rf store-1 config state
echo "removed: store-1, configuration, inventory, catalogs"

step "A new machine: what is on these tapes?"
run tape changer create library --path 'vtl:./library#changer'
run tape drive create lto0 --path 'vtl:./library#drive0' --changer library
run tape inventory --drive lto0 --read-labels --catalog
run tape media content

step "Back into a new datastore, and back to files"
run datastore create second ./store-2
run tape restore "$set_uuid" second --drive lto0
run datastore verify second
run restore "$snapshot" files.pxar restored --repository second

step "Compared by another tool: rsync -nacAXH --delete --itemize-changes"
difference=$(rsync -nacAXH --delete --itemize-changes source/ restored/)
if [ -n "$difference" ]; then
    printf '%s\n' "$difference" | head -n 20
    echo "The restored tree differs from the original." >&2
    exit 1
fi
if [ "$used" -lt 3 ]; then
    echo "Only $used cartridges were written; the demo wants to show at least three." >&2
    exit 1
fi
echo "identical: $files entries, $((bytes / 1000000)) MB, by way of $used cartridges"
