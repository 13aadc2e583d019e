"""What the terminal shows while a run trains: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, final

from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from organza.game import Clock, Report
from organza.reading import balance, has_probabilities
from organza.trainer import Budget

PLAIN_EVERY_S = 10.0
"""Seconds between plain lines."""
SILENCE_S = 20.0
"""Seconds after which a line comes even if no row does: the first one takes long where steps are slow."""
SLOW_START = (
    "The first step is taking long: a smaller --batch, --resize or preset is faster, and organza plan says by how much"
)
SLOW_AGAIN = "The first step is taking long; what came before is saved"
SLOW = 0.2
"""Share of the minutes allowed of which a first step is worth a warning."""


def say(line: str) -> None:
    """Print a line for the user."""
    print(line, flush=True)


@final
class Console:
    """Shows rows of metrics.jsonl as they come, and at the end of a step that the run goes on where none does."""

    def __init__(self, *, title: str, budget: Budget, start: Clock) -> None:
        self.title, self.budget = title, budget
        self.began, self.start = time.monotonic(), start
        self.printed_at, self.heard_at = float("-inf"), self.began
        self.unsaid = ""
        self.patience = threading.Timer(SILENCE_S, say, [SLOW_START] if not start.step else [SLOW_AGAIN])
        self.patience.daemon = True
        terminal = Terminal()
        self.live = Live(console=terminal, refresh_per_second=4, transient=False) if terminal.is_terminal else None

    def __enter__(self) -> Console:
        minutes = self.budget.minutes or 0
        length = f"{minutes:g} minute{'' if minutes == 1 else 's'}"
        amount = f"{self.budget.samples:,} samples" if self.budget.samples else length
        say(f"training {self.title} for {amount}")
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.patience.cancel()
        if self.live:
            self.live.stop()
        elif self.unsaid:
            say(self.unsaid)

    def await_step(self) -> None:
        """The first step begins: say so if it takes long."""
        self.patience.start()

    def show(self, row: dict[str, Any]) -> None:
        """A row has been written."""
        if "samples_per_s" not in row:  # measured after the last step
            return
        self.heard_at = time.monotonic()
        if self.live:
            self.live.update(self.view(row))
            return
        line = " | ".join(self.lines(row))
        is_time = row.get("failed") or time.monotonic() - self.printed_at >= PLAIN_EVERY_S
        self.unsaid = "" if is_time else line
        if is_time:
            self.printed_at = time.monotonic()
            say(line)

    def pulse(self, report: Report) -> None:
        """A step has been taken: say so if nothing has been heard for long, or if it leaves no time for many."""
        now, clock = time.monotonic(), report.clock
        self.patience.cancel()
        if clock.step == self.start.step + 1:
            self.warn(clock)
        if now - self.heard_at < SILENCE_S:
            return
        self.heard_at, pace = now, (clock.samples - self.start.samples) / (now - self.began)
        line = f"{clock.progress:4.0%}  {self.left(clock.progress)}  {per_second(pace)}  {clock.samples:,} samples"
        if self.live:
            self.live.update(Text(line))
        else:
            say(line)

    def warn(self, first: Clock) -> None:
        """Say after the first step if the minutes allowed hold few of its kind."""
        budget, samples = self.budget.minutes or 0, first.samples - self.start.samples
        taken = first.minutes - self.start.minutes  # at most the budget, however long the step was
        if taken > SLOW * budget:
            told = clock_face(round(60 * taken)) + " or more" * (first.progress >= 1)
            say(
                f"The first step, of {samples:,} samples, took {told}, so {budget:g} minutes hold about "
                f"{round(budget / taken):,}: take a smaller --batch, --resize or preset, and see with organza plan "
                "what that gives"
            )

    def view(self, row: dict[str, Any]) -> Group:
        """What a terminal shows of a row."""
        bar = ProgressBar(total=1, completed=row["progress"], width=40)
        return Group(Padding(bar), *(Text(line) for line in self.lines(row)))

    def left(self, progress: float) -> str:
        """The time that is left: of the minutes allowed, or if it goes on as it has since the beginning."""
        if self.budget.minutes:
            return f"{clock_face(self.budget.minutes * 60 * max(0.0, 1 - progress))} left"
        done = progress - self.start.progress
        seconds = (time.monotonic() - self.began) * (1 - progress) / done if done > 0 else 0.0
        return f"{clock_face(seconds)} left"

    def lines(self, row: dict[str, Any]) -> list[str]:
        """Time and pace, numbers, meaning."""
        pace = (
            f"{row['progress']:4.0%}  {self.left(row['progress'])}  {per_second(row['samples_per_s'])}  "
            f"{row['samples'] / 1000:,.1f} kimg  epoch {row['epoch']:.2f}"
        )
        numbers = []
        if {"d_real", "d_fake"} <= row.keys() and has_probabilities(row):
            numbers.append(f"D(x) {number(row['d_real'])}  D(G(z)) {number(row['d_fake'])}")
            numbers.append(f"right on real {share(row['real_accuracy'])}, on fake {share(row['fake_accuracy'])}")
        losses: dict[str, list[str]] = {}
        for key, value in row.items():
            if key.startswith("loss/") and isinstance(value, float):
                _, turn, term = key.split("/", 2)
                losses.setdefault(turn, []).append(f"{term} {value:.3f}")
        numbers += [f"{turn}: {', '.join(terms)}" for turn, terms in losses.items()]
        return [pace, "  ".join(numbers), row.get("failed") or balance(row)]


def per_second(pace: float) -> str:
    """A pace in words, with two digits where it is slow."""
    return f"{pace:,.0f} samples/s" if pace >= 10 else f"{pace:.2g} samples/s"


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
