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
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import tape
import tree

ROOT = Path(__file__).resolve().parent.parent
CAPSTAN = ROOT / "target/release/capstan"
WORK = ROOT / "target/bench"


def sh(command, **kwargs):
    """Runs a command that must work; its output is kept for the message if it does not."""
    env = dict(os.environ, CAPSTAN_CONFIG=str(WORK / "config"), CAPSTAN_STATE=str(WORK / "state"))
    done = subprocess.run(command, shell=isinstance(command, str), env=env, cwd=WORK, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)
    if done.returncode:
        sys.exit(f"failed with {done.returncode}: {command}\n{done.stdout}{done.stderr}")
    return done.stdout


def capstan(*args):
    return sh([str(CAPSTAN), *map(str, args)])


def timed(action):
    os.sync()  # Nobody pays for what was written before.
    start = time.monotonic()
    action()
    return time.monotonic() - start


class Bench:
    def __init__(self, data, runs):
        self.data, self.runs, self.rows = data, runs, []
        self.bytes = sum(p.lstat().st_size for p in data.rglob("*") if p.is_file() and not p.is_symlink())

    def pair(self, name, peer, ours, theirs, target=None, size=None, before_ours=None, before_theirs=None,
             peer_size=None):
        """Both in turn; the row is MB/s (10^6), and the ratio of the times for as many bytes."""
        mine, other = [], []
        for _ in range(self.runs):
            if before_theirs:
                before_theirs()
            other.append(timed(theirs))
            if before_ours:
                before_ours()
            mine.append(timed(ours))
        size = size or self.bytes
        peer_size = peer_size or size
        ours_s, peer_s = statistics.median(mine), statistics.median(other)
        self.rows.append({
            "name": name, "unit": "MB/s", "ours": round(size / ours_s / 1e6, 1), "peer": peer,
            "peer_value": round(peer_size / peer_s / 1e6, 1),
            "ratio": round(ours_s / size / (peer_s / peer_size), 3), "target": target,
        })
        row = self.rows[-1]
        verdict = "" if target is None else ("ok" if row["ratio"] <= target else "MISSED")
        spread = f"{min(mine):.2f}-{max(mine):.2f} s"
        print(f"{name:<24}{row['ours']:>9} MB/s   {peer:<34}{row['peer_value']:>9} MB/s"
              f"   x{row['ratio']:<7}{'' if target is None else f'<= {target}':<8}{verdict:<8}{spread}", flush=True)


def wipe(path):
    subprocess.run(["rm", "-rf", "--", path], check=True)


def empty_store(store):
    """An empty store: making its 65536 folders anew each time would only measure the disk's patience."""
    for kind in ("host", "vm", "ct", ".locks"):
        wipe(store / kind)
    for folder in (store / ".chunks").iterdir():
        for chunk in folder.iterdir():
            chunk.unlink()


def chunk_bytes(store):
    return sum(chunk.stat().st_size for folder in (store / ".chunks").iterdir() for chunk in folder.iterdir())


def new_library(capacity):
    for name in ("library", "state"):
        wipe(WORK / name)
    capstan("vtl", "create", "library", "--slots", 12, "--cartridges", 8, "--capacity", capacity)
    capstan("tape", "barcode-label", "--drive", "lto0", "--pool", "bench")


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


def stored_plain_bytes(store):
    """Bytes of all different chunks before compression, from the newest indexes."""
    chunks = {}
    for index in store.glob("host/bench/*/*.didx"):
        body, start = index.read_bytes()[4096:], 0
        for end, digest in struct.iter_unpack("<Q32s", body):
            chunks[digest] = end - start
            start = end
    return sum(chunks.values())


def verify(bench, store):
    """Beside the slower of SHA-256 and zstd decompression, each alone on all processors.

    To verify is to do both, one after the other, so the sum of both is what the processors need; that
    row has no target and tells how much is lost besides.
    """
    cores = os.cpu_count() or 1
    sh(f"tar -cf verify.tar -C {SOURCE} . && split -n {cores} verify.tar verify.part.")
    plain = (WORK / "verify.tar").stat().st_size
    wipe(WORK / "verify.tar")
    sh("for part in verify.part.*; do zstd -q -1 --no-check $part; done")
    parallel = f"| xargs -P {cores} -n 1"
    sha = f"ls verify.part.* | grep -v zst$ {parallel} openssl dgst -sha256 > /dev/null"
    unpack = f"ls verify.part.*.zst {parallel} zstd -dqc > /dev/null"
    alone = {}
    for name, command in (("openssl dgst -sha256", sha), ("zstd -d", unpack)):
        alone[name] = statistics.median(timed(lambda: sh(command)) for _ in range(bench.runs))
    slower = max(alone, key=alone.get)
    size = stored_plain_bytes(store)
    ours = lambda: capstan("datastore", "verify", "bench", "--no-record")
    bench.pair("verify", f"{slower}, {cores} at once", ours, lambda: sh({"zstd -d": unpack}.get(slower, sha)),
               target=VERIFY_TARGET, size=size, peer_size=plain)
    bench.pair("verify", "both, one after the other", ours, lambda: (sh(sha), sh(unpack)), size=size,
               peer_size=plain)
    for part in WORK.glob("verify.part.*"):
        part.unlink()


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


def main():
    global SOURCE
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder to work on [default: 49,000 files, 1.3 GB, of this machine]")
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
          f" {os.cpu_count()} processors; ratio = our time / the peer's", flush=True)
    store = WORK / "store"
    capstan("datastore", "create", "bench", store)
    sh(f"tar -cf - -C {SOURCE} . | cat > /dev/null")  # Into the page cache, once for all.

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
    verify(bench, store)
    collect_garbage(bench)
    (WORK / "tape").mkdir()
    tape.rows(bench, CAPSTAN, WORK / "tape")
    wipe(WORK / "tape")

    empty_store(store)
    backup_first()
    stored = chunk_bytes(store)
    capacity = stored // 3 + (128 << 20)
    capstan("vtl", "create", "library", "--slots", 12, "--cartridges", 8, "--capacity", capacity)
    capstan("tape", "changer", "create", "lib", "--path", "vtl:./library#changer")
    capstan("tape", "drive", "create", "lto0", "--path", "vtl:./library#drive0", "--changer", "lib")
    capstan("tape", "pool", "create", "bench", "--drive", "lto0")
    # The names beforehand: looking through 65,536 folders is not what is measured.
    sh("find store/.chunks -type f -print0 > chunks.list")
    cat = "xargs -0 cat < chunks.list > chunks.cat"
    bench.pair("tape-write", "cat of the chunk files", ours=lambda: capstan("tape", "backup", "bench", "bench"),
               theirs=lambda: sh(cat), target=2.0, size=stored, before_ours=lambda: new_library(capacity),
               before_theirs=lambda: wipe(WORK / "chunks.cat"))
    wipe(WORK / "chunks.cat")
    media_set = json.loads(capstan("tape", "media", "sets", "--output-format", "json"))[0]["media-set-uuid"]
    capstan("datastore", "create", "back", WORK / "store-back")
    bench.pair("tape-restore", "cat of the chunk files",
               ours=lambda: capstan("tape", "restore", media_set, "back", "--drive", "lto0"),
               theirs=lambda: sh(cat), size=stored, before_ours=lambda: empty_store(WORK / "store-back"),
               before_theirs=lambda: wipe(WORK / "chunks.cat"))
    wipe(WORK / "chunks.cat")
    if not args.no_tools:
        peers(bench, SOURCE)

    summary = WORK / "summary.json"
    summary.write_text(json.dumps(bench.rows, indent=2) + "\n")
    print(f"-> {summary.relative_to(ROOT)}")
    if not args.keep:
        for entry in WORK.iterdir():
            if entry != summary:
                wipe(entry)
    missed = [row["name"] for row in bench.rows if row["target"] and row["ratio"] > row["target"]]
    if missed:
        sys.exit(f"targets missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
