"""Inpainting generators: any size, unread holes, gates, and Fourier units against a written-out transform."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from organza.nets.inpainting import FourierInpainter, FourierUnit, GatedConv2d, GatedInpainter, begun, smooth_fill
from organza.nets.residual import MapNorm

SIZES = [(8, 8), (28, 28), (37, 51), (97, 131), (9, 40)]
NETS: dict[str, Callable[..., GatedInpainter | FourierInpainter]] = {
    "gated": lambda channels, **more: GatedInpainter(channels, width=2, **more),
    "fourier": lambda channels, **more: FourierInpainter(channels, width=4, blocks=1, norm="instance", **more),
}
nets = pytest.mark.parametrize("name", NETS)


def holes(n: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(n, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 3 :] = 1
    return mask


@nets
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_of_any_size_are_filled(name: str, size: tuple[int, int]) -> None:
    attempts = NETS[name](3)(torch.randn(2, 3, *size), holes(2, *size))
    assert len(attempts) == (2 if name == "gated" else 1)
    assert all(attempt.shape == (2, 3, *size) for attempt in attempts)


@nets
def test_what_was_in_the_holes_is_not_read(name: str) -> None:
    torch.manual_seed(0)
    net, x, mask = NETS[name](1), torch.randn(2, 1, 20, 24), holes(2, 20, 24)
    other = torch.where(mask > 0, torch.randn_like(x), x)
    torch.testing.assert_close(net(x, mask), net(other, mask))
    assert float((net(x, mask)[-1] - net(x, 0 * mask)[-1]).detach().abs().max()) > 1e-3


def test_the_coarse_attempt_reaches_the_fine_one_through_the_holes_only() -> None:
    net, x, mask = GatedInpainter(1, width=2), torch.randn(1, 1, 16, 16), holes(1, 16, 16)
    _, fine = net(x, mask)
    (gradient,) = torch.autograd.grad(fine.sum(), net.coarse[-1].layer.bias)
    assert float(gradient.abs().sum()) > 0
    _, fine = net(x, 0 * mask)
    (gradient,) = torch.autograd.grad(fine.sum(), net.coarse[-1].layer.bias)
    assert float(gradient.abs().sum()) == 0


def test_a_closed_gate_lets_nothing_through_and_an_open_one_all() -> None:
    layer, x = GatedConv2d(2, 3), torch.randn(1, 2, 6, 6)
    assert layer.conv.bias is not None
    nn.init.zeros_(layer.conv.weight[3:])
    nn.init.constant_(layer.conv.bias[3:], 40.0)
    expected = 2 * torch.nn.functional.elu(layer.conv(x)[:, :3])
    torch.testing.assert_close(layer(x), expected)
    nn.init.constant_(layer.conv.bias[3:], -40.0)
    assert float(layer(x).detach().abs().max()) < 1e-12


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (6, 5)], ids=str)
def test_the_fourier_unit_is_that_of_the_definition(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    unit, x = FourierUnit(2, norm="none"), torch.randn(1, 2, *size)
    conv = unit.layers[0]
    weight, bias = conv.weight.detach().double().numpy()[:, :, 0, 0], conv.bias.detach().double().numpy()
    rows, columns = (np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) / np.sqrt(n) for n in size)
    waves = (rows @ x[0].double().numpy() @ columns)[:, :, : size[1] // 2 + 1]
    parts = np.concatenate([waves.real, waves.imag])
    parts = np.maximum(np.einsum("oi,ihw->ohw", weight, parts) + bias[:, None, None], 0)
    half = parts[:2] + 1j * parts[2:]
    expected = np.fft.irfft2(half, s=size, norm="ortho")
    torch.testing.assert_close(unit(x)[0], torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_one_fourier_block_sees_the_whole_image(norm: MapNorm) -> None:
    torch.manual_seed(0)
    net = FourierInpainter(1, width=4, blocks=1, norm=norm).eval()
    x = torch.randn(1, 1, 48, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x, torch.zeros(1, 1, 48, 48))[0][0, 0, 0, 0], x)
    assert float((gradient != 0).float().mean()) > 0.9


def test_the_signal_neither_dies_nor_explodes_on_its_way_through_the_gates() -> None:
    torch.manual_seed(0)
    net = GatedInpainter(3, width=16)
    sizes = [float(layer.detach().std()) for layer in walk(net.coarse[:15], torch.randn(2, 4, 32, 32))]
    assert min(sizes) > 0.1
    assert max(sizes) < 10


def walk(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    for layer in layers:
        x = layer(x)
        found.append(x)
    return found


def test_three_quarters_of_the_channels_are_global() -> None:
    with torch.device("meta"):
        net = FourierInpainter(3, width=64, downs=3, blocks=9)
    conv = net.blocks[0].layers[0]
    assert (conv.local, conv.from_local.out_channels, conv.to_local.in_channels) == (128, 512, 384)
    assert conv.spectral.unit.layers[0].in_channels == 384
    assert [down[0].out_channels for down in net.downs] == [128, 256, 512]


@nets
def test_under_bf16_images_are_float32(name: str) -> None:
    net, x, mask = NETS[name](3).to(memory_format=torch.channels_last), torch.randn(2, 3, 16, 16), holes(2, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x, mask)[-1]
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, net(x, mask)[-1], atol=0.1, rtol=0.1)


@pytest.mark.parametrize("size", [(8, 8), (13, 22), (1, 5), (97, 131)], ids=str)
def test_a_smooth_filling_keeps_what_is_known_and_a_constant_image(size: tuple[int, int]) -> None:
    x, known = torch.randn(3, 2, *size), (torch.rand(3, 1, *size) < 0.5).float()
    known[..., 0, 0] = 1
    filled = smooth_fill(x * known, known)
    torch.testing.assert_close(filled * known, x * known)
    assert float(filled.abs().max()) <= float((x * known).abs().max()) + 1e-6  # means lie between
    torch.testing.assert_close(smooth_fill(0.3 * known, known), torch.full((3, 1, *size), 0.3))
    assert float(smooth_fill(0 * x, 0 * known).abs().max()) == 0  # nothing is known at all


def test_a_smooth_filling_goes_from_one_side_of_a_hole_to_the_other() -> None:
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    known = torch.ones(1, 1, 64, 64)
    known[..., 16:48, 24:40] = 0
    filled = smooth_fill(ramp * known, known)
    assert float((filled - ramp).abs().max()) < 0.25
    assert bool((filled[0, 0, 32, 26:38].diff() >= -1e-6).all())


@nets
def test_a_network_whose_end_is_0_fills_smoothly_or_not_at_all(name: str) -> None:
    x, mask = torch.randn(1, 2, 16, 20), holes(1, 16, 20)
    for base in ("none", "smooth"):
        net = NETS[name](2, base=base)
        for parameter in (one for end in net.ends for one in end.parameters()):
            nn.init.zeros_(parameter)
        wanted = begun(x, mask, base)  # type: ignore[arg-type]
        assert all(torch.equal(attempt, wanted) for attempt in net.eval()(x, mask))
    assert float((wanted * mask).abs().sum()) > 0
