"""Two ranks with one thread each against one rank with one thread, on the default recipe; samples per second.

python benchmarks/ranks.py [--repeats 3] [--seconds 20]
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


def pace(devices: int, seconds: float, batch: int) -> float:
    """Samples per second of a short run, its first quarter left out."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "organza", "train", "dcgan", "--minutes", f"{seconds / 60}", "--run", str(run)]
        command += ["--devices", str(devices), "--batch", str(batch * devices), "--sample-every", "100000000"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        rows = organza.open(run).rows()
    first = rows[len(rows) // 4]
    return (rows[-1]["samples"] - first["samples"]) / (rows[-1]["time_s"] - first["time_s"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--batch", type=int, default=64, help="per rank")
    options = parser.parse_args()
    ones, twos = [], []
    for _ in range(options.repeats):
        ones.append(pace(1, options.seconds, options.batch))
        twos.append(pace(2, options.seconds, options.batch))
    ratio = statistics.median(two / one for one, two in zip(ones, twos, strict=True))
    print("| ranks | samples/s (median) |\n|---|---|")
    print(f"| 1 | {statistics.median(ones):,.0f} |\n| 2 | {statistics.median(twos):,.0f} |\n\nratio {ratio:.2f}")


if __name__ == "__main__":
    main()
