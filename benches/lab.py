"""Where the benchmarks measure: commands that must work, and rows of ours beside a peer."""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

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


def wipe(path):
    subprocess.run(["rm", "-rf", "--", path], check=True)


def timed(action):
    """Seconds that an action takes, and seconds of processor of the commands that it runs."""
    os.sync()  # Nobody pays for what was written before.
    start, cpu = time.monotonic(), processor_s()
    action()
    return time.monotonic() - start, processor_s() - cpu


def processor_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Bench:
    def __init__(self, data, runs):
        self.data, self.runs, self.rows = data, runs, []
        self.bytes = sum(p.lstat().st_size for p in data.rglob("*") if p.is_file() and not p.is_symlink())

    def pair(self, name, peer, ours, theirs, target=None, size=None, before_ours=None, before_theirs=None,
             peer_size=None, runs=None):
        """Both in turn; the row is MB/s (10^6), and the ratio of the times for as many bytes.

        With it, seconds of processor for 400 MB: how many cores are busy at 400 MB/s.
        """
        mine, other = [], []
        for _ in range(runs or self.runs):
            if before_theirs:
                before_theirs()
            other.append(timed(theirs))
            if before_ours:
                before_ours()
            mine.append(timed(ours))
        size = size or self.bytes
        peer_size = peer_size or size
        (ours_s, ours_cpu_s), (peer_s, peer_cpu_s) = medians(mine), medians(other)
        self.add({
            "name": name, "unit": "MB/s", "ours": round(size / ours_s / 1e6, 1), "peer": peer,
            "peer_value": round(peer_size / peer_s / 1e6, 1),
            "ratio": round(ours_s / size / (peer_s / peer_size), 3), "target": target,
            "cores_at_400_mb_s": cores(ours_cpu_s, size), "peer_cores_at_400_mb_s": cores(peer_cpu_s, peer_size),
        }, [wall for wall, _ in mine])

    def add(self, row, seconds):
        self.rows.append(row)
        target = row["target"]
        verdict = "" if target is None else ("ok" if row["ratio"] <= target else "MISSED")
        spread = f"{min(seconds):.2f}-{max(seconds):.2f} s"
        print(f"{row['name']:<24}{row['ours']:>9} MB/s   {row['peer']:<34}{row['peer_value']:>9} MB/s"
              f"   x{row['ratio']:<7}{'' if target is None else f'<= {target}':<8}{verdict:<8}{spread}"
              f", cores at 400 MB/s: {row['cores_at_400_mb_s']}, the peer {row['peer_cores_at_400_mb_s']}", flush=True)


def medians(pairs):
    return [statistics.median(column) for column in zip(*pairs)]


def cores(processor_s, size):
    """How many processors are busy at 400 MB/s if `size` bytes need so many seconds of processor."""
    return round(processor_s / (size / 1e6) * 400, 3)
