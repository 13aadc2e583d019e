"""The games from image to image on points, where one sees what they learn: two moons become two moons elsewhere.

A point is an image of two channels and one pixel, and the networks are small and fully connected. `cut` is left out: it
compares the places of an image with one another, and here is but one. Moons look the same upside down and mirrored, so
no game without pairs can know which point becomes which, and none is asked to.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec
from organza.data.toys import ToySource
from organza.game import Request
from organza.metrics.sliced import sliced_wasserstein
from organza.recipes.cyclegan import BothWays, CycleGAN
from organza.recipes.pix2pix import Pix2Pix
from organza.trainer import Budget, train
from worlds import World

SHIFT = torch.tensor([0.45, 0.3])


def moons(*, is_paired: bool) -> World:
    """Two moons low on the left, and the same moons high on the right."""
    points = 0.35 * ToySource("moons").read(np.arange(8192))["vector"] - SHIFT / 2
    one = ImageSpec(channels=2, height=1, width=1)
    spec = ImageSpec(channels=2, height=1, width=1, source=one, is_paired=is_paired)
    moved = points + SHIFT
    samples = {"source": points, "image": moved if is_paired else moved.flip(0)}
    return World("moons", spec, {key: value[:, :, None, None] for key, value in samples.items()})


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    widths = [inputs, 64, 64, outputs]
    return nn.Sequential(*(part for a, b in pairwise(widths) for part in (nn.Conv2d(a, b, 1), nn.LeakyReLU(0.2))))[:-1]


class Judge(nn.Module):
    """Scores and no feature maps, as the critics of patches answer."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.net = mlp(inputs, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.net(image), []


class JudgeOfPairs(Judge):
    """The same for an image beside its source, at one scale."""

    def forward(self, image: Tensor, source: Tensor) -> list[tuple[Tensor, list[Tensor]]]:  # type: ignore[override]
        return [super().forward(torch.cat([image, source], dim=1))]


class CycleOfPoints(CycleGAN):  # type: ignore[misc]
    smallest: ClassVar[int] = 1

    def networks(self, data: ImageSpec, source: ImageSpec) -> tuple[BothWays, nn.ModuleDict]:
        return BothWays(mlp(2, 2), mlp(2, 2), None), nn.ModuleDict({"image": Judge(2), "source": Judge(2)})


class PairsOfPoints(Pix2Pix):  # type: ignore[misc]
    smallest: ClassVar[int] = 1

    def networks(self, data: ImageSpec, source: ImageSpec) -> tuple[nn.Module, nn.Module]:
        return mlp(2, 2), JudgeOfPairs(4)


def test_cyclegan_makes_the_other_moons_without_pairs_and_finds_the_way_back() -> None:
    world = moons(is_paired=False)
    torch.manual_seed(0)
    rates = {"generator_lr": 1e-3, "critic_lr": 1e-3}
    game = CycleOfPoints(batch=64, history=256, cycle=2.0, identity=0.0, **rates).build(world.spec)  # type: ignore[arg-type]
    train(game, lambda start: world.batches(64, start=start), budget=Budget(samples=40_000))
    source, image = (world.samples[key][:2000] for key in ("source", "image"))
    made = game.generate(Request(2000, sources=source))["image"]
    home = game.generate(Request(2000, sources=made, reverse=True))["image"]
    assert sliced_wasserstein(made, image) < 0.25 * sliced_wasserstein(source, image)
    assert float((home - source).abs().mean()) < 0.03


@pytest.mark.parametrize(("l1", "samples"), [(0.0, 40_000), (100.0, 20_000)])
def test_pix2pix_learns_which_point_becomes_which(l1: float, samples: int) -> None:
    world = moons(is_paired=True)
    torch.manual_seed(0)
    fields = {"generator": "resnet", "perceptual": "none", "pretrain": 0.0, "generator_lr": 1e-3, "critic_lr": 1e-3}
    game = PairsOfPoints(batch=64, l1=l1, **fields).build(world.spec)  # type: ignore[arg-type]
    train(game, lambda start: world.batches(64, start=start), budget=Budget(samples=samples))
    source, image = (world.samples[key][:2000] for key in ("source", "image"))
    made = game.generate(Request(2000, sources=source))["image"]
    assert float((made - image).abs().mean()) < 0.1 * float((source - image).abs().mean())
