"""The residual translator: any size and channels, the paper's layers, clean edges, features of the encoder."""

from __future__ import annotations

import pytest
import torch

from organza.nets.resample import SMOOTH, Downsample, Upsample
from organza.nets.residual import MapNorm
from organza.nets.translator import Doubled, Halved, ResidualTranslator

SIZES = [(5, 5), (8, 8), (28, 28), (97, 131), (6, 40)]
ways = pytest.mark.parametrize("is_antialiased", [False, True], ids=["strides", "filters"])
kinds = pytest.mark.parametrize("is_change", [False, True], ids=["image", "change"])


def translator(*, norm: MapNorm = "instance", **options: int) -> ResidualTranslator:
    torch.manual_seed(0)
    return ResidualTranslator(1, 3, width=2, norm=norm, **{"blocks": 2, **options})


@kinds
@ways
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_of_any_size_are_translated(size: tuple[int, int], is_antialiased: bool, is_change: bool) -> None:
    net = translator(is_antialiased=is_antialiased, is_change=is_change)
    y = net(torch.randn(2, 1, *size).clamp(-1, 1))
    assert y.shape == (2, 3, *size)
    assert float(y.detach().abs().max()) <= 1


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ((0.5, 0.2, -0.4), (0.5, 0.2, -0.4)),
        ((0.5,), (0.5, 0.5, 0.5)),
        ((0.5, 0.2, -0.4), (0.1,)),
        ((0.5, 0.2, -0.4, -1.0), (0.1,)),
        ((0.5, 0.2, -0.4, -1.0), (0.5, 0.2, -0.4)),
        ((0.5, 0.2, -0.4), (0.5, 0.2, -0.4, 1.0)),
        ((0.5,), (0.5, 0.5, 0.5, 1.0)),
        ((0.5, -0.3), (0.5, 0.5, 0.5, -0.3)),
    ],
    ids=str,
)
def test_a_change_begins_with_none_and_may_go_all_the_way(image: tuple[float, ...], wanted: tuple[float, ...]) -> None:
    net = ResidualTranslator(len(image), len(wanted), width=2, blocks=1, is_change=True)
    net.begin_still()
    x, y = (torch.tensor(color).view(1, -1, 1, 1).expand(-1, -1, 10, 7) for color in (image, wanted))
    torch.testing.assert_close(net(x), y)
    for sign in (1.0, -1.0):
        torch.nn.init.constant_(net.last.get_submodule("1.layer").get_parameter("bias"), sign * 20)
        torch.testing.assert_close(net(x), torch.full_like(y, sign))


def test_it_has_the_channels_and_the_number_of_weights_of_the_paper() -> None:
    with torch.device("meta"):
        net = ResidualTranslator(3, 3, width=64, blocks=9)
    assert net.channels == [3, 64, 128, 256, *[256] * 9]
    kernels = sum(p.numel() for p in net.parameters() if p.ndim == 4)
    ends, sizes = 2 * 7 * 7 * 3 * 64, 2 * 9 * (64 * 128 + 128 * 256)
    assert kernels == ends + sizes + 9 * 2 * 9 * 256**2


@ways
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_flat_images_become_flat_images_up_to_the_edge(norm: MapNorm, is_antialiased: bool) -> None:
    net = translator(norm=norm, is_antialiased=is_antialiased).eval()
    y = net(torch.full((1, 1, 16, 20), 0.4))
    if is_antialiased:
        torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))
    else:  # transposed convolutions leave a grid, and zeros beyond the last row
        assert y.shape == (1, 3, 16, 20)


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 3)], ids=str)
def test_resampling_with_edges_is_that_without_in_the_middle_and_flat_at_the_edge(size: tuple[int, int]) -> None:
    flat = torch.ones(1, 2, *size)
    down, up = Halved(), Doubled()
    torch.testing.assert_close(down(flat), torch.ones(1, 2, *(-(-side // 2) for side in size)))
    torch.testing.assert_close(up(flat), torch.ones(1, 2, *(2 * side for side in size)))
    for side in (12, 13):
        x = torch.randn(1, 2, side, side)
        torch.testing.assert_close(down(x)[..., 1:-1, 1:-1], Downsample((1.0, 2.0, 1.0))(x)[..., 1:-1, 1:-1])
        torch.testing.assert_close(up(x)[..., 2:-2, 2:-2], Upsample(SMOOTH)(x)[..., 2:-2, 2:-2])


@ways
def test_features_are_those_on_the_way_to_the_output(is_antialiased: bool) -> None:
    net, x = translator(blocks=3, is_antialiased=is_antialiased), torch.randn(2, 1, 18, 13)
    image, down, last = net.features(x, [0, 3, 6])
    assert [tuple(maps.shape) for maps in (image, down, last)] == [(2, 1, 18, 13), (2, 8, 5, 4), (2, 8, 5, 4)]
    assert net.channels == [1, 2, 4, 8, 8, 8, 8]
    assert image is x
    torch.testing.assert_close(net.last(net.ups(last)[..., :18, :13]), net(x))
    torch.testing.assert_close(net.stages[3](down), net.features(x, [4])[0])


def test_under_bf16_the_image_is_float32() -> None:
    net, x = translator().to(memory_format=torch.channels_last), torch.randn(2, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, net(x), atol=0.15, rtol=0.1)
