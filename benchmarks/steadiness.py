"""Does training keep its pace? Samples per second with R1 and R2 in minute 10 against minute 1, and the peak memory.

    python benchmarks/steadiness.py [--minutes 10]

A new run of a minute follows the long one: where the machine itself changed its pace meanwhile, compare with that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import organza


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--run", type=Path, help="run folder to keep; default: a temporary one")
    options = parser.parse_args()
    share = max(60.0, options.minutes * 6)
    with tempfile.TemporaryDirectory() as folder:
        rows, peak_gib = trained(options.run or Path(folder) / "run", options.minutes)
        fresh, _ = trained(Path(folder) / "fresh", share / 60)
    early, again = pace(rows, 0, share), pace(fresh, 0, share)
    late = pace(rows, rows[-1]["time_s"] - share, rows[-1]["time_s"])
    print("| first minute | last minute | ratio | first minute of a new run after it | ratio | peak memory |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {early:,.0f} samples/s | {late:,.0f} samples/s | {late / early:.3f} | {again:,.0f} samples/s "
        f"| {late / again:.3f} | {peak_gib:.2f} GiB |"
    )


def trained(run: Path, minutes: float) -> tuple[list[dict], float]:
    """The rows of a run of this length and its peak memory, GiB."""
    arguments = ["dcgan", "--r1", "0.1", "--r2", "0.1", "--conditional", "no", "--minutes", str(minutes)]
    command = [sys.executable, "-m", "organza", "train", *arguments, "--run", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return organza.open(run).rows(), usage.ru_maxrss / 2**20


def pace(rows: list[dict], begin_s: float, end_s: float) -> float:
    """Samples per second between two moments."""
    inside = [row for row in rows if begin_s <= row["time_s"] <= end_s]
    return (inside[-1]["samples"] - inside[0]["samples"]) / (inside[-1]["time_s"] - inside[0]["time_s"])


if __name__ == "__main__":
    main()
