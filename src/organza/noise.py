"""Numbers that are a function of a seed per sample: the same however a batch is split, on any device, and on resume.

One integer per sample is drawn, by the engine or from a sample's place in the data; all else is drawn where it is used.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def seeded_uniform(seeds: Tensor, count: int, *, stream: int = 0) -> Tensor:
    """Uniform numbers in (0, 1) that are a function of the seed alone: a hash of (seed, stream, position).

    Args:
        seeds: (N,) int64, from 0 to 2^31 - 1.
        count: Numbers per seed.
        stream: Other streams of a seed are independent of this.

    Returns:
        (N, count) float32.
    """
    position = torch.arange(count, device=seeds.device)
    bits = scrambled(scrambled(seeds + (stream + 1) * 0x3C6EF372)[:, None] ^ scrambled(position))
    return ((bits.float() + 0.5) / 2**32).clamp(max=1 - 2**-24)


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


def seeds_of(places: Tensor, *, key: int) -> Tensor:
    """A seed for each place (N,) int64 in a stream, below 2^31, unlike those of other keys: a hash of both."""
    return scrambled(scrambled(places) ^ scrambled(places >> 32) ^ scrambled(torch.full_like(places, key))) >> 1


def scrambled(x: Tensor) -> Tensor:
    """A bijection of the 32-bit numbers (in int64) that looks random: multiply and shift, twice."""
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x046CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)
