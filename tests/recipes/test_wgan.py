"""The Wasserstein critics: weights that never exceed the clip, and the penalty that replaces it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from organza.errors import UsageError
from organza.game import Clock, Game, Report
from organza.recipe import find
from organza.trainer import Budget, draw, take, train
from worlds import World, ring, shapes

WORLDS = [pytest.param(shapes(), id="labelled images"), pytest.param(ring(), id="points")]


def built(name: str, world: World, **fields: object) -> Game:
    torch.manual_seed(0)
    game = find(f"{name}:tiny", **fields).recipe.build(world.spec)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    return game


def largest(game: Game) -> float:
    return max(float(p.abs().max()) for p in game.players["critic"].network.parameters())


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("micro_batch", [None, 5])
def test_no_weight_of_the_critic_ever_exceeds_the_clip(world: World, micro_batch: int | None) -> None:
    game, limit = built("wgan", world, clip=0.02, critic_lr=0.01, critic_repeats=3), torch.tensor(0.02).item()
    assert largest(game) == limit  # drawn larger, and clipped at the start
    seen: list[float] = []

    def look(report: Report) -> None:
        seen.append(largest(report.game))

    train(
        game,
        lambda start: world.batches(16, start=start),
        budget=Budget(samples=480),
        hooks=[look],
        micro_batch=micro_batch,
    )
    assert len(seen) == 10
    assert max(seen) == limit


def test_clipping_is_the_last_part_of_every_critic_update_and_of_no_other() -> None:
    world = shapes()
    game = built("wgan", world, clip=0.02, critic_lr=0.01)
    critic, generator = game.turns
    batch = next(world.batches(16))
    noisy = batch | draw(game, batch, 3)
    before = [p.clone() for p in critic.player.parameters]
    take(critic, noisy, Clock())
    stepped = [old - 0.01 * 10 * p.grad.sign() for old, p in zip(before, critic.player.parameters, strict=True)]
    for p, free in zip(critic.player.parameters, stepped, strict=True):
        sure = p.grad.abs() > 1e-4  # RMSProp's first step is lr / sqrt(1 - memory) in the gradient's direction
        torch.testing.assert_close(p[sure], free.clamp(-0.02, 0.02)[sure], atol=1e-4, rtol=0)
    assert generator.after is None


def test_a_clip_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="clip must be above 0"):
        find("wgan", clip=0.0)


def critic_terms(game: Game, world: World, clock: Clock) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    batch = next(world.batches(16))
    noisy = batch | draw(game, batch, 3)
    game.players["critic"].network.requires_grad_(True)
    return game.turns[0].loss(noisy, clock).terms, noisy


@pytest.mark.parametrize("world", WORLDS)
def test_the_critics_loss_is_that_of_algorithm_1(world: World) -> None:
    game = built("wgan_gp", world, generator_norm="none")
    g, c = game.players["generator"].network, game.players["critic"].network
    terms, batch = critic_terms(game, world, Clock())
    label = [batch["label"]] if "label" in batch else []
    real, fake = batch[world.spec.key], g(batch["latent"], *label)
    mix = batch["mix"].view(-1, *[1] * (real.ndim - 1))
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(c(between, *label).sum(), between)
    penalty = 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(terms["gradient_penalty"], penalty, atol=1e-4, rtol=1e-4)
    distance = c(real, *label).mean() - c(fake, *label).mean()
    torch.testing.assert_close(terms["wasserstein"], -distance, atol=1e-4, rtol=1e-4)


def test_a_lazy_penalty_is_taken_rarely_and_weighs_as_much() -> None:
    world = shapes()
    lazy, eager = built("wgan_gp", world, penalty_every=3), built("wgan_gp", world)
    found = [critic_terms(lazy, world, Clock(step=step))[0] for step in range(4)]
    assert ["gradient_penalty" in terms for terms in found] == [True, False, False, True]
    expected = critic_terms(eager, world, Clock())[0]["gradient_penalty"]
    torch.testing.assert_close(found[0]["gradient_penalty"], 3 * expected)


@pytest.mark.parametrize("weight", [0.0, 10.0])
@pytest.mark.parametrize("penalty", ["exact", "finite_difference"])
def test_noise_is_drawn_where_finite_differences_need_it(penalty: str, weight: float) -> None:
    world = shapes()
    game = built("wgan_gp", world, penalty=penalty, gradient_penalty=weight)
    terms, noise = critic_terms(game, world, Clock())
    assert ("slope_noise" in noise) == (penalty == "finite_difference" and weight > 0)
    assert ("gradient_penalty" in terms) == (weight > 0)


def test_batch_norm_does_not_go_with_a_penalty_per_sample() -> None:
    with pytest.raises(UsageError, match=r"critic_norm batch .* gradient_penalty must be 0"):
        find("wgan_gp", critic_norm="batch")
    find("wgan_gp", critic_norm="batch", gradient_penalty=0.0)
    with pytest.raises(UsageError, match="at least 0"):
        find("wgan_gp", slope=-1.0)
