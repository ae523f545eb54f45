#!/usr/bin/env bash
# collect-data.sh TARGET [DIR]: copies DIR, and then other folders of this machine, into TARGET
# until there are at least 320 MB of real files. Copies, because the originals may change meanwhile
# and belong to others.
set -euo pipefail

target=$1
first=${2:-/usr/share/doc}
wanted=$((320 * 1000 * 1000))

size() { find "$1" -type f -printf "%s\n" 2>/dev/null | awk "{s+=\$1} END {print s+0}"; }

take() {
    local from=$1 name
    # A folder with something that this user can't read is left out whole.
    [ -z "$(find "$from" ! -readable -print -quit 2>/dev/null)" ] || return 0
    name=$(echo "$from" | sed 's,^/,,; s,/,-,g')
    cp -a "$from" "$target/$name"
}

if [ ! -d "$first" ]; then
    echo "$first is not a folder" >&2
    exit 1
fi
rm -rf "$target"
mkdir -p "$target"
take "$first"
for place in /usr/share /usr/lib /usr/include /usr/local "${RUSTUP_HOME:-$HOME/.rustup}/toolchains"/*/share; do
    [ -d "$place" ] || continue
    for folder in "$place"/*; do
        [ "$(size "$target")" -lt "$wanted" ] || break 2
        [ -d "$folder" ] && [ ! -L "$folder" ] && [ "$folder" != "$first" ] || continue
        # One folder must not be the whole demo.
        [ "$(size "$folder")" -lt "$wanted" ] || continue
        take "$folder"
    done
done
if [ "$(size "$target")" -lt "$wanted" ]; then
    echo "this machine has fewer than 320 MB of files to show; name a larger folder: DIR=…" >&2
    exit 1
fi
