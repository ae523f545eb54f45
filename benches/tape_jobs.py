"""Rows tape-write, tape-restore, tape-verify: whole jobs on an emulated cartridge beside `cat` of the same bytes.

The datastore is that of the other rows; its chunk files are in the page cache, and `cat` gets their names beforehand, in the order in which
the job reads them: by inode. What both write lies on the same file system and is on the disk at the end.

| row | ours | peer |
|---|---|---|
| tape-write | `tape backup` to a blank cartridge | `cat` of the chunk files to a file, and `sync` of it |
| tape-restore | `tape restore` of the set to an empty datastore | `cat` of the cartridge's exported files to a file, and `sync` of it |
| tape-restore | the same | the same, then SHA-256 and decompression of the content, each on all processors |
| tape-verify | `tape verify` of the set | SHA-256 and decompression of the content, each on all processors; and the slower of them alone |

`cat` shows what the machine moves. A restore believes no chunk whose digest it has not proved, and makes a file of each; to prove is to
decompress and to hash, one after the other, and so the peer that has to do as much does both. That is all that a verification does.
"""

import json
import os
import shlex

import proofs
import tape
from lab import CAPSTAN, WORK, capstan, cores, medians, sh, timed, wipe

CARTRIDGE = "CAP001L8"
# Their element addresses.
SLOT, DRIVE = 1024, 256
RUNS_MIN = 5


def chunk_files(store):
    """Paths and sizes of the chunk files, in the order of their inodes."""
    found = []
    for folder in os.scandir(store / ".chunks"):
        if folder.is_dir():
            found += [(chunk.inode(), chunk.path, chunk.stat().st_size) for chunk in os.scandir(folder)
                      if len(chunk.name) == 64]
    return [(path, size) for _, path, size in sorted(found)]


def configure(capacity):
    make_library(capacity)
    capstan("tape", "changer", "create", "lib", "--path", "vtl:./library#changer")
    capstan("tape", "drive", "create", "lto0", "--path", "vtl:./library#drive0", "--changer", "lib")
    capstan("tape", "pool", "create", "bench", "--drive", "lto0")


def make_library(capacity):
    capstan("vtl", "create", "library", "--slots", 2, "--cartridges", 1, "--capacity", capacity)


def new_library(capacity):
    """An empty one with a labelled cartridge in its first slot, and nothing known of any other."""
    for name in ("library", "state"):
        wipe(WORK / name)
    make_library(capacity)
    capstan("tape", "barcode-label", "--drive", "lto0", "--pool", "bench")


def cat(names, target):
    """Files to one file that is on the disk at the end."""
    return f"xargs -0 cat < {names} > {target} && sync {target}"


def write_names(paths, name):
    (WORK / name).write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))


def rows(bench, store, source_proofs, empty_store):
    """Adds the rows. `store` is the datastore `bench` with one backup of what `source_proofs` proves."""
    runs = max(RUNS_MIN, bench.runs)
    chunks = chunk_files(store)
    stored = sum(size for _, size in chunks)
    write_names([path for path, _ in chunks], "chunks.list")
    capacity = 2 * stored + (1 << 30)
    configure(capacity)
    peer = cat("chunks.list", "plain.cat")
    bench.pair("tape-write", "cat of the chunk files", runs=runs, target=1.3, size=stored, ours=backup, theirs=lambda: sh(peer),
               before_ours=lambda: new_library(capacity), before_theirs=lambda: wipe(WORK / "plain.cat"))
    load(bench, stored, runs, capacity, bench.rows[-1]["peer_cores_at_400_mb_s"])
    wipe(WORK / "plain.cat")

    media_set = json.loads(capstan("tape", "media", "sets", "--output-format", "json"))[0]["media-set-uuid"]
    capstan("datastore", "create", "back", WORK / "store-back")
    capstan("tape", "unload")
    capstan("vtl", "cartridge", "export", "library", CARTRIDGE, "exported")
    write_names(sorted((WORK / "exported").glob("*.blocks")), "exported.list")
    restored = cat("exported.list", "plain.cat")
    proved = f"{source_proofs.sha} && {source_proofs.unpack}"
    restore = {"runs": runs, "size": stored, "ours": lambda: capstan("tape", "restore", media_set, "back"),
               "before_ours": lambda: empty_store(WORK / "store-back"), "before_theirs": lambda: wipe(WORK / "plain.cat")}
    bench.pair("tape-restore", "cat of the cartridge's files", theirs=lambda: sh(restored), **restore)
    bench.pair("tape-restore", "cat, then SHA-256, then zstd -d", theirs=lambda: sh(f"{restored} && {proved}"), target=1.3,
               **restore)
    wipe(WORK / "plain.cat")
    verify = {"runs": runs, "size": proofs.plain_bytes_of(store), "peer_size": source_proofs.plain_bytes,
              "ours": lambda: capstan("tape", "verify", media_set)}
    bench.pair("tape-verify", source_proofs.slower_name, theirs=lambda: sh(source_proofs.slower), **verify)
    bench.pair("tape-verify", "SHA-256, then zstd -d", theirs=lambda: sh(proved), target=1.3, **verify)
    for name in ("exported", "store-back", "library"):
        wipe(WORK / name)


def backup():
    capstan("tape", "backup", "bench", "bench")


def load(bench, stored, runs, capacity, of_cat):
    """How many cores `tape backup` keeps busy at 400 MB/s: with the emulated drive in its process, and with one that is served over iSCSI.

    The emulated drive is measured alone, too: what it needs for as many blocks is no work of a job that has a real one. `of_cat` is what
    `cat` of the same files kept busy in this run: a processor that others use as well is slower.
    """
    inside, alone, served = [], [], []
    blocks = stored // tape.BLOCK
    for _ in range(runs):
        new_library(capacity)
        inside.append(timed(backup))
        new_library(capacity)
        tape.stream("move", f"vtl:{WORK}/library#changer", SLOT, DRIVE)
        alone.append(timed(lambda: tape.stream("fill", f"vtl:{WORK}/library#drive0", blocks)))
        new_library(capacity)
        server = tape.Served(CAPSTAN, WORK / "library")
        try:
            capstan("tape", "drive", "update", "lto0", "--path", server.unit(1))
            capstan("tape", "changer", "update", "lib", "--path", server.unit(0))
            served.append(timed(backup))
        finally:
            server.stop()
            capstan("tape", "drive", "update", "lto0", "--path", "vtl:./library#drive0")
            capstan("tape", "changer", "update", "lib", "--path", "vtl:./library#changer")
    (_, inside_s), (_, alone_s), (_, served_s) = medians(inside), medians(alone), medians(served)
    target = 0.35
    job = cores(inside_s - alone_s, stored)
    row = {"name": "tape-write-load", "unit": "cores at 400 MB/s", "ours": job, "target": target,
           "with_emulated_drive": cores(inside_s, stored), "emulated_drive": cores(alone_s, stored),
           "drive_over_iscsi": cores(served_s, stored), "cat": of_cat}
    bench.rows.append({**row, "ratio": job, "peer": "(none)"})
    print(f"tape-write-load: {job} cores at 400 MB/s ({'ok' if job <= target else 'MISSED'}, <= {target}); "
          f"with the emulated drive {row['with_emulated_drive']}, the drive alone {row['emulated_drive']}, "
          f"over iSCSI {row['drive_over_iscsi']}, cat {of_cat}", flush=True)
