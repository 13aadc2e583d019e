"""The parts of the style-based networks against the equations of their papers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, instance_norm

from organza.data.spec import ImageSpec
from organza.nets.patches import Patches, in_patches
from organza.nets.style import (
    ModulatedConv2d,
    MovingAverage,
    Style,
    StyledConv,
    StyleGenerator,
    normalised,
)
from organza.nets.style_critic import StyleCritic

SIZES = [(1, 28, 28), (3, 33, 47), (4, 21, 37), (2, 8, 8), (1, 5, 64), (1, 1, 1)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, size)) for size in SIZES])
styles = pytest.mark.parametrize("style", ["modulate", "adain"])
patches = pytest.mark.parametrize("patch", [1, 2])


def spec(size: tuple[int, int, int]) -> ImageSpec:
    return ImageSpec(channels=size[0], height=size[1], width=size[2])


def generator(size: tuple[int, int, int] = (1, 16, 16), *, num_classes: int = 0, **options: object) -> StyleGenerator:
    torch.manual_seed(0)
    made = StyleGenerator(
        spec(size),
        latent=5,
        w_size=6,
        width=3,
        widest=8,
        num_classes=num_classes,
        **options,  # type: ignore[arg-type]
    )
    for layer in made.layers:
        if isinstance(layer, StyledConv) and layer.strength is not None:
            torch.nn.init.ones_(layer.strength)
    return made


def per_sample(layer: ModulatedConv2d, x: Tensor, w: Tensor) -> Tensor:
    """The convolution as the paper writes it: a weight per sample, scaled and normalised; one grouped convolution."""
    style, n = layer.affine(w), len(x)
    weight = style[:, None, :, None, None] * (layer.weight * layer.scale)[None]  # (N, outputs, inputs, k, k)
    if layer.demodulates:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    grouped, half = x.reshape(1, -1, *x.shape[2:]), layer.weight.shape[2] // 2
    if layer.blur is None:
        y = conv2d(grouped, weight.flatten(0, 1), padding=half, groups=n)
    else:
        y = conv_transpose2d(grouped, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
        y = layer.blur(y)
    return y.view(n, -1, *y.shape[2:])


@pytest.mark.parametrize("up", [False, True], ids=["same size", "up"])
@pytest.mark.parametrize("demodulates", [False, True], ids=["plain", "demodulated"])
def test_modulated_convolution_equals_one_with_a_weight_per_sample(up: bool, demodulates: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 6, 3, w_size=5, up=up, demodulates=demodulates).double()
    x, w = torch.randn(3, 4, 5, 7, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    found, expected = layer(x, w), per_sample(layer, x, w)
    assert found.shape == (3, 6, 10, 14) if up else (3, 6, 5, 7)
    assert torch.allclose(found, expected, rtol=1e-9)
    ours = torch.autograd.grad(found.square().sum(), list(layer.parameters()))
    theirs = torch.autograd.grad(expected.square().sum(), list(layer.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-8) for a, b in zip(ours, theirs, strict=True))


def test_demodulation_gives_unit_variance_whatever_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 16, 3, w_size=4)
    y = layer(torch.randn(8, 64, 32, 32), 20 * torch.randn(8, 4))
    assert torch.allclose(y[:, :, 1:-1, 1:-1].var((2, 3)), torch.ones(8, 16), atol=0.25)


def test_adaptive_normalisation_is_instance_norm() -> None:
    x = 3 + 2 * torch.randn(4, 5, 8, 8)
    assert torch.allclose(normalised(x), instance_norm(x, eps=1e-8), atol=1e-5)


@sizes
@styles
@patches
def test_images_of_any_size_are_made_and_judged(size: tuple[int, int, int], style: Style, patch: int) -> None:
    g = generator(size, num_classes=3, style=style, patch=patch)
    c = StyleCritic(spec(size), width=3, widest=8, num_classes=3, patch=patch)
    label = torch.tensor([0, 2])
    images = g(torch.randn(2, 5), label, torch.tensor([1, 2]))
    assert images.shape == (2, *size)
    assert c(images, label).shape == (2,)


@styles
def test_mapping_and_synthesis_are_the_generator(style: Style) -> None:
    g = generator(style=style, num_classes=3).eval()
    z, label = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    w = g.mapping(z, label)
    assert w.shape == (4, g.num_ws, 6)
    assert torch.equal(g.synthesis(w), g(z, label))


@styles
def test_every_row_of_w_matters_and_rows_before_the_crossover_keep_their_style(style: Style) -> None:
    g = generator(style=style).eval()
    z, other = torch.randn(2, 5), torch.randn(2, 5)
    w, v = g.mapping(z), g.mapping(other)
    whole = g.synthesis(w)
    for row in range(g.num_ws):
        changed = w.clone()
        changed[:, row] = v[:, row]
        assert not torch.allclose(g.synthesis(changed), whole), row
    mixed = g(z, None, None, other, torch.tensor([2, g.num_ws]))
    assert torch.allclose(mixed[:1], g.synthesis(torch.cat([w[:1, :2], v[:1, 2:]], dim=1)), atol=1e-4)
    assert torch.allclose(mixed[1], whole[1], atol=1e-4)


@styles
def test_an_image_depends_on_its_own_seed_and_without_one_on_none(style: Style) -> None:
    g = generator(style=style).eval()
    w = g.mapping(torch.randn(1, 5)).expand(3, -1, -1)
    images = g.synthesis(w, torch.tensor([5, 6, 5]))
    assert torch.allclose(images[0], images[2], atol=1e-4)
    assert not torch.allclose(images[0], images[1], atol=1e-2)
    fixed = g.synthesis(w)
    assert torch.allclose(fixed[0], fixed[1], atol=1e-4)


def test_the_mean_of_w_follows_the_mapping_and_truncation_leads_there() -> None:
    g = generator(w_decay=0.9)
    z = torch.randn(64, 5)
    for _ in range(100):
        w = g.mapping(z)
    assert torch.allclose(g.w_mean, w[:, 0].mean(0, keepdim=True), atol=1e-3)
    g.eval()
    assert torch.allclose(g.truncate(w, 1.0), w, atol=1e-5)
    assert torch.allclose(g.truncate(w, 0.0), g.w_mean.expand_as(w))
    assert torch.allclose(g.truncate(w, 0.5) - g.w_mean, 0.5 * (w - g.w_mean), atol=1e-4)


def test_each_class_has_its_own_mean_and_one_that_is_not_seen_keeps_it() -> None:
    g = generator(num_classes=3, w_decay=0.9)
    z, label = torch.randn(64, 5), torch.arange(64) % 2
    for _ in range(100):
        w = g.mapping(z, label)
    for index in (0, 1):
        assert torch.allclose(g.w_mean[index], w[label == index, 0].mean(0), atol=1e-3)
    assert not g.w_mean[2].any()
    assert torch.allclose(g.truncate(w, 0.0, label), g.w_mean[label][:, None].expand_as(w))


def test_the_critic_compares_samples_within_a_set_only() -> None:
    torch.manual_seed(0)
    c = StyleCritic(spec((1, 16, 16)), width=4, widest=8, minibatch_std=4)
    real, fake = torch.randn(4, 1, 16, 16), torch.randn(4, 1, 16, 16)
    assert torch.allclose(c(torch.cat([real, fake]), None, 2), torch.cat([c(real), c(fake)]), atol=1e-5)


def test_the_critic_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    c = StyleCritic(spec((1, 7, 5)), width=2, widest=3, minibatch_std=2).double()
    c.head = c.head.layer  # which is in float32 else
    x = torch.randn(2, 1, 7, 5, dtype=torch.float64, requires_grad=True)

    def gradient(weight: Tensor) -> Tensor:
        score = torch.func.functional_call(c, {"blocks.0.weight": weight}, (x,)).sum()
        return torch.autograd.grad(score, x, create_graph=True)[0]

    assert torch.autograd.gradcheck(gradient, c.get_parameter("blocks.0.weight"))


@pytest.mark.parametrize("size", [(1, 28, 28), (3, 7, 10)])
def test_patches_keep_every_pixel(size: tuple[int, int, int]) -> None:
    x = torch.randn(2, *size)
    y = Patches(2)(x)
    assert y.shape[1:] == in_patches(spec(size), 2).shape
    assert torch.equal(torch.pixel_shuffle(y, 2)[:, :, : size[1], : size[2]], x)


@styles
def test_the_generator_can_be_exported(style: Style) -> None:
    g = generator(num_classes=3, style=style).eval()
    z, label = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    exported = torch.export.export(g, (z, label)).module()
    assert torch.allclose(exported(z, label), g(z, label), atol=1e-4)


def test_a_moving_average_moves_by_its_share() -> None:
    mean = MovingAverage(0.25)
    mean.update(torch.tensor(8.0))
    mean.update(torch.tensor(8.0))
    assert float(mean.value) == pytest.approx(2 + 1.5)
