"""What a whole command costs: time, processor time and the most memory it had at once."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CAPSTAN = TARGET / "release/capstan"


class Cost:
    def __init__(self, wall_s, cpu_s, rss_mib, output):
        self.wall_s, self.cpu_s, self.rss_mib, self.output = wall_s, cpu_s, rss_mib, output

    def __str__(self):
        return f"{self.wall_s:.2f} s, {self.cpu_s:.2f} s of processor, {self.rss_mib:.0f} MiB"


def cost(command, work):
    """Runs a command that must work. Its memory is never reported lower than this script's own."""
    env = dict(os.environ, CAPSTAN_CONFIG=str(work / "config"), CAPSTAN_STATE=str(work / "state"))
    out, err = work / "stdout", work / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        start = time.monotonic()
        child = subprocess.Popen([str(part) for part in command], env=env, cwd=work, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"failed with {child.returncode}: {command}\n{err.read_text(errors='replace')[-2000:]}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out)


def capstan(work, *args):
    return cost([CAPSTAN, *args], work)


def exponent(sizes, values):
    """The power of the size with which a value grew between the two largest sizes: 1 is linear."""
    (size_1, size_2), (value_1, value_2) = sizes[-2:], values[-2:]
    return math.log(value_2 / value_1) / math.log(size_2 / size_1)
