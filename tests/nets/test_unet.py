"""The U-Net: any size, any channels, the paper's layers, and dropout that depends on the seed alone."""

from __future__ import annotations

import pytest
import torch

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.residual import MapNorm
from organza.nets.unet import UNet

SIZES = [(8, 8), (28, 28), (97, 131), (5, 64), (64, 48), (1, 7)]


def spec(channels: int, height: int, width: int) -> ImageSpec:
    return ImageSpec(channels=channels, height=height, width=width)


def unet(height: int = 16, width: int = 16, *, norm: MapNorm = "instance", **options: object) -> UNet:
    torch.manual_seed(0)
    source, target = spec(1, height, width), spec(3, height, width)
    return UNet(source, target, width=4, widest=2, norm=norm, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_images_of_any_size_and_depth_are_translated(size: tuple[int, int], norm: MapNorm) -> None:
    y = unet(*size, norm=norm)(torch.randn(2, 1, *size), torch.tensor([1, 2]))
    assert y.shape == (2, 3, *size)
    assert float(y.detach().abs().max()) <= 1


def test_at_256_pixels_it_has_the_channels_of_the_paper() -> None:
    with torch.device("meta"):
        net = UNet(spec(3, 256, 256), spec(3, 256, 256), width=64, widest=8)
    assert [down[0].out_channels for down in net.downs] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [up[0].in_channels for up in net.ups] == [512, 1024, 1024, 1024, 1024, 512, 256]
    assert [dropout.rate for dropout in net.dropouts] == [0.5, 0.5, 0.5, 0, 0, 0, 0]
    assert net.last.layer.in_channels == 128


def test_dropout_is_that_of_the_seed_however_the_batch_is_split() -> None:
    net, x, seeds = unet(28, 20), torch.randn(6, 1, 28, 20), torch.arange(6)
    whole, parts = net(x, seeds), [net(x[i : i + 2], seeds[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(whole, torch.cat(parts))
    torch.testing.assert_close(net(x, seeds), whole)
    assert float((net(x, seeds + 1) - whole).detach().abs().amax((1, 2, 3)).min()) > 1e-3


def test_without_seeds_or_with_a_rate_of_0_nothing_is_dropped() -> None:
    x, seeds = torch.randn(2, 1, 16, 16), torch.tensor([1, 2])
    still = unet(dropout=0.0)
    torch.testing.assert_close(unet()(x), still(x, seeds))
    torch.testing.assert_close(unet().train()(x), unet().eval()(x))


def test_every_pixel_can_see_every_other() -> None:
    net, x = unet(16, 16, norm="none"), torch.randn(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0, 0, 0], x)
    assert int((gradient != 0).sum()) == 256


def test_repeated_pixels_leave_no_grid_on_flat_maps() -> None:
    net = unet(64, 64, norm="none", depth=1, up="repeated")
    y = net(torch.full((1, 1, 64, 64), 0.7))[..., 8:-8, 8:-8]
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))


def test_one_trained_at_one_size_runs_at_another_and_depth_has_a_limit() -> None:
    assert unet(16, 16)(torch.randn(1, 1, 37, 50)).shape == (1, 3, 37, 50)
    with pytest.raises(UsageError, match="they can be halved 4 times"):
        unet(16, 9, depth=5)


def test_under_bf16_the_image_is_float32() -> None:
    net, x = unet().to(memory_format=torch.channels_last), torch.randn(2, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x, torch.tensor([1, 2]))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, net(x, torch.tensor([1, 2])), atol=0.1, rtol=0.1)
