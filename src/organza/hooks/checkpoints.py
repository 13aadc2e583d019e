"""Saving while training: every so many samples and at the end, on all ranks together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np

from organza import checkpoint, distributed
from organza.data.source import Source, decode
from organza.game import Report, Request
from organza.metrics.sliced import sliced_wasserstein

JUDGED = 500
"""Samples that the score of a checkpoint is computed from."""


@final
class Checkpoints:
    """A hook that saves the game with its sliced Wasserstein distance to real data as the score.

    Every rank must call it: batch statistics are shared from rank 0 first.
    """

    def __init__(self, folder: Path, source: Source, *, keep: int) -> None:
        self.folder, self.source, self.keep = folder, source, keep
        self.saved_at: int | None = None
        self.listeners: list[Callable[[float], None]] = []

    def __call__(self, report: Report) -> None:
        """Save, unless this moment is saved already or its step was refused: then the weights may be unhealthy."""
        if report.failed or self.saved_at == report.clock.samples:
            return
        distributed.broadcast_buffers(report.game.modules())
        if distributed.is_main():
            score = self.score(report)
            for listener in self.listeners:
                listener(score)
            checkpoint.save(self.folder, report.game, report.clock, keep=self.keep, score=score)
        self.saved_at = report.clock.samples

    def score(self, report: Report) -> float:
        """Distance of fixed-seed samples to as many real ones; lower is better."""
        spec, count = self.source.spec, min(JUDGED, len(self.source))
        fake = report.game.generate(Request(count, seed=2))[spec.key]
        chosen = np.random.default_rng(2).choice(len(self.source), size=count, replace=False)
        real = decode(self.source.read(np.sort(chosen)), spec)[spec.key]
        return sliced_wasserstein(fake, real)
