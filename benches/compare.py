#!/usr/bin/env python3
"""Capstan beside the machine's limit: tar, zstd and cat over the same files, in one run.

Every figure is the median of several runs of whole commands, ours and the peer's in turn, so that
both meet the same machine. The files are in the page cache for all of them. What is written to is
emptied between runs. Prints a table and leaves target/bench/summary.json.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import proofs
import tape
import tape_jobs
import tree
from lab import CAPSTAN, ROOT, WORK, Bench, capstan, sh, wipe

def empty_store(store):
    """An empty store: making its 65536 folders anew each time would only measure the disk's patience."""
    for kind in ("host", "vm", "ct", ".locks"):
        wipe(store / kind)
    for folder in (store / ".chunks").iterdir():
        for chunk in folder.iterdir():
            chunk.unlink()


def peers(bench, source):
    """Other backup tools where they are installed; no targets, only the truth."""
    env = {"RESTIC_PASSWORD": "bench", "RUSTIC_PASSWORD": "bench", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    os.environ.update(env)
    tools = {
        "restic": ("restic init -q -r {r}", "restic -q -r {r} backup --no-cache {s}",
                   "restic -q -r {r} restore latest --no-cache --target {o}"),
        "rustic": ("rustic -r {r} --log-level error init", "rustic -r {r} --log-level error backup {s}",
                   "rustic -r {r} --log-level error restore latest {o}"),
        "borg": ("borg init -e none {r}", "borg create -C zstd,1 {r}::{{now}} {s}",
                 "mkdir -p {o} && cd {o} && borg extract {r}::$(borg list --last 1 --format '{{archive}}' {r})"),
    }
    for tool, (init, backup, restore) in tools.items():
        if not shutil.which(tool):
            print(f"({tool} is not installed)")
            continue
        repo, out = WORK / f"{tool}-repo", WORK / f"{tool}-out"
        fill = {"r": repo, "s": source, "o": out}

        def fresh():
            wipe(repo)
            sh(init.format(**fill))

        bench.pair("backup-first", tool, ours=lambda: backup_first(), theirs=lambda: sh(backup.format(**fill)),
                   before_ours=lambda: empty_store(WORK / "store"), before_theirs=fresh)
        # borg keeps a list of files on the side and does not read what the list knows.
        bench.pair("backup-repeat", tool, ours=lambda: backup_first(), theirs=lambda: sh(backup.format(**fill)),
                   target=None if tool == "borg" else 1.0)
        bench.pair("restore", tool, ours=lambda: restore_files(), theirs=lambda: sh(restore.format(**fill)),
                   before_theirs=lambda: wipe(out))
        wipe(repo)


def verify(bench, source_proofs, store):
    """Beside the slower of SHA-256 and zstd decompression, each alone on all processors.

    To verify is to do both, one after the other, so the sum of both is what the processors need; that
    row has no target and tells how much is lost besides.
    """
    sizes = {"size": proofs.plain_bytes_of(store), "peer_size": source_proofs.plain_bytes}
    ours = lambda: capstan("datastore", "verify", "bench", "--no-record")
    bench.pair("verify", source_proofs.slower_name, ours, lambda: sh(source_proofs.slower), target=VERIFY_TARGET,
               **sizes)
    bench.pair("verify", "both, one after the other", ours,
               lambda: (sh(source_proofs.sha), sh(source_proofs.unpack)), **sizes)


def collect_garbage(bench):
    """The row of gc.py, which has a store of its own."""
    spec = importlib.util.spec_from_file_location("gc_bench", ROOT / "benches/gc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    store = WORK / "gc/store"
    store.parent.mkdir()
    bench.rows.append(module.measure(CAPSTAN, store, bench.runs, 262_144, 4))
    wipe(store.parent)


VERIFY_TARGET = 2.0
SOURCE = None
CLOCK = [1_700_000_000]


def backup_first():
    CLOCK[0] += 1
    capstan("backup", f"data.pxar:{SOURCE}", "--repository", "bench", "--backup-id", "bench", "--backup-time", CLOCK[0])


def fresh_folder():
    """A new name each time: removing 40,000 files between runs would take longer than the runs."""
    CLOCK[0] += 1
    return WORK / f"out-{CLOCK[0]}"


def restore_files():
    capstan("restore", "host/bench", "data.pxar", fresh_folder(), "--repository", "bench")


def untar(unpack):
    out = fresh_folder()
    sh(f"mkdir {out} && {unpack} -C {out}")


def disk(bench, store, source_proofs):
    tar_zstd = f"tar -cf - -C {SOURCE} . | zstd -q -1 -T2 > tar.zst"
    bench.pair("backup-first", "tar | zstd -1 -T2", ours=backup_first, theirs=lambda: sh(tar_zstd), target=1.25,
               before_ours=lambda: empty_store(store), before_theirs=lambda: wipe(WORK / "tar.zst"))
    bench.pair("backup-repeat", "tar | zstd -1 -T2", ours=backup_first, theirs=lambda: sh(tar_zstd),
               before_theirs=lambda: wipe(WORK / "tar.zst"))
    sh(f"tar -cf plain.tar -C {SOURCE} .")
    bench.pair("restore", "tar -x", ours=restore_files, theirs=lambda: untar("tar -xf plain.tar"), target=1.1)
    bench.pair("restore", "zstd -d | tar -x", ours=restore_files, theirs=lambda: untar("zstd -qdc tar.zst | tar -xf -"))
    for name in ("plain.tar", "tar.zst"):
        wipe(WORK / name)
    verify(bench, source_proofs, store)
    collect_garbage(bench)


def main():
    global SOURCE
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder to work on [default: 49,000 files, 1.3 GB, of this machine]")
    parser.add_argument("--only", choices=["tape-jobs"], help="only the rows of whole jobs on tapes")
    parser.add_argument("--no-tools", action="store_true", help="leave out restic, rustic and borg")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command; the median counts [default: 3]")
    parser.add_argument("--keep", action="store_true", help="leave the working files behind")
    args = parser.parse_args()
    wipe(WORK)
    WORK.mkdir(parents=True)
    if args.data is None:
        args.data = WORK / "source"
        tree.collect(args.data, 49_000, 1_300_000_000)
    SOURCE = args.data.resolve()
    bench = Bench(SOURCE, max(3, args.runs))
    print(f"{bench.bytes / 1e6:.0f} MB in {sum(1 for _ in SOURCE.rglob('*'))} entries, medians of {bench.runs} runs,"
          f" {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; ratio = our time / the peer's", flush=True)
    store = WORK / "store"
    capstan("datastore", "create", "bench", store)
    sh(f"tar -cf - -C {SOURCE} . | cat > /dev/null")  # Into the page cache, once for all.
    source_proofs = proofs.Proofs(bench, SOURCE)
    if args.only is None:
        disk(bench, store, source_proofs)
        (WORK / "tape").mkdir()
        tape.rows(bench, CAPSTAN, WORK / "tape")
        wipe(WORK / "tape")
        empty_store(store)
    backup_first()
    tape_jobs.rows(bench, store, source_proofs, empty_store)
    source_proofs.close()
    if args.only is None and not args.no_tools:
        peers(bench, SOURCE)

    summary = WORK / "summary.json"
    summary.write_text(json.dumps(bench.rows, indent=2) + "\n")
    print(f"load {os.getloadavg()[0]:.1f} at the end -> {summary.relative_to(ROOT)}")
    if not args.keep:
        for entry in WORK.iterdir():
            if entry != summary:
                wipe(entry)
    missed = [row["name"] for row in bench.rows if row["target"] and row["ratio"] > row["target"]]
    if missed:
        sys.exit(f"targets missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
