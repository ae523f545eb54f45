#!/usr/bin/env bash
# Media catalogs at size: catalog.sh TAPES CHUNKS [FOLDER]. Each step is a process of its own, so that its memory is its own.
set -euo pipefail

tapes=$1 chunks=$2
folder=${3:-target/bench/catalogs}
program=target/release/examples/catalog_scale

rm -rf "$folder"
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
"$program" make "$folder" "$tapes" "$chunks"
echo "indexes are made:"
"$program" open "$folder"
echo "indexes are fresh:"
"$program" open "$folder"
"$program" ask "$folder" 2000000
echo "files of 10,000 snapshots on 1,000 cartridges, 10 groups of 20,000 files:"
"$program" content "$folder/files" 1000 10
"$program" files "$folder/files" 20000
du -sk "$folder/files/file-lists" | awk '{ printf "{\"file_lists_mib\": %d}\n", $1 / 1024 }'
"$program" find "$folder/files" '/var/log/17*5.log'
"$program" find "$folder/files" '/srv/data/017/*ab.doc'
# Without what the system keeps in memory of the indexes, where it can be made to forget.
sync
if { echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null; then
    echo "indexes are fresh, nothing of them is in memory:"
    "$program" open "$folder"
fi
