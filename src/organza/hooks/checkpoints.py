"""Saving while training: every so many samples and at the end, on all ranks together."""

from __future__ import annotations

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


@final
class Checkpoints:
    """A hook that saves the game with its sliced Wasserstein distance to real data, or another measure, as the score.

    Every rank must call it: batch statistics are shared from rank 0 first.
    """

    def __init__(self, folder: Path, source: Source, *, keep: int) -> None:
        self.folder, self.source, self.keep = folder, source, keep
        self.saved_at: int | None = None
        self.refused: str | None = None
        self.listeners: list[Callable[[float], None]] = []
        self.judge: Callable[[Report], float] | None = None
        """Gives the score in place of the distance, lower is better; every rank calls it."""

    def __call__(self, report: Report) -> None:
        """Save, unless this moment is saved already or its step was refused: then the weights may be unhealthy."""
        if report.failed or self.saved_at == report.clock.samples:
            return
        distributed.broadcast_buffers(report.game.modules())
        judged = self.judge(report) if self.judge else None
        if distributed.is_main():
            distance = self.score(report)
            for listener in self.listeners:
                listener(distance)
            score = distance if judged is None else judged
            checkpoint.save(self.folder, report.game, report.clock, keep=self.keep, score=score)
        self.saved_at = report.clock.samples

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
