"""FastGAN in the game: spectral norm, the random margin, reconstructions, and images of all shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import relu
from torch.nn.utils.parametrize import is_parametrized

from organza.augment import Augment
from organza.data.spec import ImageSpec
from organza.errors import DataError, UsageError
from organza.game import Clock, Game, Request
from organza.recipe import find
from organza.trainer import Budget, draw, take, train
from worlds import World, ring, shapes

PAPER = {"loss": "hinge", "r1": 0.0, "critic_spectral": True}
LAYERS = nn.Linear | nn.Conv2d | nn.Embedding


def built(world: World, **fields: object) -> Game:
    torch.manual_seed(0)
    game = find("fastgan:tiny", **fields).recipe.build(world.spec)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    return game


def normed(game: Game, player: str) -> list[bool]:
    """Of every layer, whether it has spectral norm."""
    layers = [part for part in game.players[player].network.modules() if isinstance(part, LAYERS)]
    return [is_parametrized(layer, "weight") for layer in layers]


@pytest.mark.parametrize("asked", ["critic", "generator"])
def test_a_network_has_spectral_norm_if_asked(asked: str) -> None:
    game = built(shapes(), **{f"{asked}_spectral": True})
    for player in game.players:
        assert all(normed(game, player)) if player == asked else not any(normed(game, player))


def test_a_power_iteration_follows_each_update_of_its_own_network() -> None:
    world = shapes()
    game, batch = built(world, **PAPER, generator_spectral=True, generator_norm="none"), next(world.batches(16))
    critic, generator = game.turns
    for turn, moving, still in ((critic, "critic", "generator"), (generator, "generator", "critic")):
        before = {name: [b.clone() for b in player.network.buffers()] for name, player in game.players.items()}
        take(turn, batch | draw(game, batch, 3), Clock(), micro_batch=5)
        same = {
            name: all(torch.equal(new, old) for new, old in zip(player.network.buffers(), before[name], strict=True))
            for name, player in game.players.items()
        }
        assert same == {moving: False, still: True}


def test_each_real_sample_has_a_margin_of_its_own_below_1() -> None:
    world = shapes(labelled=False)
    game, batch = built(world, **PAPER, smooth=0.4), next(world.batches(16))
    noisy = batch | draw(game, batch, 3)
    loss = game.turns[0].loss(noisy, Clock())
    real, fake = loss.watch["real_score"], loss.watch["fake_score"]  # 16 pixels have one place only
    margin = 1 - 0.4 * noisy["margin"][:, 0]
    assert 0.6 < float(margin.min()) < float(margin.max()) < 1
    torch.testing.assert_close(loss.terms["hinge"], relu(margin - real).mean() + relu(1 + fake).mean())


def test_reconstructions_are_of_real_images_and_fall() -> None:
    world, rows = shapes(labelled=False), []
    game = built(world, critic_width=8, critic_lr=2e-3, augment=())
    hook = lambda report: rows.append(report.losses["critic"].terms)  # noqa: E731
    train(game, lambda start: world.batches(16, start=start), budget=Budget(samples=3200), hooks=[hook])
    for name in ("pixel_pyramid_whole", "pixel_pyramid_part"):
        first, last = (sum(float(row[name]) for row in part) / len(part) for part in (rows[:5], rows[-20:]))
        assert last < 0.6 * first, name


def test_with_batch_norm_in_the_critic_fakes_do_not_change_the_scores_of_real_images() -> None:
    world = shapes()
    game, batch = built(world, **PAPER, critic_norm="batch", augment=()), next(world.batches(16))
    noisy = batch | draw(game, batch, 3)
    first, second = (
        game.turns[0].loss(noisy | {"latent": latent}, Clock()).watch
        for latent in (noisy["latent"], noisy["latent"].flip(1))
    )
    assert torch.equal(first["real_score"], second["real_score"])
    assert not torch.equal(first["fake_score"], second["fake_score"])


def test_without_reconstruction_there_are_no_decoders() -> None:
    world = shapes()
    game, batch = built(world, **PAPER, reconstruct=0.0), next(world.batches(16))
    assert not list(game.players["critic"].network.get_submodule("decoders").children())
    assert list(take(game.turns[0], batch | draw(game, batch, 3), Clock()).loss.terms) == ["hinge"]


def test_the_augmentation_adapts_beside_the_power_iterations() -> None:
    world = shapes()
    game = built(world, augment_target=0.6)
    strength = game.extras["augment"]
    assert isinstance(strength, Augment)
    strength.strength.fill_(0.5)
    train(game, lambda start: world.batches(16, start=start), budget=Budget(samples=64))
    assert float(strength.strength) != 0.5


@pytest.mark.parametrize("size", [(4, 17, 30), (1, 9, 40), (3, 6, 6)], ids=str)
def test_images_of_all_shapes_train_and_are_made(size: tuple[int, int, int]) -> None:
    spec = ImageSpec(channels=size[0], height=size[1], width=size[2])
    world = World("noise", spec, {"image": torch.randint(256, (32, *size), dtype=torch.uint8)})
    game = built(world)
    train(game, lambda start: world.batches(16, start=start), budget=Budget(samples=32))
    assert game.generate(Request(3))["image"].shape == (3, *size)


def test_the_papers_average_keeps_999_of_1000_per_step() -> None:
    recipe = find("fastgan:paper").recipe
    assert 0.5 ** (recipe.batch / recipe.halflife) == pytest.approx(0.999, abs=1e-6)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="skip must be above 0; got 0"):
        find("fastgan", skip=0)
    with pytest.raises(UsageError, match="smooth must be from 0 to 1"):
        find("fastgan", smooth=1.5)
    with pytest.raises(UsageError, match="reconstruct must be at least 0"):
        find("fastgan", reconstruct=-1.0)
    with pytest.raises(DataError, match="makes image data"):
        find("fastgan").recipe.build(ring().spec)
    with pytest.raises(DataError, match="conditional yes needs labels"):
        find("fastgan", conditional="yes").recipe.build(shapes(labelled=False).spec)


def test_the_penalty_is_the_squared_gradient_of_the_mean_score_and_shares_the_pass_of_the_loss() -> None:
    world = shapes()
    game, batch = built(world, augment=(), r1=3.0), next(world.batches(16))
    noisy, critic = batch | draw(game, batch, 3), game.players["critic"].network
    often, seldom = (game.turns[0].loss(noisy, Clock(step=step)).terms for step in (4, 5))
    assert "r1" not in seldom
    torch.testing.assert_close(often["relativistic"], seldom["relativistic"])
    image = batch["image"].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(image, batch["label"])[0].mean(1).sum(), image)
    torch.testing.assert_close(often["r1"].detach(), 4 * 3.0 / 2 * gradient.flatten(1).square().sum(1).mean())


def test_two_classes_ask_for_different_features_at_each_place() -> None:
    critic = built(shapes()).players["critic"].network
    features = critic.get_submodule("features")
    seen: list[torch.Tensor] = []
    features.register_forward_hook(lambda module, given, made: seen.append(made))
    image = torch.rand(2, *shapes().spec.shape) * 2 - 1
    first, second = (critic(image, torch.full((2,), label))[0] for label in (0, 1))
    weights = critic.get_submodule("embed").weight
    expected = seen[0].flatten(1) @ (weights[1] - weights[0])
    torch.testing.assert_close((second - first)[:, 0], expected)
