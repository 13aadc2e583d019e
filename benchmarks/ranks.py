"""Two ranks with one thread each against one rank with one thread, on the default recipe; samples per second.

    python benchmarks/ranks.py [--repeats 3] [--seconds 20]

Beside them two independent runs at once, which share nothing but the machine: what two ranks could reach at best.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import organza


def paces(count: int, *, ranks: int, seconds: float, batch: int) -> float:
    """Samples per second of `count` short runs at once, each of `ranks` ranks; the first quarter is left out."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / str(index) for index in range(count)]
        shared = [sys.executable, "-m", "organza", "train", "dcgan", "--minutes", f"{seconds / 60}"]
        shared += ["--devices", str(ranks), "--batch", str(batch * ranks), "--sample-every", "100000000"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen([*shared, "--run", str(run)], env=environment, stdout=subprocess.DEVNULL) for run in runs
        ]
        assert [process.wait() for process in started] == [0] * count
        histories = [organza.open(run).rows() for run in runs]
    total = 0.0
    for rows in histories:
        first = rows[len(rows) // 4]
        total += (rows[-1]["samples"] - first["samples"]) / (rows[-1]["time_s"] - first["time_s"])
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--batch", type=int, default=64, help="per rank")
    options = parser.parse_args()
    cases = {"one rank": (1, 1), "two ranks": (1, 2), "two independent runs": (2, 1)}
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, (count, ranks) in cases.items():
            found[name].append(paces(count, ranks=ranks, seconds=options.seconds, batch=options.batch))
    print("| processes with one thread each | samples/s (median) | to one rank |\n|---|---|---|")
    for name, values in found.items():
        ratio = statistics.median(value / one for value, one in zip(values, found["one rank"], strict=True))
        print(f"| {name} | {statistics.median(values):,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
