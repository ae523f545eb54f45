"""What it costs to prove content: SHA-256 and decompression, each alone on all processors.

Whoever verifies chunks does both to all of them, and so the slower of the two is the machine's limit.
"""

import os
import statistics
import struct

from lab import WORK, sh, timed, wipe


class Proofs:
    """The source as a tar in parts, one a processor, plain and compressed, until `close`."""

    def __init__(self, bench, source):
        cores = os.cpu_count() or 1
        sh(f"tar -cf proof.tar -C {source} . && split -n {cores} proof.tar proof.part.")
        self.plain_bytes = (WORK / "proof.tar").stat().st_size
        wipe(WORK / "proof.tar")
        sh("for part in proof.part.*; do zstd -q -1 --no-check $part; done")
        parallel = f"| xargs -P {cores} -n 1"
        self.sha = f"ls proof.part.* | grep -v zst$ {parallel} openssl dgst -sha256 > /dev/null"
        self.unpack = f"ls proof.part.*.zst {parallel} zstd -dqc > /dev/null"
        alone = {}
        for name, command in (("openssl dgst -sha256", self.sha), ("zstd -d", self.unpack)):
            alone[name] = statistics.median(timed(lambda: sh(command))[0] for _ in range(bench.runs))
        slower = max(alone, key=alone.get)
        self.slower = {"zstd -d": self.unpack}.get(slower, self.sha)
        self.slower_name = f"{slower}, {cores} at once"

    def close(self):
        for part in WORK.glob("proof.part.*"):
            part.unlink()


def plain_bytes_of(store):
    """Bytes of all different chunks before compression, from the indexes."""
    chunks = {}
    for index in store.glob("host/bench/*/*.didx"):
        body, start = index.read_bytes()[4096:], 0
        for end, digest in struct.iter_unpack("<Q32s", body):
            chunks[digest] = end - start
            start = end
    return sum(chunks.values())
