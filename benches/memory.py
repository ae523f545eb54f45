#!/usr/bin/env python3
"""Memory of backup, restore, verify and garbage collection of one large sparse disk image.

Prints a table and leaves target/memory-summary.json; fails if a command had more than 300 MB.
"""

import argparse
import json
import os
import random
import shutil
import sys
from pathlib import Path

from measure import TARGET, capstan

LIMIT_MB = 300


def make_image(path, size, data_bytes):
    """Data in pieces of 1 to 8 MiB at random places, half of it random and half text; holes between."""
    source = random.Random(1)
    line = b"the tape is in the drive, and the drive is in the library\n"
    with path.open("wb") as image:
        image.truncate(size)
        written = 0
        while written < data_bytes:
            length = min(source.randrange(1 << 20, 8 << 20), data_bytes - written)
            image.seek(source.randrange(0, size - length))
            is_random = source.random() < 0.5
            image.write(source.randbytes(length) if is_random else (line * (length // len(line) + 1))[:length])
            written += length


def is_equal(first, second):
    """Compares what is data in either file; where both have holes there is nothing to compare."""
    with first.open("rb") as a, second.open("rb") as b:
        size = os.fstat(a.fileno()).st_size
        if size != os.fstat(b.fileno()).st_size:
            return False
        at = 0
        while at < size:
            nexts = []
            for file in (a, b):
                try:
                    nexts.append(os.lseek(file.fileno(), at, os.SEEK_DATA))
                except OSError:
                    nexts.append(size)
            at = min(nexts)
            if os.pread(a.fileno(), 1 << 20, at) != os.pread(b.fileno(), 1 << 20, at):
                return False
            at += 1 << 20
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gb", type=int, default=100, help="length of the image [default: 100]")
    parser.add_argument("--data-mb", type=int, default=2000, help="data in it [default: 2000]")
    parser.add_argument("--work", type=Path, default=TARGET / "memory", help="folder to work in")
    args = parser.parse_args()
    work = args.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    image, restored = work / "disk.img", work / "restored.img"
    make_image(image, args.size_gb * 10**9, args.data_mb * 10**6)
    capstan(work, "datastore", "create", "memory", work / "store")
    steps = {}

    def step(name, *command):
        steps[name] = capstan(work, *command)
        print(f"{name:<16}{steps[name]}", flush=True)

    def backup(name, seconds):
        step(name, "backup", f"disk.img:{image}", "--repository", "memory", "--backup-type", "vm",
             "--backup-id", "100", "--backup-time", seconds)

    backup("backup", 1_700_000_000)
    backup("backup again", 1_700_000_001)
    step("restore", "restore", "vm/100", "disk.img", restored, "--repository", "memory")
    equal = is_equal(image, restored)
    step("verify", "datastore", "verify", "memory")
    step("gc", "datastore", "gc", "memory")
    summary = [{"name": name, "seconds": round(cost.wall_s, 2), "rss_mb": round(cost.rss_mib * 1.048576)}
               for name, cost in steps.items()]
    kept = TARGET / "memory-summary.json"
    kept.write_text(json.dumps(summary, indent=2) + "\n")
    shutil.rmtree(work)
    if not equal:
        sys.exit("the restored image differs from the original")
    above = [row["name"] for row in summary if row["rss_mb"] > LIMIT_MB]
    if above:
        sys.exit(f"more than {LIMIT_MB} MB: {', '.join(above)}")
    print(f"all below {LIMIT_MB} MB -> {kept}")


if __name__ == "__main__":
    main()
