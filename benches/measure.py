"""What a whole command costs: time, processor time and the most memory it had at once."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CAPSTAN = TARGET / "release/capstan"


class Cost:
    def __init__(self, wall_s, cpu_s, rss_mib, output):
        self.wall_s, self.cpu_s, self.rss_mib, self.output = wall_s, cpu_s, rss_mib, output

    def __str__(self):
        return f"{self.wall_s:.2f} s, {self.cpu_s:.2f} s of processor, {self.rss_mib:.0f} MiB"


# The kernel counts the memory of whoever starts a command as the command's own, so a process that has
# none to speak of starts it.
LAUNCHER = """
import json, os, sys, time
start = time.monotonic()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
cost = [os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss]
open(sys.argv[1], "w").write(json.dumps(cost))
"""


def cost(command, work):
    """Runs a command that must work; memory below 10 MiB is not told apart."""
    env = dict(os.environ, CAPSTAN_CONFIG=str(work / "config"), CAPSTAN_STATE=str(work / "state"))
    out, err, found = work / "stdout", work / "stderr", work / "cost"
    launched = [sys.executable, "-S", "-E", "-c", LAUNCHER, found, *command]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        subprocess.run([str(part) for part in launched], env=env, cwd=work, stdout=stdout, stderr=stderr, check=True)
    code, wall_s, cpu_s, rss_kib = json.loads(found.read_text())
    if code:
        sys.exit(f"failed with {code}: {command}\n{err.read_text(errors='replace')[-2000:]}")
    return Cost(wall_s, cpu_s, rss_kib / 1024, out)


def capstan(work, *args):
    return cost([CAPSTAN, *args], work)


def exponent(sizes, values):
    """The power of the size with which a value grew between the two largest sizes: 1 is linear."""
    (size_1, size_2), (value_1, value_2) = sizes[-2:], values[-2:]
    return math.log(value_2 / value_1) / math.log(size_2 / size_1)
