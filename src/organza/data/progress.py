"""Progress of slow work on standard error: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0
"""Work that ends sooner shows nothing."""
PLAIN_INTERVAL_S = 15.0


@contextmanager
def progress(label: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Yields `advance(amount)`; shows how much of `total` is done once the work turns out to take long."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    bar: Progress | None = None
    done = 0
    due = time.monotonic() + PATIENCE_S

    def advance(amount: int) -> None:
        nonlocal bar, done, due
        done = min(total, done + amount)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)
        elif time.monotonic() < due:
            return
        elif console.is_terminal:
            bar = Progress(console=console, transient=True)
            bar.add_task(label, total=total, completed=done)
            bar.start()
        else:
            print(f"{label}: {done:,} of {total:,}", file=sys.stderr, flush=True)
            due = time.monotonic() + PLAIN_INTERVAL_S

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()
