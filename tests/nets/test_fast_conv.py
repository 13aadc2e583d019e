"""The fast forms are the plain layers: values, gradients and second derivatives in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv_transpose2d

from organza.nets.fast_conv import Doubling, FewChannels, doubled

FLOAT64 = torch.float64


def derivatives(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, gradients, and gradients of the gradients' squares."""
    x = x.clone().requires_grad_(True)
    y, wanted = network(x), [x, *network.parameters()]
    first = torch.autograd.grad(
        (y * torch.linspace(-1, 1, y.numel(), dtype=FLOAT64).view_as(y)).tanh().sum(), wanted, create_graph=True
    )
    second = torch.autograd.grad(torch.stack([part.square().sum() for part in first]).sum(), wanted)
    return [y, *first, *second]


@pytest.mark.parametrize(("channels", "out", "kernel"), [(16, 1, 7), (16, 3, 3), (2, 4, 5)])
def test_few_channels_equals_the_plain_convolution(channels: int, out: int, kernel: int) -> None:
    fast = FewChannels(channels, out, kernel).to(FLOAT64)
    plain = nn.Conv2d(channels, out, kernel, padding=kernel // 2, dtype=FLOAT64)
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(2, channels, 8, 9, dtype=FLOAT64)
    for found, expected in zip(derivatives(fast, x), derivatives(plain, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (4, 9), (1, 3)])
def test_doubling_equals_the_plain_transposed_convolution(size: tuple[int, int]) -> None:
    fast = Doubling(64, 64).to(FLOAT64)
    plain = nn.ConvTranspose2d(64, 64, 5, stride=2, padding=2, output_padding=1, dtype=FLOAT64)
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(2, 64, *size, dtype=FLOAT64)
    for found, expected in zip(derivatives(fast, x), derivatives(plain, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("tile", [2, 4, 5])
def test_every_tile_size_gives_the_same_sums_and_derivatives(tile: int) -> None:
    x = torch.randn(2, 2, 4, 5, dtype=FLOAT64, requires_grad=True)
    weight = torch.randn(2, 3, 5, 5, dtype=FLOAT64, requires_grad=True)
    expected = conv_transpose2d(x, weight, stride=2, padding=2, output_padding=1)
    torch.testing.assert_close(doubled(x, weight, tile=tile), expected)
    assert gradcheck(lambda x, weight: doubled(x, weight, tile=tile), (x, weight))
    small = (x.detach()[:1, :1, :2, :2].requires_grad_(True), weight.detach()[:1, :1].requires_grad_(True))
    assert gradgradcheck(lambda x, weight: doubled(x, weight, tile=tile), small)


def test_float32_rounding_stays_small() -> None:
    torch.manual_seed(0)
    layer, x = Doubling(128, 128), torch.randn(4, 128, 14, 14)
    plain = nn.ConvTranspose2d(128, 128, 5, stride=2, padding=2, output_padding=1, dtype=FLOAT64)
    plain.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    with torch.no_grad():
        exact = plain(x.double())
        assert float((layer(x).double() - exact).abs().max() / exact.std()) < 2e-4


def test_inference_mode_does_not_spoil_what_is_cached_for_training() -> None:
    layer = Doubling(64, 64)
    with torch.inference_mode():
        layer(torch.randn(1, 64, 6, 6))
    layer(torch.randn(1, 64, 6, 6)).sum().backward()
    assert layer.weight.grad is not None


def test_autocast_gets_the_plain_layers() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Doubling(64, 64)(torch.randn(1, 64, 4, 4)).dtype == torch.bfloat16
        assert FewChannels(4, 1, 3)(torch.randn(1, 4, 4, 4)).dtype == torch.bfloat16
