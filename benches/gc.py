#!/usr/bin/env python3
"""Garbage collection beside `find`, which looks at every chunk file too, over one store in one run.

The store has the shape of 1 GiB in chunks of 4 KiB, backed up four times: 262,144 chunks that four
indexes name. It is made once with `cargo run --release -p datastore --example make_store` and kept for
the next time if --store names a place. Both are run in turn, each several times; the median counts. Then
one collection is watched for how many times of access it sets: one for each chunk that is needed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = 2.0


def sh(command, **kwargs):
    done = subprocess.run(command, shell=isinstance(command, str), text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **kwargs)
    if done.returncode:
        sys.exit(f"failed with {done.returncode}: {command}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def timed(action):
    os.sync()  # Nobody pays for what was written before.
    start = time.monotonic()
    action()
    return time.monotonic() - start


def make_store(store, chunks, snapshots):
    if not (store / ".chunks").is_dir():
        sh(["cargo", "build", "-q", "--release", "--locked", "-p", "datastore", "--example", "make_store"], cwd=ROOT)
        sh([ROOT / "target/release/examples/make_store", store, str(chunks), str(snapshots)])


def measure(capstan, store, runs, chunks, snapshots):
    """The row of the summary. `store` is made if it is missing."""
    make_store(store, chunks, snapshots)
    folder = store.parent / "gc-bench"
    env = dict(os.environ, CAPSTAN_CONFIG=str(folder), CAPSTAN_STATE=str(folder))
    gc = [str(capstan), "datastore", "gc", f"{store}/", "--output-format", "json"]
    find = f"find {store}/.chunks -type f -printf '%A@ %s\\n' > /dev/null"
    timed(lambda: sh(find))  # Into memory, once for both.
    ours, theirs, status = [], [], {}
    for _ in range(runs):
        theirs.append(timed(lambda: sh(find)))

        def collect():
            status.update(json.loads(subprocess.run(gc, env=env, check=True, stdout=subprocess.PIPE,
                                                    stderr=subprocess.DEVNULL).stdout))

        ours.append(timed(collect))
    assert status["index-file-count"] == snapshots and status["cache-stats"]["misses"] == chunks, status
    row = {
        "name": "gc", "unit": "chunks/s", "ours": round(chunks / statistics.median(ours)),
        "peer": "find .chunks -printf '%A@ %s'", "peer_value": round(chunks / statistics.median(theirs)),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3), "target": TARGET,
    }
    spread = lambda times: f"{statistics.median(times):.2f} s ({min(times):.2f}-{max(times):.2f})"
    print(f"gc of {chunks} chunks in {snapshots} indexes: {spread(ours)}, find {spread(theirs)},"
          f" x{row['ratio']} (target {TARGET})", flush=True)
    return row


def touches(capstan, store):
    """How many times of access one collection sets."""
    trace = store.parent / "gc-strace"
    folder = store.parent / "gc-bench"
    env = dict(os.environ, CAPSTAN_CONFIG=str(folder), CAPSTAN_STATE=str(folder))
    sh(["strace", "-f", "-c", "-e", "trace=utimensat", "-o", trace, capstan, "datastore", "gc", f"{store}/"], env=env)
    rows = [line.split() for line in trace.read_text().splitlines()]
    trace.unlink()
    # Columns: % time, seconds, usecs/call, calls, errors if there were any, name.
    return sum(int(row[3]) for row in rows if row and row[-1] == "utimensat")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=ROOT / "target/bench-gc/store", help="where the store is or will be")
    parser.add_argument("--capstan", type=Path, default=ROOT / "target/release/capstan", help="the program")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=262_144)
    parser.add_argument("--snapshots", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="leave the store for the next time")
    args = parser.parse_args()
    args.store.parent.mkdir(parents=True, exist_ok=True)
    row = measure(args.capstan, args.store.absolute(), args.runs, args.chunks, args.snapshots)
    if shutil.which("strace"):
        calls = touches(args.capstan, args.store.absolute())
        # Two more for the chunk on which times of access are tried out.
        print(f"utimensat: {calls} calls for {args.chunks} chunks")
        if calls > args.chunks + 2:
            sys.exit("more than one touch a chunk")
    else:
        print("(strace is not installed: touches were not counted)")
    if not args.keep:
        shutil.rmtree(args.store)
    if row["ratio"] > TARGET:
        sys.exit("target missed: gc")


if __name__ == "__main__":
    main()
