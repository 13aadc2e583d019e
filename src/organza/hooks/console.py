"""What the terminal shows while a run trains: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, final

from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from organza.game import Clock
from organza.reading import balance
from organza.trainer import Budget

PLAIN_EVERY_S = 10.0
"""Seconds between plain lines."""


def say(line: str) -> None:
    """Print a line for the user."""
    print(line, flush=True)


@final
class Console:
    """Shows rows of metrics.jsonl as they come."""

    def __init__(self, *, title: str, budget: Budget, start: Clock) -> None:
        self.title, self.budget = title, budget
        self.began, self.from_progress = time.monotonic(), start.progress
        self.printed_at = float("-inf")
        terminal = Terminal()
        self.live = Live(console=terminal, refresh_per_second=4, transient=False) if terminal.is_terminal else None

    def __enter__(self) -> Console:
        amount = f"{self.budget.samples:,} samples" if self.budget.samples else f"{self.budget.minutes:g} minutes"
        say(f"training {self.title} for {amount}")
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def show(self, row: dict[str, Any]) -> None:
        """A row has been written."""
        if "samples_per_s" not in row:  # measured after the last step
            return
        if self.live:
            bar = ProgressBar(total=1, completed=row["progress"], width=40)
            self.live.update(Group(bar, *(Text(line) for line in self.lines(row))))
        elif row.get("failed") or time.monotonic() - self.printed_at >= PLAIN_EVERY_S:
            self.printed_at = time.monotonic()
            say(" | ".join(self.lines(row)))

    def lines(self, row: dict[str, Any]) -> list[str]:
        """Pace, numbers, meaning."""
        done = row["progress"] - self.from_progress
        left = (time.monotonic() - self.began) * (1 - row["progress"]) / done if done > 0 else 0.0
        pace = (
            f"{row['progress']:4.0%}  {row['samples'] / 1000:,.1f} kimg  epoch {row['epoch']:.2f}  "
            f"{row['samples_per_s']:,.0f} samples/s  {clock_face(left)} left"
        )
        numbers = []
        if {"d_real", "d_fake"} <= row.keys():
            numbers.append(f"D(x) {number(row['d_real'])}  D(G(z)) {number(row['d_fake'])}")
            numbers.append(f"right on real {share(row['real_accuracy'])}, on fake {share(row['fake_accuracy'])}")
        losses: dict[str, list[str]] = {}
        for key, value in row.items():
            if key.startswith("loss/") and isinstance(value, float):
                _, turn, term = key.split("/", 2)
                losses.setdefault(turn, []).append(f"{term} {value:.3f}")
        numbers += [f"{turn}: {', '.join(terms)}" for turn, terms in losses.items()]
        return [pace, "  ".join(numbers), row.get("failed") or balance(row)]


def number(value: Any) -> str:
    """Two digits, or the name of a non-finite number."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def share(value: Any) -> str:
    """A percentage, or the name of a non-finite number."""
    return f"{value:.0%}" if isinstance(value, float) else str(value)


def clock_face(seconds: float) -> str:
    """Minutes and seconds, hours where needed."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
