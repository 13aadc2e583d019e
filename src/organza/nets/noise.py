"""Numbers that are a function of a seed per sample: the same however a batch is split, on any device, and on resume.

The engine draws and splits one integer per sample; noise for every pixel of every layer is drawn where it is used.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn


def seeded_uniform(seeds: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Uniform numbers in (0, 1] that are a function of the seed alone: a hash of (seed, stream, position).

    Args:
        seeds: (N,) int64, from 0 to 2^31 - 1.
        count: Numbers per seed.
        stream: Other streams of a seed are independent of this.

    Returns:
        (N, count) float32.
    """
    position = torch.arange(count, device=seeds.device)
    bits = scrambled(scrambled(seeds + (stream + 1) * 0x3C6EF372)[:, None] ^ scrambled(position))
    return (bits.float() + 0.5) / 2**32


def seeded_noise(seeds: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Standard normal numbers that are a function of the seed alone: pairs of uniform ones (Box and Muller 1958).

    Args:
        seeds: (N,) int64, from 0 to 2^31 - 1.
        count: Numbers per seed.
        stream: Other streams of a seed are independent of this.

    Returns:
        (N, count) float32.
    """
    half = -(-count // 2)
    uniform = seeded_uniform(seeds, 2 * half, stream=stream)
    radius = (-2 * uniform[:, :half].log()).sqrt()
    angle = 2 * math.pi * uniform[:, half:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def scrambled(x: Tensor) -> Tensor:
    """A bijection of the 32-bit numbers (in int64) that looks random: multiply and shift, twice."""
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x046CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


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
