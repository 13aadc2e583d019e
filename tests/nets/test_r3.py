"""The residual networks of R3GAN: magnitudes, identities at the start, sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from organza.data.spec import ImageSpec
from organza.nets.r3 import GAIN, Act, Block, Plan, R3Critic, R3Generator, Unit, renormalise

PLAN = Plan(
    data=ImageSpec(classes=("a", "b"), channels=3, height=28, width=28), width=8, widest=16, blocks=2, expansion=2.0,
    block_gain=0.0, group=4, base=7, patch=2, overlap=False, kind="fixup", resize="smooth", ends="basis",
    output="linear",
)  # fmt: skip
KINDS = pytest.mark.parametrize("kind", ["fixup", "magnitude"])


@pytest.mark.parametrize(("kernel", "groups"), [(0, 1), (1, 1), (3, 1), (3, 4)])
def test_a_unit_layer_keeps_the_mean_square_of_noise(kernel: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = Unit(64, 64, kernel, groups=groups)
    x = torch.randn(64, 64, 16, 16) if kernel else torch.randn(4096, 64)
    y = layer(x)
    inner = y[..., 1:-1, 1:-1] if kernel else y
    assert inner.square().mean().item() == pytest.approx(1.0, rel=0.03)


def test_the_gain_of_leaky_relu_keeps_the_mean_square_of_noise() -> None:
    torch.manual_seed(0)
    y = Act("magnitude", 8)(torch.randn(256, 8, 16, 16))
    assert y.square().mean().item() == pytest.approx(1.0, rel=0.02)
    assert pytest.approx((2 / 1.04) ** 0.5) == GAIN


def test_renormalising_sets_each_outputs_weights_to_unit_length_and_changes_no_output() -> None:
    torch.manual_seed(0)
    layer = Unit(6, 5, 3)
    x = torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        layer.weight.mul_(torch.rand(5, 1, 1, 1) + 0.5)
    before = layer(x)
    renormalise(nn.Sequential(layer))
    torch.testing.assert_close(layer.weight.flatten(1).norm(dim=1), torch.ones(5))
    torch.testing.assert_close(layer(x), before)


@KINDS
def test_a_block_of_no_share_is_the_identity(kind: str) -> None:
    block = Block(kind, 8, expansion=2.0, group=4, depth=4, share=0.0)  # pyright: ignore[reportArgumentType]
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(block(x), x)


def test_a_block_with_a_share_keeps_the_mean_square_where_magnitudes_are_kept() -> None:
    torch.manual_seed(0)
    block = Block("magnitude", 64, expansion=1.0, group=0, depth=1, share=0.5)
    y = block(torch.randn(64, 64, 12, 12))
    assert y.square().mean().item() == pytest.approx(1.0, rel=0.1)  # the border sees fewer taps


@KINDS
@pytest.mark.parametrize("ends", ["basis", "dense"])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (13, 31), (64, 16)])
def test_networks_make_and_judge_images_of_any_size(kind: str, ends: str, height: int, width: int) -> None:
    data = replace(PLAN.data, height=height, width=width)
    plan = replace(PLAN, data=data, kind=kind, ends=ends)  # pyright: ignore[reportArgumentType]
    generator, critic = R3Generator(plan, latent=5, num_classes=2), R3Critic(plan, num_classes=2)
    label = torch.tensor([0, 1, 0])
    image = generator(torch.randn(3, 5), label)
    assert image.shape == (3, 3, height, width)
    assert critic(image, label).shape == (3,)


@pytest.mark.parametrize("patch", [1, 2, 3, 4])
def test_places_that_overlap_keep_the_size_and_the_mean_square(patch: int) -> None:
    torch.manual_seed(0)
    plan = replace(PLAN, patch=patch, overlap=True, data=replace(PLAN.data, height=24, width=48))
    image = torch.randn(64, 3, 24, 48)
    maps = plan.to_places(64)(image)
    assert maps.shape == (64, 64, 24 // patch, 48 // patch)
    back = plan.to_pixels(64)(torch.randn(64, 64, 24 // patch, 48 // patch))
    assert back.shape == image.shape
    for y in (maps, back):
        assert y[..., 2:-2, 2:-2].square().mean().item() == pytest.approx(1.0, rel=0.15)


def test_a_place_that_overlaps_sees_pixels_of_its_neighbours() -> None:
    for overlap, pixels in ((False, 2), (True, 4)):
        plan = replace(PLAN, overlap=overlap, data=replace(PLAN.data, height=16, width=16))
        image = torch.zeros(1, 3, 16, 16, requires_grad=True)
        plan.to_places(4)(image)[0, 0, 4, 4].backward()
        assert image.grad is not None
        assert (image.grad[0, 0] != 0).sum().item() == pixels**2


@pytest.mark.parametrize(("ends", "is_free"), [("basis", False), ("dense", True)])
def test_dense_ends_let_latents_move_places_by_themselves(ends: str, is_free: bool) -> None:
    """With a basis all latents scale one picture per channel; dense, each has pictures of its own."""
    torch.manual_seed(0)
    plan = replace(PLAN, ends=ends, data=replace(PLAN.data, classes=()))  # pyright: ignore[reportArgumentType]
    generator = R3Generator(plan, latent=5, num_classes=0)
    seen: list[torch.Tensor] = []
    generator.body.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    generator(torch.eye(5))
    assert (torch.linalg.matrix_rank(seen[0][:, 0].flatten(1)) > 1) == is_free


def test_tanh_bounds_the_pixels_and_large_maps_do_not_saturate_it() -> None:
    plan = replace(PLAN, output="tanh", overlap=True)
    torch.manual_seed(0)
    generator = R3Generator(plan, latent=5, num_classes=2)
    with torch.no_grad():
        generator.start.weight.mul_(1000)  # pyright: ignore[reportArgumentType, reportCallIssue]
        image = generator(torch.randn(8, 5), torch.zeros(8, dtype=torch.long))
        assert (image.abs() < 0.99).float().mean() > 0.9
        generator.last.weight.mul_(100)  # pyright: ignore[reportArgumentType, reportCallIssue]
        image = generator(torch.randn(8, 5), torch.zeros(8, dtype=torch.long))
    assert image.abs().max() <= 1


def test_channels_double_towards_smaller_maps_up_to_a_limit() -> None:
    data = replace(PLAN.data, height=64, width=64)
    assert replace(PLAN, data=data, base=4, patch=1).channels == [16, 16, 16, 16, 8]
