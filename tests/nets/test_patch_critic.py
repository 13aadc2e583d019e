"""Patch critics: what a score sees, by gradients; any size; penalties; several scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from organza.data.spec import ImageSpec
from organza.nets.patch_critic import MultiScaleCritic, PatchCritic, feature_distance, halved
from organza.nets.residual import MapNorm
from organza.nets.spectral import SpectralNorm, advance, spectrally_normed

SIZES = [(1, 1), (5, 5), (8, 8), (28, 28), (97, 131), (9, 40)]


def spec(channels: int, height: int, width: int) -> ImageSpec:
    return ImageSpec(channels=channels, height=height, width=width)


@pytest.mark.parametrize(("layers", "side"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_score_sees_a_square_of_the_size_that_the_paper_says(layers: int, side: int) -> None:
    torch.manual_seed(0)
    critic = PatchCritic(spec(1, 192, 192), layers=layers, width=2, widest=2, norm="none")
    assert critic.receptive_field == side
    x = torch.randn(1, 1, 192, 192, requires_grad=True)
    score, _ = critic(x)
    (gradient,) = torch.autograd.grad(score[0, score.shape[1] // 2, score.shape[2] // 2], x)
    rows, columns = (gradient[0, 0].abs().sum(axis).nonzero().flatten() for axis in (1, 0))
    assert (len(rows), int(rows[-1] - rows[0]) + 1) == (side, side)
    assert torch.equal(rows, columns)


def test_it_has_the_channels_of_the_paper() -> None:
    with torch.device("meta"):
        critic = PatchCritic(spec(3, 256, 256), source_channels=3, layers=3, width=64, norm="batch")
    assert [layer[0].in_channels for layer in critic.layers] == [6, 64, 128, 256]
    assert [len(layer) for layer in critic.layers] == [1, 2, 2, 2]
    assert critic.head.layer.in_channels == 512


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("layers", [0, 3])
def test_images_of_any_size_have_scores(size: tuple[int, int], norm: MapNorm, layers: int) -> None:
    if size == (1, 1) and norm == "instance":
        return  # one pixel has no variance
    critic = PatchCritic(spec(3, *size), source_channels=1, layers=layers, width=2, norm=norm)
    score, features = critic(torch.randn(2, 3, *size), torch.randn(2, 1, *size))
    expected = tuple(-(-side // 2**critic.halvings) for side in size)
    assert score.shape == (2, *expected)
    assert len(features) == len(critic.layers)


def test_a_digit_has_a_score_for_every_fourth_pixel() -> None:
    critic = PatchCritic(spec(1, 28, 28))
    assert critic(torch.randn(2, 1, 28, 28))[0].shape == (2, 7, 7)


def test_the_source_matters() -> None:
    critic, image = PatchCritic(spec(1, 16, 16), source_channels=1), torch.randn(1, 1, 16, 16)
    scores = [critic(image, source)[0] for source in torch.randn(2, 1, 1, 16, 16)]
    assert not torch.allclose(*scores)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_a_gradient_penalty_reaches_every_parameter(norm: MapNorm) -> None:
    torch.manual_seed(0)
    critic = MultiScaleCritic(spec(1, 15, 18), scales=2, width=2, norm=norm)
    x = torch.randn(3, 1, 15, 18, requires_grad=True)
    total = torch.stack([score.sum() for score, _ in critic(x)]).sum()
    (gradient,) = torch.autograd.grad(total, x, create_graph=True)
    gradient.square().sum().backward()
    weights = [p for name, p in critic.named_parameters() if name.endswith("weight")]
    assert all(p.grad is not None and float(p.grad.norm()) > 0 for p in weights)


def test_scales_see_smaller_copies_and_there_are_no_more_than_fit() -> None:
    critic = MultiScaleCritic(spec(3, 64, 40), scales=3, width=2)
    found = critic(torch.randn(2, 3, 64, 40))
    assert [tuple(score.shape[1:]) for score, _ in found] == [(16, 10), (8, 5), (4, 3)]
    assert len(MultiScaleCritic(spec(1, 8, 8), scales=3).critics) == 2
    x = torch.randn(2, 3, 64, 40)
    torch.testing.assert_close(critic.critics[1](halved(x))[0], critic(x)[1][0])


def test_flat_images_stay_flat_at_half_the_size() -> None:
    torch.testing.assert_close(halved(torch.full((1, 2, 7, 10), 0.3)), torch.full((1, 2, 4, 5), 0.3))


def test_the_feature_distance_of_a_shift_is_the_shift_times_the_layers() -> None:
    real = [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)]
    fake: list[Tensor] = [x + 0.5 for x in real]
    assert float(feature_distance(fake, real)) == pytest.approx(1.0)


def test_spectral_norm_goes_on_every_layer() -> None:
    critic = spectrally_normed(PatchCritic(spec(1, 28, 28), norm="none", width=4))
    normed = [part for part in critic.modules() if isinstance(part, SpectralNorm)]
    assert len(normed) == len(critic.layers) + 1
    advance(critic)
    assert critic(torch.randn(1, 1, 28, 28))[0].isfinite().all()


def test_under_bf16_scores_are_float32() -> None:
    critic = PatchCritic(spec(1, 28, 28)).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert critic(torch.randn(2, 1, 28, 28))[0].dtype == torch.float32
