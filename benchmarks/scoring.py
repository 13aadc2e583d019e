"""How long it takes to generate 10,000 digits and to score them, from the shell prompt to the table.

    python benchmarks/scoring.py [RUN]

RUN is a run on MNIST; without one, a default dcgan is trained on 12,800 samples first, which is as large and as fast as
a finished one. First with an empty cache (features of 20,000 real digits are computed as well), then with a filled one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPEATS = 3


def cpu_seconds() -> float:
    """What the processes started so far have used."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = sys.argv[1] if len(sys.argv) > 1 else str(Path(folder) / "run")
        organza = [sys.executable, "-m", "organza"]
        if len(sys.argv) == 1:
            training = ["train", "dcgan", "--samples", "12800", "--device", "cpu", "--run", run]
            subprocess.run([*organza, *training], check=True, stdout=subprocess.DEVNULL)
        command = [*organza, "evaluate", run, "--count", "10000", "--device", "cpu", "--out", os.devnull]
        seconds: dict[str, list[tuple[float, float]]] = {"empty cache": [], "filled cache": []}
        for repeat in range(REPEATS):
            for values in seconds.values():
                environment = os.environ | {"ORGANZA_CACHE": f"{folder}/cache-{repeat}"}
                began, used = time.monotonic(), cpu_seconds()
                subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
                values.append((time.monotonic() - began, cpu_seconds() - used))
        for name, values in seconds.items():
            wall, used = np.median(values, axis=0)
            print(f"{name}: {wall:.1f} s, {used:.1f} s of CPU (medians of {REPEATS}); goal: 20 s")
        print(f"load {os.getloadavg()[0]:.1f}: on a busy machine the CPU time with OMP_NUM_THREADS=1 says more")


if __name__ == "__main__":
    main()
