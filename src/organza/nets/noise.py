"""Noise inside of networks."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from organza.noise import seeded_uniform


@final
class SeededDropout(nn.Module):
    """Dropout whose mask is a function of a seed per sample; without seeds nothing is dropped.

    Args:
        rate: The share of numbers that become 0; the others grow by 1 / (1 - rate).
        stream: Of the seeds' numbers, one per layer.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """

    def __init__(self, rate: float, *, stream: int = 0) -> None:
        super().__init__()
        self.rate, self.stream = rate, stream

    def forward(self, x: Tensor, seeds: Tensor | None = None) -> Tensor:
        """(N, ...) and seeds (N,) int64 to the same shape."""
        if seeds is None or self.rate == 0:
            return x
        kept = seeded_uniform(seeds, x[0].numel(), stream=self.stream).view_as(x) > self.rate
        return x * (kept / (1 - self.rate)).to(x.dtype)
