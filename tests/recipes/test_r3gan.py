"""R3GAN: its penalties, pairs and published settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from organza.errors import UsageError
from organza.game import Batch, Clock
from organza.recipes.r3gan import PRESETS, R3GAN
from organza.trainer import draw
from worlds import shapes

WORLD = shapes()
TINY = PRESETS["tiny"]


def critic_terms(recipe: R3GAN, *, step: int = 0, repeats: int = 1) -> list[dict[str, float]]:
    """Terms of the critic's loss at the start, for other noise each time."""
    torch.manual_seed(0)
    game = recipe.build(WORLD.spec)
    batch: Batch = next(WORLD.batches(recipe.batch))
    terms = []
    for seed in range(repeats):
        loss = game.turns[0].loss(batch | draw(game, batch, seed), Clock(step=step))
        terms.append({key: value.item() for key, value in loss.terms.items()})
    return terms


def test_the_finite_difference_estimates_the_exact_penalties() -> None:
    linear = replace(TINY, r1=1.0, r2=1.0, penalty_every=1)
    exact = critic_terms(linear)[0]
    near = critic_terms(replace(linear, penalty="finite_difference", epsilon=1e-3), repeats=200)
    # the latents differ from draw to draw as well, so r2 is compared loosely
    assert sum(t["r1"] for t in near) / 200 == pytest.approx(exact["r1"], rel=0.1)
    assert sum(t["r2"] for t in near) / 200 == pytest.approx(exact["r2"], rel=0.5)


def test_lazy_penalties_come_every_so_many_steps_with_as_much_weight() -> None:
    always, lazy = replace(TINY, penalty_every=1), replace(TINY, penalty_every=4)
    assert critic_terms(lazy, step=4)[0]["r1"] == pytest.approx(4 * critic_terms(always, step=4)[0]["r1"], rel=1e-5)
    assert critic_terms(lazy, step=3)[0].keys() == {"relativistic"}


def test_penalties_fall_to_the_share_that_is_to_be_left() -> None:
    recipe = replace(TINY, penalty_every=1, final_penalty=0.1)
    torch.manual_seed(0)
    game = recipe.build(WORLD.spec)
    batch = next(WORLD.batches(recipe.batch))
    batch |= draw(game, batch, 1)
    first, last = (game.turns[0].loss(batch, Clock(progress=p)).terms["r1"].item() for p in (0.0, 1.0))
    assert last == pytest.approx(0.1 * first, rel=1e-5)


def test_the_second_moments_decay_rises_over_the_run() -> None:
    player = TINY.build(WORLD.spec).players["critic"]
    assert player.beta2 is not None
    assert [player.beta2(Clock(progress=p)) for p in (0.0, 1.0)] == pytest.approx([0.9, 0.99])


def test_published_settings_are_the_papers() -> None:
    cifar, ffhq = PRESETS["cifar10"], PRESETS["ffhq256"]
    for preset in (cifar, ffhq):
        assert (preset.ends, preset.output, preset.block_gain, preset.penalty_every) == ("basis", "linear", 0.0, 1)
        assert (preset.patch, preset.blocks, preset.expansion, preset.group) == (1, 2, 2.0, 16)
    assert (cifar.r1, ffhq.r1) == (0.05, 150.0)


def test_fast_is_the_default() -> None:
    assert PRESETS["fast"] == R3GAN()


def test_a_limit_below_the_width_is_refused() -> None:
    with pytest.raises(UsageError, match="widest must be at least width"):
        R3GAN(width=64)
