"""Says once if other programs keep the cores busy: threads that wait for each other then cost more than they give."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from organza.game import Report

AFTER_S = 10.0
"""Seconds over which it looks, from the first step on."""
OTHERS = 0.5
"""Cores that others must keep busy, at least, for it to say so."""
IDLE = 0.25
"""Cores that may be idle then, at most."""


@final
@dataclass(frozen=True, kw_only=True)
class Look:
    """Seconds since some beginning, of the clock and of processors."""

    clock: float
    idle: float
    """Of all cores together, with those that wait for a disk."""
    own: float
    """That this process has been computing, on any core."""


def look() -> Look | None:
    """How it stands now; None where the system does not say."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=6)
        idle = (int(words[4]) + int(words[5])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return Look(clock=time.monotonic(), idle=idle, own=time.process_time())


def taken(before: Look, after: Look, *, cores: int) -> float:
    """Cores that others have kept busy in between, on average; 0 if cores were left idle."""
    seconds = max(after.clock - before.clock, 1e-9)
    idle = (after.idle - before.idle) / seconds
    others = cores - idle - (after.own - before.own) / seconds
    return others if others >= OTHERS and idle <= IDLE else 0.0


@final
class Crowd:
    """A hook for a run on the CPU of a machine whose cores are all its own.

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
        if after is None or threads == 1:
            return
        if others := taken(before, after, cores=cores):
            fewer = max(1, min(threads - 1, int(cores - others)))
            self.say(
                f"other programs keep {others:.1f} of {cores} cores busy, and {threads} threads wait for each other; "
                f"faster: Ctrl-C, then OMP_NUM_THREADS={fewer} {self.command}"
            )
