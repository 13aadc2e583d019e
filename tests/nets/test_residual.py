"""Residual blocks and networks against what they stand for, at any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, relu

from organza.data.spec import ImageSpec
from organza.nets.residual import (
    BASE,
    DownBlock,
    DownConv,
    MapNorm,
    ResidualCritic,
    ResidualGenerator,
    UpBlock,
    UpConv,
    class_norms,
    conditional_norms,
    evened,
    halvings,
    ladder,
    plain_norms,
)

SIZES = [(1, 28, 28), (3, 33, 47), (4, 21, 37), (2, 8, 8), (1, 5, 64), (1, 32, 32), (1, 1, 1)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, size)) for size in SIZES])
norms = pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer"])


def spec(size: tuple[int, int, int]) -> ImageSpec:
    return ImageSpec(channels=size[0], height=size[1], width=size[2])


def generator(size: tuple[int, int, int], *, norm: MapNorm = "batch", num_classes: int = 0) -> ResidualGenerator:
    return ResidualGenerator(spec(size), latent=5, width=4, widest=2, norm=norm, num_classes=num_classes)


def critic(size: tuple[int, int, int], *, num_classes: int = 0, plain: int = 1) -> ResidualCritic:
    return ResidualCritic(spec(size), width=4, widest=2, base=8, plain=plain, num_classes=num_classes)


def test_up_convolution_is_repeating_pixels_and_a_3x3() -> None:
    torch.manual_seed(0)
    layer, x = UpConv(3, 5), torch.randn(2, 3, 4, 6)
    plain = conv2d(interpolate(x, scale_factor=2.0), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)


def test_down_convolution_is_a_3x3_and_the_mean_of_pixels() -> None:
    torch.manual_seed(0)
    layer, x = DownConv(3, 5), torch.randn(2, 3, 8, 6)
    plain = avg_pool2d(conv2d(x, layer.weight, layer.bias, padding=1), 2)
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_an_up_block_is_the_block_of_the_paper(up: bool) -> None:
    torch.manual_seed(0)
    block, x = UpBlock(3, 5, norm=plain_norms("batch"), up=up), torch.randn(4, 3, 4, 6)

    def larger(x: torch.Tensor) -> torch.Tensor:
        return interpolate(x, scale_factor=2.0) if up else x

    y = conv2d(larger(relu(block.first_norm(x))), block.first.weight, block.first.bias, padding=1)
    y = block.second(relu(block.second_norm(y)))
    torch.testing.assert_close(block(x), y + block.skip(larger(x)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("down", [False, True])
def test_a_down_block_is_the_block_of_the_paper(down: bool, first: bool) -> None:
    torch.manual_seed(0)
    block, x = DownBlock(3, 5, down=down, first=first), torch.randn(4, 3, 8, 6)

    def smaller(x: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(x, 2) if down else x

    y = relu(block.first(x if first else relu(x)))
    y = smaller(conv2d(y, block.second.weight, block.second.bias, padding=1))
    torch.testing.assert_close(block(x), y + smaller(block.skip(x)), atol=1e-5, rtol=1e-5)
    assert block.first.out_channels == (5 if first else 3)
    assert DownBlock(3, 5, wide=True).first.out_channels == 5


def test_blocks_that_change_nothing_add_to_their_input() -> None:
    assert isinstance(UpBlock(4, 4, norm=plain_norms("batch"), up=False).skip, nn.Identity)
    assert isinstance(DownBlock(4, 4, down=False).skip, nn.Identity)


def test_odd_maps_are_rounded_up_by_repeating_their_end() -> None:
    x = torch.arange(15.0).view(1, 1, 3, 5)
    even = evened(x)
    assert even.shape == (1, 1, 4, 6)
    assert torch.equal(even[:, :, :3, :5], x)
    assert torch.equal(even[:, :, 3], even[:, :, 2])
    assert torch.equal(even[:, :, :, 5], even[:, :, :, 4])
    assert DownBlock(1, 2)(x).shape == (1, 2, 2, 3)


def test_class_norms_start_plain_and_choose_gain_and_bias_by_class() -> None:
    torch.manual_seed(0)
    norm, x, label = class_norms("batch", 3)(4), 5 * torch.randn(6, 4, 3, 3) + 1, torch.tensor([0, 1, 2, 0, 1, 2])
    plain = nn.BatchNorm2d(4, affine=False)(x)
    torch.testing.assert_close(norm(x, label), plain)
    with torch.no_grad():
        norm.gain.weight.copy_(torch.randn(3, 4))
        norm.bias.weight.copy_(torch.randn(3, 4))
    expected = (1 + norm.gain.weight[label])[:, :, None, None] * plain + norm.bias.weight[label][:, :, None, None]
    torch.testing.assert_close(norm(x, label), expected)


def test_norms_can_be_conditioned_on_vectors() -> None:
    norm = conditional_norms("layer", lambda channels: nn.Linear(7, channels, bias=False))(4)
    assert norm(torch.randn(2, 4, 3, 3), torch.randn(2, 7)).shape == (2, 4, 3, 3)


@sizes
@pytest.mark.parametrize("num_classes", [0, 3])
def test_images_of_any_size_are_made_and_judged(size: tuple[int, int, int], num_classes: int) -> None:
    label = [torch.tensor([0, 1, 2])] if num_classes else []
    images = generator(size, num_classes=num_classes)(torch.randn(3, 5), *label)
    assert images.shape == (3, *size)
    assert images.abs().max() <= 1
    assert critic(size, num_classes=num_classes)(images, *label).shape == (3,)


@norms
@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_parameter_gets_a_gradient_with_every_norm(norm: MapNorm, num_classes: int) -> None:
    size, label = (3, 13, 18), [torch.tensor([0, 1, 2, 0])] if num_classes else []
    g, c = generator(size, norm=norm, num_classes=num_classes), critic(size, num_classes=num_classes)
    c(g(torch.randn(4, 5), *label), *label).square().sum().backward()
    for network in (g, c):
        assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]


@sizes
@pytest.mark.parametrize("base", [4, BASE, 8])
def test_the_image_is_halved_until_its_shorter_side_fits_the_base(size: tuple[int, int, int], base: int) -> None:
    count, shorter = halvings(spec(size), base), min(size[1:])
    assert -(-shorter // 2**count) <= base
    assert count == 1 or -(-shorter // 2 ** (count - 1)) > base


def test_the_ladder_has_the_widths_of_the_paper() -> None:
    assert ladder(64, 5, widest=16) == [64, 128, 256, 512, 1024]  # ImageNet, 128 pixels
    assert ladder(128, 2, widest=1) == [128, 128]  # CIFAR-10


def test_a_label_adds_the_inner_product_of_features_and_its_embedding() -> None:
    torch.manual_seed(0)
    c, x, label = critic((1, 8, 8), num_classes=3), torch.randn(3, 1, 8, 8), torch.arange(3)
    features = relu(c.blocks(x)).sum((2, 3))
    assert c.embed is not None
    torch.testing.assert_close(c(x, label) - c(x), (features * c.embed(label)).sum(1), atol=1e-5, rtol=1e-4)


def test_the_critic_is_twice_differentiable_at_odd_sizes() -> None:
    c, x = critic((1, 7, 9)), torch.randn(2, 1, 7, 9, requires_grad=True)
    (gradient,) = torch.autograd.grad(c(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert c.blocks[0].first.weight.grad is not None
    assert float(c.blocks[0].first.weight.grad.abs().sum()) > 0


def test_scores_keep_float32_under_autocast() -> None:
    c = critic((1, 8, 8), num_classes=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert c(torch.randn(2, 1, 8, 8), torch.tensor([0, 1])).dtype == torch.float32
