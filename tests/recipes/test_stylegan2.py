"""What StyleGAN2 promises beyond the contract: lazy penalties at the right rates, truncation in W, fixed noise."""

from __future__ import annotations

import pytest
import torch

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.game import Clock, Game, Request
from organza.recipe import find
from organza.trainer import draw, take
from worlds import shapes


def build(**fields: object) -> Game:
    torch.manual_seed(0)
    game = find("stylegan2:tiny", **fields).recipe.build(shapes().spec)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    return game


def test_lazy_penalties_are_turns_of_their_own_and_make_all_updates_smaller() -> None:
    game = build(r1=1.0, penalty_every=16, path_length=2.0, path_every=4, generator_lr=1e-3, critic_lr=1e-3)
    assert [(turn.name, turn.every) for turn in game.turns] == [
        ("critic", 1),
        ("r1", 16),
        ("generator", 1),
        ("path_length", 4),
    ]
    for player, share in (("critic", 16 / 17), ("generator", 4 / 5)):
        group = game.players[player].optimizer.param_groups[0]
        assert group["lr"] == pytest.approx(1e-3 * share)
        assert group["betas"] == pytest.approx((0.0, 0.99**share))
        schedule = game.players[player].lr
        assert schedule is not None
        assert schedule(Clock()) == pytest.approx(1e-3 * share)


def test_without_penalties_there_are_two_turns_at_the_full_rate() -> None:
    game = build(r1=0.0, path_length=0.0, generator_lr=1e-3)
    assert [turn.name for turn in game.turns] == ["critic", "generator"]
    assert game.players["generator"].optimizer.param_groups[0]["lr"] == 1e-3
    assert list(game.extras) == ["augment"]


def test_the_mean_path_length_moves_by_its_share_once_per_turn() -> None:
    game, world = build(path_decay=0.25), shapes()
    turn, batch = game.turns[3], next(world.batches(16))
    taken = take(turn, batch | draw(game, batch, 1), Clock(), micro_batch=4)
    value = game.extras["path_length"].get_buffer("value")
    assert float(value) == pytest.approx(0.25 * float(taken.loss.watch["path_length"].mean()), rel=1e-5)


@pytest.mark.parametrize("family", ["stylegan2", "stylegan3"])
def test_the_critic_sees_augmented_images_in_every_turn(family: str) -> None:
    torch.manual_seed(0)
    world, seen = shapes(), []
    game = find(f"{family}:tiny", augment=("cutout",), augment_share=1.0, r1=1.0).recipe.build(world.spec)
    game.players["critic"].network.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    batch = {"image": torch.ones(16, *world.spec.shape), "label": torch.zeros(16, dtype=torch.int64)}
    for turn, views in (("critic", 1), ("r1", 1), ("generator", 2)):
        taken = take(next(one for one in game.turns if one.name == turn), batch | draw(game, batch, 1), Clock())
        assert taken.failed is None
        assert len(seen) == views, turn
        assert all((images == 0).flatten(1).any(1).all() for images in seen), turn
        seen.clear()


def variety(game: Game, psi: float) -> float:
    """The mean squared distance of images of one class from their mean."""
    labels = torch.zeros(32, dtype=torch.int64)
    images = game.generate(Request(32, seed=1, labels=labels, truncation=psi))["image"]
    return float((images - images.mean(0)).square().mean())


def test_truncation_draws_w_towards_the_mean_of_the_class() -> None:
    game = build(halflife=0.0)
    g, batch = game.players["generator"].network, next(shapes().batches(16))
    for seed in range(400):
        noise = draw(game, batch, seed)
        g.mapping(noise["latent"], batch["label"])  # in training this moves the mean
    varieties = [variety(game, psi) for psi in (1.0, 0.7, 0.4, 0.0)]
    assert varieties == sorted(varieties, reverse=True)
    assert varieties[-1] < 1e-8 < varieties[-2]
    labels = torch.tensor([0, 1])
    made = game.generate(Request(2, labels=labels, truncation=0.0))["image"]
    mean = g.w_mean[labels][:, None].expand(-1, g.num_ws, -1)
    assert torch.allclose(made, g.eval().synthesis(mean).clamp(-1, 1), atol=1e-6)


def test_truncation_applies_to_latents_that_were_asked_for() -> None:
    game = build()
    z, labels = torch.randn(4, 8), torch.zeros(4, dtype=torch.int64)
    made = [game.generate(Request(4, latents=z, labels=labels, truncation=psi))["image"] for psi in (1.0, 0.0)]
    assert not torch.allclose(made[0], made[1])
    assert torch.allclose(made[1], made[1][:1].expand(4, -1, -1, -1), atol=1e-6)


def test_a_sample_depends_on_its_number_and_the_seed_alone() -> None:
    game = build()
    for layer in game.players["generator"].averaged.modules():
        if getattr(layer, "strength", None) is not None:
            layer.strength.fill_(1.0)
    whole = game.generate(Request(6, seed=3))["image"]
    part = game.generate(Request(3, seed=3, start=3))["image"]
    assert torch.allclose(whole[3:], part, atol=1e-5)


@pytest.mark.parametrize("style", ["modulate", "adain"])
@pytest.mark.parametrize("size", [(3, 19, 30), (4, 9, 5)], ids=str)
def test_any_size_trains_in_every_style(style: str, size: tuple[int, int, int]) -> None:
    data = ImageSpec(channels=size[0], height=size[1], width=size[2])
    game = find("stylegan2:tiny", style=style, residual=False, noise=False, loss="relativistic").recipe.build(data)
    batch = {"image": torch.rand(4, *size)}
    for turn in game.turns:
        assert take(turn, batch | draw(game, batch, 1), Clock()).failed is None
    assert game.generate(Request(3))["image"].shape == (3, *size)


@pytest.mark.parametrize("fields", [{"mixing": 1.5}, {"path_every": 0}, {"minibatch_std": -1}, {"patch": 3}])
def test_numbers_that_make_no_sense_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        find("stylegan2", **fields)


@pytest.mark.parametrize("style", ["modulate", "adain"])
def test_every_turn_works_in_bfloat16(style: str) -> None:
    torch.manual_seed(0)
    world, recipe = shapes(), find("stylegan2:tiny", style=style).recipe
    game, batch = recipe.build(world.spec), next(world.batches(16))
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    for turn in game.turns:
        taken = take(turn, batch | draw(game, batch, 1), Clock(), precision=torch.bfloat16)
        assert taken.failed is None
        assert all(term.dtype == torch.float32 for term in taken.loss.terms.values())


@pytest.mark.parametrize("rate", [0.0, -0.01])
def test_a_mapping_that_would_not_learn_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match=f"mapping_rate must be above 0; got {rate}"):
        find("stylegan2", mapping_rate=rate)
