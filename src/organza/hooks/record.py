"""metrics.jsonl: one row per window of samples, averaged over the window. The only truth about how a run went."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from organza.errors import StorageError
from organza.game import Report

Row = dict[str, Any]


@final
class Recorder:
    """A hook that collects every step and writes a row each `every` samples.

    Nothing is moved off the device between rows. In a run of several ranks the numbers are those of rank 0's share.
    """

    def __init__(self, path: Path, *, every: int, epoch_size: int) -> None:
        self.path, self.every, self.epoch_size = path, every, epoch_size
        self.measures: list[Callable[[Report], Row]] = []
        """Asked for more columns when a row is due."""
        self.listeners: list[Callable[[Row], None]] = []
        """Told of each row."""
        self.terms: dict[str, list[Tensor]] = defaultdict(list)
        self.scores: dict[str, list[Tensor]] = defaultdict(list)
        self.failed: str | None = None
        self.newest: Report | None = None
        self.noted: Row = {}
        self.last_row = self.read_last_row()
        self.since, self.from_samples = time.monotonic(), int(self.last_row.get("samples", 0))

    def read_last_row(self) -> Row:
        """The last row of an earlier part of the run, or an empty one."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def __call__(self, report: Report) -> None:
        """Take a step's numbers in; write a row when the window is full."""
        for turn, loss in report.losses.items():
            for name, term in loss.terms.items():
                self.terms[f"loss/{turn}/{name}"].append(term)
            for name, value in loss.watch.items():
                self.scores[name].append(value.flatten())
        for turn, norm in report.grad_norms.items():
            self.terms[f"grad_norm/{turn}"].append(norm)
        self.failed, self.newest = report.failed or self.failed, report
        if report.clock.samples <= self.from_samples:  # rolled back to a checkpoint
            self.from_samples = report.clock.samples - report.drawn
        if report.clock.samples // self.every > self.from_samples // self.every or report.failed:
            self.flush(report)

    def note(self, values: Row) -> None:
        """Put what was measured elsewhere into the next row."""
        self.noted |= values

    def finish(self) -> None:
        """Write what was collected since the last row."""
        if self.terms and self.newest is not None:
            self.flush(self.newest)
        elif self.noted and self.last_row:
            same = {key: self.last_row[key] for key in ("samples", "step", "epoch", "time_s", "progress")}
            row, self.noted = same | self.noted, {}
            self.write(row)

    def flush(self, report: Report) -> None:
        """Write one row."""
        now, clock = time.monotonic(), report.clock
        elapsed = now - self.since
        row: Row = {
            "samples": clock.samples,
            "step": clock.step,
            "epoch": round(clock.samples / self.epoch_size, 4),
            "time_s": round(float(self.last_row.get("time_s", 0)) + elapsed, 3),
            "samples_per_s": round((clock.samples - self.from_samples) / max(elapsed, 1e-9), 1),
            "progress": round(clock.progress, 6),
        }
        row |= {key: finite(torch.stack([v.float() for v in values]).mean()) for key, values in self.terms.items()}
        row |= self.read_scores()
        for name, player in report.game.players.items():
            row[f"lr/{name}"] = player.optimizer.param_groups[0]["lr"]
        for measure in self.measures:
            row |= measure(report)
        row |= self.noted
        if self.failed:
            row["failed"] = self.failed
        self.write(row)
        self.terms.clear()
        self.scores.clear()
        self.noted = {}
        self.failed, self.last_row, self.since, self.from_samples = None, row, now, clock.samples

    def write(self, row: Row) -> None:
        """Append a row to the file and tell the listeners."""
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error}") from error
        for listener in self.listeners:
            listener(row)

    def read_scores(self) -> Row:
        """Means of what is watched; for scores also D(x), D(G(z)) and how often the critic is right."""
        row: Row = {}
        for name, side in (("real", 1), ("fake", -1)):
            values = self.scores.get(f"{name}_score")
            if values:
                score = torch.cat(values).float()
                row[f"{name}_score"] = finite(score.mean())
                row[f"d_{name}"] = finite(score.sigmoid().mean())
                row[f"{name}_accuracy"] = finite((score * side > 0).float().mean())
        others = {name: values for name, values in self.scores.items() if name not in ("real_score", "fake_score")}
        return row | {name: finite(torch.cat(values).float().mean()) for name, values in others.items()}


def finite(value: Tensor) -> float | str:
    """A JSON number, or the name of a non-finite one."""
    number = value.item()
    return number if torch.isfinite(value) else str(number)
