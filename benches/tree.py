#!/usr/bin/env python3
"""Collects a tree of real files of this machine to measure with: 49,000 files, 1.3 GB.

Small files come first, as they are in a home folder or a source tree, then large ones until the size
is reached. A machine that has fewer gives what it has.
"""

import argparse
import os
import shutil
from pathlib import Path

ROOTS = ["/usr/share", "/usr/include", "/usr/lib", "/usr/local", "~/.cargo/registry/src", "~/.rustup"]
SMALL_BYTES_MAX = 256 << 10


def candidates():
    for root in ROOTS:
        root = os.path.expanduser(root)
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                stat = os.lstat(path)
                if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                    yield path, stat.st_size


def collect(target, files, size):
    found = list(candidates())
    small = [entry for entry in found if entry[1] <= SMALL_BYTES_MAX]
    large = [entry for entry in found if entry[1] > SMALL_BYTES_MAX]
    chosen, total = [], 0
    # A few hundred large files make up most of the size; the rest of the number is small.
    for path, length in small[: files - 500]:
        chosen.append(path)
        total += length
    for path, length in large:
        if len(chosen) < files and total + length <= size:
            chosen.append(path)
            total += length
    for path, length in small[files - 500 :]:
        if len(chosen) >= files:
            break
        chosen.append(path)
        total += length
    for path in chosen:
        copy = target / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    return len(chosen), total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--files", type=int, default=49_000)
    parser.add_argument("--mb", type=int, default=1300)
    args = parser.parse_args()
    files, total = collect(args.target.resolve(), args.files, args.mb * 10**6)
    print(f"{files} files, {total / 1e6:.0f} MB in {args.target}")


if __name__ == "__main__":
    main()
