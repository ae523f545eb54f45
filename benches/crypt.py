#!/usr/bin/env python3
"""AES-256-GCM of Capstan beside `openssl speed`, on one core, in turn, medians of both.

Capstan encrypts with a vector of 16 bytes and a fresh one for each chunk; `openssl speed` uses 12 and
the same one all the time, and encrypts in place. The target is 80 % of its figure for `encrypt`. The
rows of blobs also hold memory for the blob and its CRC; they are for comparison only.

Usage: crypt.py PROGRAM [ROUNDS], where PROGRAM is the built example `crypt_speed`. Leaves
target/bench/crypt.json; exits with 1 if the target was missed.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = 0.8
OPENSSL = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "4194304", "-evp", "aes-256-gcm"]


def one_core():
    """Both programs on the same core, so that neither has the better one."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def output(command):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=one_core)
    if done.returncode:
        sys.exit(f"failed with {done.returncode}: {command}\n{done.stderr}")
    return done.stdout


def openssl_speed():
    # +F:number:AES-256-GCM:bytes a second
    lines = [line for line in output(OPENSSL).splitlines() if line.startswith("+F:")]
    return float(lines[0].split(":")[3])


def main():
    program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    ours, theirs = {}, []
    for _ in range(rounds):
        theirs.append(openssl_speed())
        for name, speed in json.loads(output([program])).items():
            ours.setdefault(name, []).append(speed)
    peer = statistics.median(theirs)
    rows = {name: statistics.median(speeds) for name, speeds in ours.items()}
    print(f"{'openssl speed':<14}{peer / 1e6:>9.0f} MB/s")
    for name, speed in rows.items():
        print(f"{name:<14}{speed / 1e6:>9.0f} MB/s  {speed / peer:>5.2f}")
    summary = {"openssl": peer, **rows, "ratio": rows["encrypt"] / peer, "rounds": rounds}
    target = ROOT / "target/bench/crypt.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(summary, indent=2) + "\n")
    if summary["ratio"] < TARGET:
        sys.exit(f"encryption reaches {summary['ratio']:.2f} of openssl speed; {TARGET} is the target")


if __name__ == "__main__":
    main()
