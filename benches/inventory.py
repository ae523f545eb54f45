#!/usr/bin/env python3
"""What an operator asks of a thousand cartridges, each with ten snapshots, in sets of ten: every answer within a second.

Whole commands, medians of several rounds; `first content` is after every list of snapshots has become stale, so that
each cartridge's catalog is read and its list is written.

Usage: inventory.py CAPSTAN CATALOG_SCALE [TAPES] [SNAPSHOTS] [ROUNDS]. Leaves target/bench/inventory.json; exits with 1
if an answer took longer.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 1.0
COMMANDS = {
    "media list": ["media", "list"],
    "media sets": ["media", "sets"],
    "content": ["media", "content"],
    "find": ["find", "host/h7"],
}


def main():
    capstan, maker = sys.argv[1:3]
    numbers = [int(text) for text in sys.argv[3:6]]
    tapes, snapshots, rounds = numbers + [1000, 10, 9][len(numbers):]
    bench = ROOT / "target/bench"
    bench.mkdir(parents=True, exist_ok=True)
    # On the disk that the build lies on, where a sync costs what it costs.
    folder = Path(tempfile.mkdtemp(prefix="inventory-", dir=bench))
    try:
        state = folder / "state"
        tapes_known = state / "tape"
        subprocess.run([maker, "content", str(tapes_known), str(tapes), str(snapshots)], check=True)

        def ask(words):
            command = [capstan, "--config", str(folder / "config"), "--state", str(state), "tape", *words,
                       "--output-format", "json"]
            began = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            return time.monotonic() - began, json.loads(done.stdout)

        times = {}
        for _ in range(rounds):
            for stale in tapes_known.glob("*.index"):
                stale.unlink()
            took, content = ask(COMMANDS["content"])
            assert len(content) == tapes * snapshots, len(content)
            times.setdefault("first content", []).append(took)
            for name, words in COMMANDS.items():
                took, answer = ask(words)
                assert answer, name
                times.setdefault(name, []).append(took)
    finally:
        shutil.rmtree(folder)
    rows = {name: statistics.median(all_of_it) for name, all_of_it in times.items()}
    print(f"{tapes} cartridges with {snapshots} snapshots each; medians of {rounds}, limit {LIMIT_S:.0f} s")
    for name, seconds in rows.items():
        print(f"{name:<14}{seconds:>8.3f} s  {seconds / LIMIT_S:>5.2f} of the limit")
    summary = {"tapes": tapes, "snapshots": snapshots, "limit-s": LIMIT_S, "seconds": rows}
    (bench / "inventory.json").write_text(json.dumps(summary, indent=2) + "\n")
    late = [name for name, seconds in rows.items() if seconds > LIMIT_S]
    if late:
        sys.exit(f"longer than {LIMIT_S:.0f} s: {', '.join(late)}")


main()
