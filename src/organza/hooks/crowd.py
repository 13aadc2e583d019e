"""Takes fewer threads where other programs take the cores that they wait for, and says so once."""

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

AFTER_S = 5.0
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


def fitting(before: Look, after: Look, *, cores: int, threads: int, most: int) -> tuple[float, int]:
    """Cores that others kept busy in between, on average, and how many threads have room, from 1 to `most`.

    As many as there are, unless they exceed the room clearly or it is enough for more.
    """
    others = (after.busy - before.busy - after.own + before.own) / max(after.clock - before.clock, 1e-9)
    room = cores - others
    if threads > max(1, room + SPARE):
        return others, max(1, min(threads - 1, round(room)))
    return others, max(threads, min(most, int(room + SPARE / 2)))


@final
class Crowd:
    """A hook for a run on the CPU.

    Args:
        say: Is told, once.
        command: What goes on with the run.
        may_change: Whether it changes the number of threads itself, and back when there is room again: not where a run
            shall give the same bits as another, which that number decides, too.
    """

    def __init__(self, say: Callable[[str], None], *, command: str, may_change: bool) -> None:
        self.say, self.command, self.may_change = say, command, may_change
        self.before, self.most = look(), torch.get_num_threads()
        self.has_said = False

    def __call__(self, report: Report) -> None:
        """Look, when it is time."""
        if self.before is None or time.monotonic() - self.before.clock < AFTER_S:
            return
        before, self.before = self.before, look()
        cores, threads = os.cpu_count() or 1, torch.get_num_threads()
        if self.before is None:
            return
        others, wanted = fitting(before, self.before, cores=cores, threads=threads, most=self.most)
        if wanted != threads and self.may_change:
            torch.set_num_threads(wanted)
        if wanted < threads and not self.has_said:
            mend = (
                f"going on with {wanted}, until there is room again"
                if self.may_change
                else f"faster: Ctrl-C, then OMP_NUM_THREADS={wanted} {self.command}"
            )
            self.say(
                f"other programs keep {others:.1f} of {cores} cores busy, and {threads} threads would wait; {mend}"
            )
            self.has_said = True

    def end(self) -> None:
        """As many threads as there were, if it has changed that."""
        if self.may_change:
            torch.set_num_threads(self.most)
