"""Numbers from seeds: functions of the seed alone, with the moments that they should have."""

from __future__ import annotations

import pytest
import torch

from organza.nets.noise import SeededDropout
from organza.noise import seeded_noise, seeded_uniform


def test_noise_is_a_function_of_the_seed_and_standard_normal() -> None:
    seeds = torch.randint(2**31, (200,), generator=torch.Generator().manual_seed(0))
    noise = seeded_noise(seeds, 2001)
    assert torch.equal(noise[7:9], seeded_noise(seeds[7:9], 2001))
    assert noise.isfinite().all()
    moments = [float((noise.double() ** k).mean()) for k in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.05)
    other = seeded_noise(seeds, 2001, stream=1)
    pairs = [
        (noise, other),
        (noise[1:], noise[:-1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[:, 1000:2000], noise[:, :1000]),
    ]
    for a, b in pairs:
        assert abs(float((a * b).mean())) < 0.01
    consecutive = seeded_noise(torch.arange(200), 2000)
    assert float(torch.corrcoef(consecutive).fill_diagonal_(0).abs().max()) < 0.15


def test_uniform_numbers_fill_the_interval_evenly() -> None:
    uniform = seeded_uniform(torch.arange(500), 200).double()
    assert float(uniform.min()) > 0
    assert float(uniform.max()) <= 1
    moments = [float((uniform**k).mean()) for k in (1, 2, 3)]
    assert moments == pytest.approx([1 / 2, 1 / 3, 1 / 4], abs=0.01)


def test_dropout_keeps_the_mean_and_depends_on_the_seed_of_the_sample_only() -> None:
    x, seeds = torch.ones(64, 5, 9, 8), torch.arange(64) + 1000
    dropout = SeededDropout(0.3, stream=2)
    y = dropout(x, seeds)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float((y == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(y, torch.cat([dropout(x[:7], seeds[:7]), dropout(x[7:], seeds[7:])]))
    other = SeededDropout(0.3, stream=3)(x, seeds)
    assert float(((y == 0) & (other == 0)).float().mean()) == pytest.approx(0.09, abs=0.01)
    assert torch.equal(dropout(x), x)
