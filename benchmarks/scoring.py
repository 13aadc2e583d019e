"""How long it takes to generate 10,000 digits and to score them, from the shell prompt to the table.

    python benchmarks/scoring.py [RUN]

RUN is a run on MNIST; without one, a default dcgan is trained on 12,800 samples first, which is as large and as fast as a
finished one. First with an empty cache (features of 20,000 real digits are computed as well), then with a filled one.
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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = sys.argv[1] if len(sys.argv) > 1 else str(Path(folder) / "run")
        organza = [sys.executable, "-m", "organza"]
        if len(sys.argv) == 1:
            training = ["train", "dcgan", "--samples", "12800", "--device", "cpu", "--run", run]
            subprocess.run([*organza, *training], check=True, stdout=subprocess.DEVNULL)
        command = [*organza, "evaluate", run, "--count", "10000", "--device", "cpu", "--out", os.devnull]
        for name in ("empty cache", "filled cache"):
            seconds = []
            for repeat in range(REPEATS):
                cache = f"{folder}/{'full' if name.startswith('filled') else repeat}"
                if name.startswith("filled") and repeat == 0:
                    cache = f"{folder}/full"
                    environment = os.environ | {"ORGANZA_CACHE": cache}
                    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
                began = time.monotonic()
                environment = os.environ | {"ORGANZA_CACHE": cache}
                subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
                seconds.append(time.monotonic() - began)
            told = ", ".join(f"{value:.1f}" for value in seconds)
            print(f"{name}: {np.median(seconds):.1f} s (median of {told}); goal: 20 s; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
