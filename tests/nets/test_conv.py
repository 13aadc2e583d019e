"""The convolutional pairs make and judge images of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from organza.data.spec import ImageSpec
from organza.nets.conv import BASE, ConvCritic, ConvGenerator, base_size, halvings
from organza.nets.layers import Norm
from organza.nets.small_conv import small_critic, small_generator

SIZES = [(1, 28, 28), (3, 97, 131), (4, 21, 37), (2, 8, 8), (1, 5, 64), (1, 32, 32), (1, 1, 1)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, size)) for size in SIZES])
norms = pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer", "spectral"])


def spec(size: tuple[int, int, int]) -> ImageSpec:
    return ImageSpec(channels=size[0], height=size[1], width=size[2])


def generator(size: tuple[int, int, int], *, num_classes: int = 0, norm: Norm = "batch") -> ConvGenerator:
    return ConvGenerator(spec(size), latent=5, width=4, num_classes=num_classes, norm=norm, embedding=3)


def critic(size: tuple[int, int, int], *, num_classes: int = 0, norm: Norm = "none") -> ConvCritic:
    return ConvCritic(spec(size), width=4, num_classes=num_classes, norm=norm)


@sizes
def test_images_of_any_size_are_made_and_judged(size: tuple[int, int, int]) -> None:
    images = generator(size)(torch.randn(3, 5))
    assert images.shape == (3, *size)
    assert images.abs().max() <= 1
    assert critic(size)(images).shape == (3,)


@sizes
def test_the_small_pair_makes_and_judges_images_of_any_size(size: tuple[int, int, int]) -> None:
    images = small_generator(spec(size), 5, (6, 4), nn.ReLU, norm="batch")(torch.randn(3, 5))
    assert images.shape == (3, *size)
    assert small_critic(spec(size), (4, 6), nn.ReLU, norm="none", dropout=0.1)(images).shape == (3, 1)


@norms
def test_every_norm_builds_and_trains_in_both_networks(norm: Norm) -> None:
    size = (3, 13, 18)
    g, c = generator(size, norm=norm), critic(size, norm=norm)
    c(g(torch.randn(4, 5))).sum().backward()
    for network in (g, c):
        assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]


@sizes
def test_the_smallest_map_is_the_image_halved_until_its_shorter_side_fits_the_base(size: tuple[int, int, int]) -> None:
    count, shorter = halvings(spec(size)), min(size[1:])
    assert base_size(spec(size)) == tuple(-(-side // 2**count) for side in size[1:])
    assert -(-shorter // 2**count) <= BASE
    assert count == 1 or -(-shorter // 2 ** (count - 1)) > BASE


def test_labels_change_images_and_scores_and_every_class_its_own_way() -> None:
    size, latent, label = (1, 8, 8), torch.randn(1, 5).repeat(3, 1), torch.arange(3)
    g, c = generator(size, num_classes=3, norm="none"), critic(size, num_classes=3)
    images = g(latent, label)
    assert len({tuple(image.flatten().tolist()) for image in images}) == 3
    same = images[:1].repeat(3, 1, 1, 1)
    assert len(set(c(same, label).tolist())) == 3
    torch.testing.assert_close(c(same, label) - c(same), (c.features(same) * c.embed(label)).sum(1))


def test_scores_keep_float32_under_autocast() -> None:
    c = critic((1, 8, 8), num_classes=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert c(torch.randn(2, 1, 8, 8), torch.tensor([0, 1])).dtype == torch.float32
