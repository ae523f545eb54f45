#!/usr/bin/env python3
"""How time and memory grow with the number of snapshots, of chunks, and with the size of an image.

Each thing is measured at three sizes, each ten (or four) times the one before, with whole commands;
the last column is the power of the size with which the processor time grew between the two largest:
1 is linear. Prints the tables of docs/scale.md and leaves target/scale-summary.json.

Needs 6 GB of memory for the largest stores, which are made in /dev/shm.
"""

import argparse
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

from measure import TARGET, capstan, cost, exponent

PLAIN_MAGIC = bytes([0x42, 0xAB, 0x38, 0x07, 0xBE, 0x83, 0x70, 0xA1])
DYNAMIC_MAGIC = bytes([0x1C, 0x91, 0x4E, 0xA5, 0x19, 0xBA, 0xB3, 0xCD])
HEADER_LEN = 4096
FIRST_TIME = 1_600_000_000


def blob(content):
    return PLAIN_MAGIC + struct.pack("<I", zlib.crc32(content)) + content


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def manifest(backup_id, seconds, files):
    return blob(json.dumps({
        "backup-type": "host", "backup-id": backup_id, "backup-time": seconds, "files": files,
        "signature": None, "unprotected": {"chunk_upload_stats": {
            "compressed_size": 1, "count": 1, "duplicates": 0, "size": 1}},
    }).encode())


class Rows:
    """One operation at several sizes."""

    def __init__(self):
        self.rows = {}

    def add(self, name, size, seconds, rss_mib, cpu_s=None):
        """`cpu_s` is the time of all processors; where it is missing the work is done by one alone."""
        self.rows.setdefault(name, []).append((size, seconds, cpu_s or seconds, rss_mib))
        print(f"  {name} at {size:,}: {seconds:.3f} s, {rss_mib:.0f} MiB", flush=True)

    def table(self, unit):
        lines = [f"| operation | {unit} | seconds | processor s | µs each | memory, MiB | law |",
                 "|---|---:|---:|---:|---:|---:|---:|"]
        for name, rows in self.rows.items():
            for row in rows:
                size, seconds, cpu_s, rss = row
                law = ""
                if row is rows[-1] and len(rows) > 1:
                    law = f"n^{exponent([r[0] for r in rows], [r[2] for r in rows]):.2f}"
                lines.append(f"| {name} | {size:,} | {seconds:.3g} | {cpu_s:.3g} | {cpu_s / size * 1e6:.3g}"
                             f" | {rss:.0f} | {law} |")
        return "\n".join(lines)


def snapshots(work, sizes):
    rows = Rows()
    for size in sizes:
        here = work / f"snapshots-{size}"
        here.mkdir()
        capstan(here, "datastore", "create", "scale", here / "store")
        index = here / "index"
        index.write_bytes(bytes(HEADER_LEN + 40))
        # A hundred snapshots a group, as many as a long-lived machine keeps.
        for group in range(size // 100):
            backup_id = f"machine-{group}"
            folder = here / "store/host" / backup_id
            folder.mkdir(parents=True)
            (folder / "owner").write_text("root@pam\n")
            for number in range(100):
                seconds = FIRST_TIME + number * 86400
                snapshot = folder / utc(seconds)
                snapshot.mkdir()
                files = [{"filename": name, "crypt-mode": "none", "size": 8, "csum": "00" * 32}
                         for name in ("root.pxar.didx", "catalog.pcat1.didx")]
                (snapshot / "index.json.blob").write_bytes(manifest(backup_id, seconds, files))
                for file in files:
                    os.link(index, snapshot / file["filename"])
        listed = capstan(here, "snapshot", "list", "--repository", "scale", "--output-format", "json")
        assert len(json.loads(listed.output.read_bytes())) == size
        rows.add("snapshot list, json", size, listed.wall_s, listed.rss_mib, listed.cpu_s)
        listed = capstan(here, "snapshot", "list", "--repository", "scale")
        rows.add("snapshot list, text", size, listed.wall_s, listed.rss_mib, listed.cpu_s)
        listed = capstan(here, "group", "list", "--repository", "scale")
        rows.add("group list", size, listed.wall_s, listed.rss_mib, listed.cpu_s)
        listed = capstan(here, "snapshot", "list", "host/machine-0", "--repository", "scale")
        rows.add("snapshot list of one group", size, listed.wall_s, listed.rss_mib, listed.cpu_s)
        shutil.rmtree(here)
    return rows


def digests(count):
    for number in range(count):
        content = struct.pack("<Q", number)
        yield content, hashlib.sha256(content).digest()


def dynamic_index(path, count):
    """An index of `count` different chunks of 8 bytes."""
    checksum = hashlib.sha256()
    with path.open("wb") as file:
        file.write(bytes(HEADER_LEN))
        pieces = []
        for number, (_, digest) in enumerate(digests(count)):
            pieces.append(struct.pack("<Q", 8 * (number + 1)) + digest)
            if len(pieces) == 65536 or number + 1 == count:
                piece = b"".join(pieces)
                checksum.update(piece)
                file.write(piece)
                pieces = []
        file.seek(0)
        file.write(DYNAMIC_MAGIC + bytes(16) + struct.pack("<q", FIRST_TIME) + checksum.digest())
    return checksum.hexdigest()


def snapshot_of_chunks(store, backup_id, count, seconds=FIRST_TIME):
    folder = store / "host" / backup_id / utc(seconds)
    folder.mkdir(parents=True)
    (folder.parent / "owner").write_text("root@pam\n")
    name = "chunks.bin.didx"
    csum = dynamic_index(folder / name, count)
    files = [{"filename": name, "crypt-mode": "none", "size": 8 * count, "csum": csum}]
    (folder / "index.json.blob").write_bytes(manifest(backup_id, seconds, files))
    return name


def chunks(work, sizes, marks_only):
    rows = Rows()
    for size in sizes:
        here = work / f"chunks-{size}"
        here.mkdir()
        capstan(here, "datastore", "create", "scale", here / "store")
        folders = here / "store/.chunks"
        for content, digest in digests(size):
            name = digest.hex()
            with open(f"{folders}/{name[:4]}/{name}", "wb", buffering=0) as file:
                file.write(blob(content))
        name = snapshot_of_chunks(here / "store", "many", size)
        collected = capstan(here, "datastore", "gc", "scale")
        rows.add("datastore gc, all in use", size, collected.wall_s, collected.rss_mib, collected.cpu_s)
        verified = capstan(here, "datastore", "verify", "scale", "--no-record")
        rows.add("datastore verify", size, verified.wall_s, verified.rss_mib, verified.cpu_s)
        restored = capstan(here, "restore", "host/many", name, here / "out", "--repository", "scale")
        rows.add("restore of all chunks", size, restored.wall_s, restored.rss_mib, restored.cpu_s)
        status = capstan(here, "datastore", "status", "scale")
        rows.add("datastore status", size, status.wall_s, status.rss_mib, status.cpu_s)
        found = cost(["/usr/bin/find", here / "store/.chunks", "-type", "f", "-printf", "%A@ %s\\n"], here)
        rows.add("(find .chunks -printf)", size, found.wall_s, found.rss_mib)
        shutil.rmtree(here)
    # Marks of more chunks than there is room for: their names are in an index, their files are not there.
    for size in marks_only:
        here = work / f"marks-{size}"
        here.mkdir()
        capstan(here, "datastore", "create", "scale", here / "store")
        snapshot_of_chunks(here / "store", "many", size)
        planned = capstan(here, "datastore", "gc", "scale", "--dry-run")
        rows.add("datastore gc --dry-run, marks alone", size, planned.wall_s, planned.rss_mib, planned.cpu_s)
        shutil.rmtree(here)
    return rows


def images(work, sizes_tib):
    """Entries of indexes; a TiB is 262,144 chunks of 4 MiB."""
    rows = Rows()
    example = TARGET / "release/examples/index_scale"
    for tib in sizes_tib:
        entries = tib << 18
        here = work / f"image-{tib}"
        here.mkdir()

        def ask():
            return json.loads(subprocess.run([example, here, str(entries)], check=True, stdout=subprocess.PIPE).stdout)

        written, read = ask(), ask()
        rows.add("write an index", entries, written["write_s"], written["write_rss_mib"])
        rows.add("open it", entries, read["open_s"], read["rss_mib"])
        rows.add("check its checksum", entries, read["csum_s"], read["rss_mib"])
        rows.add("find 1 MiB in it", entries, max(read["range_s"], 1e-9), read["rss_mib"])
        capstan(here, "datastore", "create", "scale", here / "store")
        image = here / "disk.img"
        with image.open("wb") as file:
            file.truncate(tib << 40)
            file.seek(tib << 39)
            file.write(os.urandom(64 << 20))
        made = capstan(here, "backup", f"disk.img:{image}", "--repository", "scale", "--backup-id", "image",
                       "--backup-time", FIRST_TIME)
        rows.add("backup of a sparse image", entries, made.wall_s, made.rss_mib, made.cpu_s)
        made = capstan(here, "restore", "host/image", "disk.img", here / "out", "--repository", "scale")
        rows.add("restore of it", entries, made.wall_s, made.rss_mib, made.cpu_s)
        made = capstan(here, "datastore", "verify", "scale", "--no-record")
        rows.add("verify of it", entries, made.wall_s, made.rss_mib, made.cpu_s)
        made = capstan(here, "datastore", "gc", "scale")
        rows.add("gc of it", entries, made.wall_s, made.rss_mib, made.cpu_s)
        shutil.rmtree(here)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=[], help="snapshots, chunks, images [default: all]")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="where to work [default: /dev/shm]")
    parser.add_argument("--small", action="store_true", help="a hundredth, to see that it works")
    args = parser.parse_args()
    shrink = 100 if args.small else 1
    every = {
        "snapshots": ("snapshots", lambda work: snapshots(work, [n // shrink for n in (1000, 10_000, 100_000) if n // shrink >= 100])),
        "chunks": ("chunks", lambda work: chunks(work, [n // shrink for n in (10_000, 100_000, 1_000_000)],
                                                 [n // shrink for n in (1_000_000, 10_000_000)])),
        "images": ("chunks of the image", lambda work: images(work, [1, 4, 16] if shrink == 1 else [1])),
    }
    summary = {}
    for what in args.what or every:
        unit, measure = every[what]
        print(what, flush=True)
        with tempfile.TemporaryDirectory(prefix="scale-", dir=args.work) as work:
            rows = measure(Path(work))
        print("\n" + rows.table(unit) + "\n", flush=True)
        summary[what] = rows.rows
    (TARGET / "scale-summary.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
