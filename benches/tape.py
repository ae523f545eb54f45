"""Rows vtl-write, vtl-read, iscsi-write, iscsi-read: blocks of 256 KiB to and from an emulated tape.

In this process the peer is `dd bs=256k` to and from a file in the same folder; over iSCSI it is a tuned `tgt` with its files in the same
folder, reached by the same initiator. Writers end with everything on the disk, readers read what is in the page cache.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
STREAM = TARGET / "release/examples/tape_stream"
SIZE = 1 << 30
BLOCK = 256 << 10


def stream(*args):
    done = subprocess.run([str(STREAM), *map(str, args)], text=True, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"tape_stream {args} failed: {done.stderr}")


def dd(source, target, *flags):
    command = ["dd", f"if={source}", f"of={target}", "bs=256k", "status=none", *flags]
    subprocess.run(command, check=True)


class Served:
    """A program that serves a library over iSCSI, from its start to its end."""

    def __init__(self, capstan, folder):
        self.log = folder.with_suffix(".log")
        command = [str(capstan), "vtl", "serve", str(folder), "--listen", "127.0.0.1:0", "--target-name",
                   "iqn.2026-01.test.capstan:bench"]
        self.process = subprocess.Popen(command, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        for _ in range(200):
            found = [word for word in self.log.read_text().split() if word.startswith("iscsi://127.0.0.1:")]
            if found:
                break
            if self.process.poll() is not None:
                sys.exit(f"vtl serve ended: {self.log.read_text()}")
            time.sleep(0.05)
        self.base = found[0].rsplit("/", 1)[0]

    def unit(self, number):
        return f"{self.base}/{number}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def rows(bench, capstan, work):
    """Adds the rows to `bench`; `work` is an empty folder."""
    data, plain = work / "data", work / "plain"
    with data.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
    library = work / "library"
    create = [str(capstan), "vtl", "create", str(library), "--slots", "4", "--cartridges", "2", "--capacity", "4G"]
    subprocess.run(create, check=True, stderr=subprocess.DEVNULL)
    changer, drive = f"vtl:{library}#changer", f"vtl:{library}#drive0"
    stream("move", changer, 1024, 256)
    # Once beforehand: both write over what is there, as a tape that is used again.
    stream("write", drive, data)
    dd(data, plain, "conv=fdatasync")
    same = {"size": SIZE, "target": 1.4}
    bench.pair("vtl-write", "dd bs=256k conv=fdatasync", ours=lambda: stream("write", drive, data),
               theirs=lambda: dd(data, plain, "conv=fdatasync"), **same)
    bench.pair("vtl-read", "dd bs=256k", ours=lambda: stream("read", drive), theirs=lambda: dd(plain, "/dev/null"),
               **same)
    plain.unlink()
    if not shutil.which("tgtd", path=os.environ["PATH"] + ":/usr/sbin"):
        sys.exit("tgt is not installed; 'make setup' installs it")
    served = Served(capstan, library)
    tgt = work / "tgt"
    script = ROOT / "tests/rigs/tgt-library.sh"
    started = subprocess.run([str(script), "start", str(tgt), str(2 * SIZE >> 20)], check=True,
                             text=True, stdout=subprocess.PIPE)
    try:
        portal = started.stdout.split()[-1]
        stream("move", f"{portal}/3", 1000, 500)
        ours, theirs = served.unit(1), f"{portal}/1"
        stream("write", theirs, data)
        faster = {"size": SIZE, "target": 1.0}
        bench.pair("iscsi-write", "tgt, same initiator", ours=lambda: stream("write", ours, data),
                   theirs=lambda: stream("write", theirs, data), **faster)
        bench.pair("iscsi-read", "tgt, same initiator", ours=lambda: stream("read", ours),
                   theirs=lambda: stream("read", theirs), **faster)
    finally:
        served.stop()
        subprocess.run([str(script), "stop", str(tgt)], check=True)
