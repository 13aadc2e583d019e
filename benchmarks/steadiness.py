"""Does training keep its pace? Samples per second with R1 and R2 in minute 10 against minute 1, and the peak memory.

python benchmarks/steadiness.py [--minutes 10]
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
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or Path(folder) / "run"
        arguments = ["dcgan", "--r1", "0.1", "--r2", "0.1", "--conditional", "no", "--minutes", str(options.minutes)]
        command = [sys.executable, "-m", "organza", "train", *arguments, "--run", str(run)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        rows = organza.open(run).rows()
    share = max(60.0, options.minutes * 6)
    early = pace(rows, 0, share)
    late = pace(rows, rows[-1]["time_s"] - share, rows[-1]["time_s"])
    print("| first minute | last minute | ratio | peak memory |\n|---|---|---|---|")
    print(
        f"| {early:,.0f} samples/s | {late:,.0f} samples/s | {late / early:.3f} | {usage.ru_maxrss / 2**20:.2f} GiB |"
    )


def pace(rows: list[dict], begin_s: float, end_s: float) -> float:
    """Samples per second between two moments."""
    inside = [row for row in rows if begin_s <= row["time_s"] <= end_s]
    return (inside[-1]["samples"] - inside[0]["samples"]) / (inside[-1]["time_s"] - inside[0]["time_s"])


if __name__ == "__main__":
    main()
