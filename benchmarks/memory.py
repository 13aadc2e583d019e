"""What `organza plan` promises against what a run takes: memory and pace of each family at several sizes of images.

    OMP_NUM_THREADS=1 python benchmarks/memory.py [--families dcgan r3gan] [--sizes 32 64 128 256] [--batch 16]

Each cell is two processes: `organza plan`, and `organza train` for a few steps with doctor, sample grids, checkpoints
and report, on made-up labelled RGB pictures. Its memory is the largest resident size that the system has counted for
it; this process stays small, for Linux lets a child begin with the count of its parent. The pace is that of the rows of
metrics.jsonl, the first one and those aside into whose time an examination fell, per second of one whole core: divided
by the share of a core that the process got beside others. A cell of which a process takes more seconds of a core or
more memory than it may is left out, and with it the larger sizes of that family. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OF_PAIRS = {"cut": (), "cyclegan": (), "pix2pix": ("--paired", "yes")}
"""Families that make images from images: of the same pictures, with what makes pairs of them."""


class SkippedError(Exception):
    """A process took too much, or failed."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A process that has ended."""

    text: str
    """What it printed."""
    peak_mib: float
    cores: float
    """Seconds of computing per second by the clock."""


def write_pictures(path: Path, *, side: int, count: int) -> None:
    """Smooth random colours, in four classes: the signs of the first two waves."""
    random = np.random.default_rng(0)
    waves = random.normal(size=(count, 3, 4, 4)).astype(np.float32)
    basis = np.cos(np.arange(4)[:, None] * np.arange(side) * np.pi / side).astype(np.float32)
    pictures = np.empty((count, side, side, 3), np.uint8)
    for picture, wave in zip(pictures, waves, strict=True):
        picture[:] = 255 / (1 + np.exp(-np.einsum("cij,ih,jw->hwc", wave, basis, basis)))
    labels = 2 * (waves[:, 0, 0, 1] > 0) + (waves[:, 0, 1, 0] > 0)
    np.savez(path, images=pictures, labels=labels)


def organza(*arguments: str, seconds: int, gib: float) -> Done:
    """Run `organza ARGUMENTS` within limits."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "organza", *arguments], stdout=output, stderr=output)
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (int(gib * 2**30),) * 2)
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (seconds, seconds + 5))
        _, status, usage = os.wait4(process.pid, 0)
        elapsed_s, process.returncode = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode == -signal.SIGXCPU:
        raise SkippedError(f"more than {seconds} s of a core")
    if process.returncode not in (0, 3):  # 3: the doctor found an illness
        is_large = any(word in text for word in ("allocate", "MemoryError", "out of memory"))
        last = (text.strip() or f"exit code {process.returncode}").splitlines()[-1]
        raise SkippedError(f"more than {gib:g} GiB" if is_large else last)
    return Done(text=text, peak_mib=usage.ru_maxrss / 1024, cores=(usage.ru_utime + usage.ru_stime) / elapsed_s)


def pace_of(rows: list[dict[str, Any]]) -> float:
    """Samples per second of the rows that no start and no examination fell into; of all but the first if none is."""
    pairs = [(old, new) for old, new in itertools.pairwise(rows) if "samples_per_s" in new]
    pairs = [(old, new) for old, new in pairs if "health/spread" not in old] or pairs
    samples = sum(new["samples"] - old["samples"] for old, new in pairs)
    return samples / sum(new["time_s"] - old["time_s"] for old, new in pairs)


def cell(family: str, data: Path, options: argparse.Namespace) -> str:
    """Plan and train; the columns of a row."""
    limits = {"seconds": options.seconds, "gib": options.gib}
    given = [family, "--data", str(data), "--device", "cpu"] + (
        ["--batch", str(options.batch)] if options.batch else []
    )
    given += ["--to", str(data), *OF_PAIRS[family]] if family in OF_PAIRS else []
    shown = organza("train", *given, "--dry-run", **limits).text
    fields = dict(re.findall(r"^(batch|critic_repeats) = (\d+)$", shown, re.MULTILINE))
    drawn = int(fields["batch"]) * int(fields.get("critic_repeats", 1))
    planned = organza("plan", *given, **limits)
    told = re.findall(r"^(memory|pace) +([\d,.]+)", planned.text, re.MULTILINE)
    promised = {name: float(value.replace(",", "")) for name, value in told}
    pace, total = promised["pace"] / planned.cores, options.steps * drawn
    often = ["--log-every", str(drawn), "--doctor-every", str(total // 2), "--doctor-share", "1"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        trained = organza(
            *("train", *given, *often, "--sample-every", str(total), "--samples", str(total), "--run", str(run)),
            **limits,
        )
        measured = pace_of([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()])
    return (
        f"{fields['batch']} | {promised['memory']:,.0f} | {trained.peak_mib:,.0f} | "
        f"{promised['memory'] / trained.peak_mib:.2f} | {pace:,.3g} | {measured / trained.cores:,.3g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", nargs="+", default=[])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--batch", type=int, help="instead of the family's own")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60, help="of one core that a process may take")
    parser.add_argument("--gib", type=float, default=8, help="of memory that a process may take")
    options = parser.parse_args()
    families = options.families or organza("recipes", "--names", seconds=60, gib=options.gib).text.split()
    print("| family | pixels | batch | MiB planned | MiB of a run | ratio | samples/s planned | of a run |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sizes:
            write_pictures(Path(folder) / f"{side}.npz", side=side, count=options.images)
        skipped = set()
        for side, family in itertools.product(sorted(options.sizes), families):
            if family in skipped:
                continue
            try:
                row = cell(family, Path(folder) / f"{side}.npz", options)
            except SkippedError as reason:
                skipped.add(family)
                row = f"{reason} | | | | |"
            print(f"| {family} | {side} | {row} |", flush=True)


if __name__ == "__main__":
    main()
