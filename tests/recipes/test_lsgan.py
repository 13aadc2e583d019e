"""Least squares: targets, and scores to watch that have 0 between them."""

from __future__ import annotations

import pytest
import torch

from organza.errors import UsageError
from organza.game import Clock, Game
from organza.losses import least_squares_critic, least_squares_generator
from organza.recipe import find
from organza.trainer import draw
from worlds import World, shapes


def built(world: World, **fields: object) -> Game:
    torch.manual_seed(0)
    return find("lsgan:tiny", generator_norm="none", **fields).recipe.build(world.spec)


def scored(game: Game, world: World) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """A batch with its noise, and the scores of its real and fake samples."""
    batch = next(world.batches(16))
    noisy = batch | draw(game, batch, 3)
    g, c = game.players["generator"].network, game.players["critic"].network
    return noisy, c(noisy["image"], noisy["label"]), c(g(noisy["latent"], noisy["label"]), noisy["label"])


def test_the_default_targets_are_those_of_equation_9() -> None:
    world = shapes()
    game = built(world)
    batch, real, fake = scored(game, world)
    critic, generator = (turn.loss(batch, Clock()) for turn in game.turns)
    torch.testing.assert_close(critic.terms["least_squares"], least_squares_critic(real, fake))
    torch.testing.assert_close(generator.terms["least_squares"], least_squares_generator(real, fake))
    torch.testing.assert_close(critic.watch["real_score"], real - 0.5)


def test_other_targets_make_the_game_of_equation_8() -> None:
    world = shapes()
    game = built(world, fake_target=-1.0, real_target=1.0, wanted_target=0.0)
    batch, real, fake = scored(game, world)
    critic, generator = (turn.loss(batch, Clock()) for turn in game.turns)
    expected = (real - 1).square().mean() / 2 + (fake + 1).square().mean() / 2
    torch.testing.assert_close(critic.terms["least_squares"], expected)
    torch.testing.assert_close(generator.terms["least_squares"], fake.square().mean() / 2)
    torch.testing.assert_close(critic.watch["fake_score"], fake)


def test_contradictions_are_refused() -> None:
    with pytest.raises(UsageError, match="real_target must be above fake_target"):
        find("lsgan", fake_target=1.0)
    with pytest.raises(UsageError, match=r"critic_norm batch .* r1 must be 0"):
        find("lsgan", critic_norm="batch")
