"""Says once if other programs take the cores that threads wait for: fewer threads are faster then."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from organza.game import Report

AFTER_S = 10.0
"""Seconds over which it looks."""
SPARE = 0.5
"""Cores by which the threads must exceed what others leave, at least."""


@final
@dataclass(frozen=True, kw_only=True)
class Look:
    """Seconds since some beginning, of the clock and of processors."""

    clock: float
    busy: float
    """Of all cores together, whoever kept them busy."""
    own: float
    """Of this process and its workers."""


def look() -> Look | None:
    """How it stands now; None where the system does not say, or where not all of its cores are ours."""
    try:
        ours, tick = len(os.sched_getaffinity(0)), os.sysconf("SC_CLK_TCK")
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu")]
        if ours != len(lines) - 1:  # the first is the sum
            return None
        user, nice, system, _, _, *interrupts = map(int, lines[0][1:8])
        own = time.process_time() + sum(worker(child.pid) for child in multiprocessing.active_children()) / tick
    except (AttributeError, OSError, ValueError, IndexError):
        return None
    return Look(clock=time.monotonic(), busy=(user + nice + system + sum(interrupts)) / tick, own=own)


def worker(pid: int | None) -> int:
    """Ticks that a process of ours has been computing."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def advice(before: Look, after: Look, *, cores: int, threads: int) -> tuple[float, int] | None:
    """Cores that others kept busy in between, on average, and how many threads have room; None: all of them have."""
    others = (after.busy - before.busy - after.own + before.own) / max(after.clock - before.clock, 1e-9)
    if threads <= max(1, cores - others + SPARE):
        return None
    return others, max(1, min(threads - 1, round(cores - others)))


@final
class Crowd:
    """A hook for a run on the CPU.

    Args:
        say: Is told.
        command: What goes on with the run.
    """

    def __init__(self, say: Callable[[str], None], *, command: str) -> None:
        self.say, self.command = say, command
        self.before = look()

    def __call__(self, report: Report) -> None:
        """Look, when it is time."""
        if self.before is None or time.monotonic() - self.before.clock < AFTER_S:
            return
        before, after, self.before = self.before, look(), None
        cores, threads = os.cpu_count() or 1, torch.get_num_threads()
        if after and (found := advice(before, after, cores=cores, threads=threads)):
            self.say(
                f"other programs keep {found[0]:.1f} of {cores} cores busy, and {threads} threads wait for each other; "
                f"faster: Ctrl-C, then OMP_NUM_THREADS={found[1]} {self.command}"
            )
