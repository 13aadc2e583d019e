"""Equalised layers, pixel norm and batch deviation against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from organza.nets.equalised import HE, EqualisedConv2d, EqualisedLinear, MinibatchStd, PixelNorm, largest_divisor


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize("gain", [1.0, HE])
def test_a_linear_layer_is_its_stored_weight_times_gain_over_root_of_the_fan_in(
    gain: float, lr_multiplier: float
) -> None:
    layer = EqualisedLinear(9, 4, gain=gain, lr_multiplier=lr_multiplier, bias_init=1.0)
    x = torch.randn(5, 9)
    expected = x @ layer.weight.T * lr_multiplier * gain / 3 + 1
    torch.testing.assert_close(layer(x), expected)


def test_a_convolution_divides_by_the_root_of_inputs_times_kernel_area() -> None:
    layer = EqualisedConv2d(4, 6, 3, gain=1.0, lr_multiplier=0.5, bias_init=2.0)
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(layer(x), conv2d(x, layer.weight * 0.5 / 6, padding=1) + 2)
    assert EqualisedConv2d(4, 6, 3, stride=2)(x).shape == (2, 6, 3, 4)
    assert EqualisedConv2d(4, 6, 3, padding=0, has_bias=False)(x).shape == (2, 6, 3, 5)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_the_variance_passes_through_a_wide_layer(lr_multiplier: float) -> None:
    torch.manual_seed(0)
    linear = EqualisedLinear(2000, 2000, gain=1.0, lr_multiplier=lr_multiplier)
    assert float(linear(torch.randn(50, 2000)).detach().std()) == pytest.approx(1, rel=0.05)
    conv = EqualisedConv2d(100, 100, 3, gain=1.0, lr_multiplier=lr_multiplier, padding=0)
    assert float(conv(torch.randn(4, 100, 8, 8)).detach().std()) == pytest.approx(1, rel=0.05)


def test_a_multiplier_scales_how_far_one_step_of_adam_moves_the_function() -> None:
    def moved(multiplier: float) -> torch.Tensor:
        torch.manual_seed(0)
        layer = EqualisedLinear(3, 2, lr_multiplier=multiplier)
        adam = torch.optim.Adam(layer.parameters(), 1e-3, eps=1e-20)
        before = layer(torch.ones(1, 3)).detach()
        layer(torch.ones(1, 3)).sum().backward()
        adam.step()
        return layer(torch.ones(1, 3)).detach() - before

    torch.testing.assert_close(moved(0.1), 0.1 * moved(1.0), rtol=1e-3, atol=1e-7)
    # Every weight and bias moves by 1e-3: three weights of scale HE / sqrt(3), and the bias.
    torch.testing.assert_close(moved(1.0), torch.full((1, 2), -1e-3 * (math.sqrt(3) * HE + 1)), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 8), (3, 8, 4, 5)])
def test_pixel_norm_leaves_directions_and_a_mean_square_of_one(shape: tuple[int, ...]) -> None:
    x = 7 * torch.randn(shape)
    y = PixelNorm()(x)
    torch.testing.assert_close(y.square().mean(1), torch.ones_like(y[:, 0]))
    torch.testing.assert_close(y * x.square().mean(1, keepdim=True).sqrt(), x)
    assert torch.equal(PixelNorm()(torch.zeros(shape)), torch.zeros(shape))


def test_equal_samples_have_no_deviation_and_opposite_ones_their_size() -> None:
    x = torch.full((4, 6, 2, 3), 5.0)
    assert float(MinibatchStd()(x)[:, 6:].abs().max()) < 1e-3
    x[::2] *= -1  # +-5: deviation 5 at each pixel
    y = MinibatchStd()(x)
    assert torch.equal(y[:, :6], x)
    torch.testing.assert_close(y[:, 6:], torch.full((4, 1, 2, 3), 5.0), rtol=0, atol=1e-3)


def test_several_maps_tell_blocks_of_channels_apart() -> None:
    x = torch.zeros(2, 4, 3, 3)
    x[0, 2:] = 2.0  # only the second half of the channels differs: deviation 1
    maps = MinibatchStd(2, 2)(x)[:, 4:]
    torch.testing.assert_close(maps[:, 0], torch.zeros(2, 3, 3), rtol=0, atol=1e-3)
    torch.testing.assert_close(maps[:, 1], torch.ones(2, 3, 3), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("size", "group"), [(8, 4), (6, 3), (5, 1), (2, 2), (1, 1), (9, 3)])
def test_groups_are_neighbours_and_never_cross(size: int, group: int) -> None:
    assert largest_divisor(size, 4) == group
    layer, x = MinibatchStd(4), torch.randn(size, 3, 2, 2)
    whole = layer(x)
    parts = torch.cat([MinibatchStd(group)(part) for part in x.split(group)])
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize("size", [3, 4, 5, 6, 8])
def test_real_and_fake_in_one_batch_are_judged_as_apart(size: int) -> None:
    layer, real, fake = MinibatchStd(4), torch.randn(size, 3, 2, 2), torch.zeros(size, 3, 2, 2)
    torch.testing.assert_close(layer(torch.cat([real, fake]), 2), torch.cat([layer(real), layer(fake)]))


@pytest.mark.parametrize("layer", [PixelNorm(), MinibatchStd(2, 3)], ids=lambda layer: type(layer).__name__)
def test_first_and_second_derivatives_are_right(layer: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_maps_keep_the_type_of_autocast() -> None:
    x = torch.randn(4, 3, 2, 2, dtype=torch.bfloat16)
    assert MinibatchStd()(x).dtype == PixelNorm()(x).dtype == torch.bfloat16
