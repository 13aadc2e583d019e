"""Saving while training: every so many samples or minutes and at the end, on all ranks together."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np
import torch

from organza import checkpoint, distributed
from organza.data.source import Source, as_rows, decode
from organza.game import Report, Request
from organza.inference import at_once
from organza.metrics.sliced import sliced_wasserstein

JUDGED = 500
"""Samples that the score of a checkpoint is computed from."""
LONG_S = 120.0
"""Seconds without a save after which one is made, whatever the samples, that the next one replaces."""
SHARE = 0.03
"""Of the time that such saves may take."""
ASKED = 16
"""Steps between the questions whether it is time, where several ranks have to agree."""


@final
class Checkpoints:
    """A hook that saves the game with its sliced Wasserstein distance to real data, or another measure, as the score.

    Every rank must call it: batch statistics are shared from rank 0 first.
    """

    def __init__(self, folder: Path, source: Source, *, keep: int, now: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.source, self.keep, self.now = folder, source, keep, now
        self.saved_at: int | None = None
        self.done_at, self.took_s = now(), 0.0
        self.stopgap: Path | None = None
        self.refused: str | None = None
        self.listeners: list[Callable[[float], None]] = []
        self.judge: Callable[[Report], float] | None = None
        """Gives the score in place of the distance, lower is better; every rank calls it."""

    def __call__(self, report: Report, *, is_stopgap: bool = False) -> None:
        """Save, unless this moment is saved already or its step was refused: then the weights may be unhealthy."""
        if report.failed or self.saved_at == report.clock.samples:
            return
        began = self.now()
        distributed.broadcast_buffers(report.game.modules())
        judged = self.judge(report) if self.judge else None
        if distributed.is_main():
            distance = self.score(report)
            for listener in self.listeners:
                listener(distance)
            score = distance if judged is None else judged
            keep, before = self.keep + is_stopgap, self.stopgap
            path = checkpoint.save(self.folder, report.game, report.clock, keep=keep, score=score, instead_of=before)
            self.stopgap = path if is_stopgap else None
        self.saved_at, self.done_at = report.clock.samples, self.now()
        self.took_s = self.done_at - began

    def late(self, report: Report) -> None:
        """After each step: save if the last save is long ago."""
        if distributed.world() > 1 and report.clock.step % ASKED:
            return
        is_late = self.now() - self.done_at > max(LONG_S, self.took_s / SHARE)
        if distributed.broadcast_text("late" if is_late else "", phase="asking whether to save"):
            self(report, is_stopgap=True)

    def see(self, report: Report) -> None:
        """After each step: remember whether it was refused, for the save at the end."""
        self.refused = report.failed

    def score(self, report: Report) -> float:
        """Distance of fixed-seed samples to as many real ones, of the same classes; lower is better."""
        spec, count = self.source.spec, min(JUDGED, len(self.source))
        chosen = np.sort(np.random.default_rng(2).choice(len(self.source), size=count, replace=False))
        is_conditional, fakes, reals = report.game.is_conditional, [], []
        for seed, part in enumerate(np.array_split(chosen, -(-count // at_once(spec.shape))), start=2):
            real = decode(self.source.read(part), spec)
            request = Request(len(part), seed=seed, labels=real["label"] if is_conditional else None)
            fakes.append(as_rows(report.game.generate(request)[spec.key], spec).cpu())
            reals.append(as_rows(real[spec.key], spec))
        return sliced_wasserstein(torch.cat(fakes), torch.cat(reals))
