"""What StyleGAN3 promises beyond the contract."""

from __future__ import annotations

import pytest
import torch

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.game import Clock, Request
from organza.nets.equivariance import translation_equivariance
from organza.nets.style3 import AliasFreeGenerator
from organza.recipe import find
from organza.trainer import draw, step, take
from worlds import shapes


def test_the_generator_stays_equivariant_while_it_trains() -> None:
    torch.manual_seed(0)
    world, recipe = shapes(), find("stylegan3:tiny", margin=8, halflife=0.0).recipe
    game, clock, batches = recipe.build(world.spec), Clock(), world.batches(16)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    for _ in range(5):
        clock = step(game, batches, clock, seed=0).clock
    g = game.players["generator"].network.eval()
    assert isinstance(g, AliasFreeGenerator)
    assert translation_equivariance(g, g.mapping(torch.randn(8, 8), torch.arange(8) % 2), (2.0, -3.0)) > 40


def test_truncation_draws_w_towards_its_mean() -> None:
    torch.manual_seed(0)
    game = find("stylegan3:tiny").recipe.build(shapes().spec)
    labels = torch.zeros(16, dtype=torch.int64)
    made = [game.generate(Request(16, labels=labels, truncation=psi))["image"] for psi in (1.0, 0.5, 0.0)]
    varieties = [float((images - images.mean(0)).square().mean()) for images in made]
    assert varieties == sorted(varieties, reverse=True)
    assert varieties[-1] < 1e-8


def test_the_blur_fades_with_the_samples_seen() -> None:
    torch.manual_seed(0)
    world = shapes()
    fields = {"blur": 2.0, "blur_until": 1000, "minibatch_std": 0, "loss": "nonsaturating"}
    game = find("stylegan3:tiny", **fields).recipe.build(world.spec)
    batch = next(world.batches(16))
    batch |= draw(game, batch, 1)

    def score(samples: int) -> torch.Tensor:
        return game.turns[0].loss(batch, Clock(samples=samples)).watch["real_score"]

    sharp = game.players["critic"].network(batch["image"], batch["label"])
    assert torch.allclose(score(1000), sharp, atol=1e-4)
    assert torch.allclose(score(5000), sharp, atol=1e-4)
    assert not torch.allclose(score(0), sharp, atol=1e-3)


@pytest.mark.parametrize("equivariance", ["translation", "rotation"])
@pytest.mark.parametrize("size", [(3, 19, 30), (4, 9, 5)], ids=str)
def test_any_size_trains(equivariance: str, size: tuple[int, int, int]) -> None:
    data = ImageSpec(channels=size[0], height=size[1], width=size[2])
    game = find("stylegan3:tiny", equivariance=equivariance, loss="relativistic", blur=1.0).recipe.build(data)
    batch = {"image": torch.rand(4, *size)}
    for turn in game.turns:
        assert take(turn, batch | draw(game, batch, 1), Clock()).failed is None
    assert game.generate(Request(3))["image"].shape == (3, *size)


@pytest.mark.parametrize("fields", [{"critical": 5, "layers": 5}, {"taps": 3}, {"margin": -1}, {"decay": 2.0}])
def test_numbers_that_make_no_sense_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        find("stylegan3", **fields)


@pytest.mark.parametrize("equivariance", ["translation", "rotation"])
def test_every_turn_works_in_bfloat16(equivariance: str) -> None:
    torch.manual_seed(0)
    world, recipe = shapes(), find("stylegan3:tiny", equivariance=equivariance).recipe
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
        find("stylegan3", mapping_rate=rate)
