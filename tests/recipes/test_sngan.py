"""Spectral norm in the game: where it sits, when it moves, and what it holds to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.game import Clock, Game, Request
from organza.nets.residual import ConditionalNorm, DownBlock, ResidualCritic, ResidualGenerator, UpBlock
from organza.nets.spectral import SpectralNorm
from organza.recipe import find
from organza.trainer import Budget, draw, take, train
from worlds import World, ring, shapes

WORLDS = [pytest.param(shapes(), id="labelled images"), pytest.param(ring(), id="points")]
LAYERS = nn.Linear | nn.Conv2d | nn.Embedding


def built(world: World, **fields: object) -> Game:
    torch.manual_seed(0)
    game = find("sngan:tiny", **fields).recipe.build(world.spec)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    return game


def parts(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("world", WORLDS)
def test_every_layer_of_the_critic_has_spectral_norm_and_none_of_the_generator(world: World) -> None:
    game = built(world)
    critic, generator = game.players["critic"].network, game.players["generator"].network
    layers = [module for module in critic.modules() if isinstance(module, LAYERS)]
    assert len(layers) > 3
    assert all(is_parametrized(layer, "weight") for layer in layers)
    assert not parts(generator, SpectralNorm)


@pytest.mark.parametrize("world", WORLDS)
def test_singular_values_stay_near_1_while_the_weights_move(world: World) -> None:
    game = built(world)
    train(game, lambda start: world.batches(16, start=start), budget=Budget(samples=640))
    critic = game.players["critic"].network
    for layer in [module for module in critic.modules() if isinstance(module, LAYERS)]:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.1)


def test_one_power_iteration_per_critic_update_whatever_the_micro_batch() -> None:
    world, states = shapes(), []
    batch = next(world.batches(16))
    for micro_batch in (None, 3):
        game = built(world, generator_norm="none")
        critic, generator = game.turns
        noisy = batch | draw(game, batch, 3)
        buffers = list(game.players["critic"].network.buffers())
        before = [buffer.clone() for buffer in buffers]
        take(generator, noisy, Clock(), micro_batch=micro_batch)
        assert all(torch.equal(buffer, old) for buffer, old in zip(buffers, before, strict=True))
        take(critic, noisy, Clock(), micro_batch=micro_batch)
        assert not all(torch.equal(buffer, old) for buffer, old in zip(buffers, before, strict=True))
        states.append([buffer.clone() for buffer in buffers])
    for whole, split in zip(*states, strict=True):
        torch.testing.assert_close(whole, split, atol=1e-3, rtol=0)


def test_labels_choose_the_generators_gains_and_enter_the_critic_by_projection() -> None:
    labelled, plain = built(shapes()), built(shapes(labelled=False))
    norms = [len(parts(game.players["generator"].network, ConditionalNorm)) for game in (labelled, plain)]
    blocks = len(parts(labelled.players["generator"].network, UpBlock))
    assert norms == [2 * blocks, 0]
    assert [len(parts(game.players["critic"].network, nn.Embedding)) for game in (labelled, plain)] == [1, 0]


def test_the_paper_is_built_for_32_pixels() -> None:
    game = find("sngan:paper").recipe.build(ImageSpec(channels=3, height=32, width=32))
    ups = parts(game.players["generator"].network, UpBlock)
    assert [(b.first.in_channels, b.first.out_channels, b.up) for b in ups] == [(256, 256, True)] * 3
    downs = parts(game.players["critic"].network, DownBlock)
    assert [(b.second.out_channels, b.down) for b in downs] == [(128, True)] * 2 + [(128, False)] * 2
    assert game.turns[0].repeats == 5


def test_imagenet_is_built_for_128_pixels() -> None:
    recipe, data = find("sngan:imagenet").recipe, ImageSpec(channels=3, height=128, width=128)
    with torch.device("meta"):
        g = ResidualGenerator(
            data, latent=recipe.latent, width=recipe.generator_width, widest=recipe.widest, norm="batch"
        )
        c = ResidualCritic(
            data,
            width=recipe.critic_width,
            widest=recipe.widest,
            base=recipe.critic_base,
            plain=recipe.critic_plain,
        )
    assert [b.first.out_channels for b in parts(g, UpBlock)] == [1024, 512, 256, 128, 64]
    assert [b.second.out_channels for b in parts(c, DownBlock)] == [64, 128, 256, 512, 1024, 1024]


@pytest.mark.parametrize("size", [(4, 17, 30), (1, 9, 40)], ids=str)
def test_images_that_are_not_square_train_and_are_made(size: tuple[int, int, int]) -> None:
    spec = ImageSpec(channels=size[0], height=size[1], width=size[2])
    world = World("noise", spec, {"image": torch.randint(256, (32, *size), dtype=torch.uint8)})
    game = built(world)
    train(game, lambda start: world.batches(16, start=start), budget=Budget(samples=32))
    assert game.generate(Request(3))["image"].shape == (3, *size)


def test_nonsense_sizes_are_refused() -> None:
    for name in ("generator_width", "critic_width", "widest", "critic_base"):
        with pytest.raises(UsageError, match=f"{name} must be above 0"):
            find("sngan", **{name: 0})
    with pytest.raises(UsageError, match="critic_plain must be at least 0"):
        find("sngan", critic_plain=-1)
