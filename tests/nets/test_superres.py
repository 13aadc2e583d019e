"""Networks that enlarge: sizes and scales, the fixed skip, the papers' layers; critics of any size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.residual import MapNorm
from organza.nets.spectral import SpectralNorm, spectrally_normed
from organza.nets.superres import FACTORS, SuperResolver, UNetCritic, VGGCritic, rrdb, srresnet

SIZES = [(5, 5), (8, 8), (28, 28), (37, 131), (9, 40)]
NETS: dict[str, Callable[..., SuperResolver]] = {
    "srresnet": lambda channels, **options: srresnet(channels, width=4, blocks=2, **options),
    "rrdb": lambda channels, **options: rrdb(channels, width=4, blocks=1, growth=2, **options),
}
nets = pytest.mark.parametrize("name", NETS)


@nets
@pytest.mark.parametrize("scale", FACTORS)
def test_images_of_any_size_are_enlarged(name: str, scale: int) -> None:
    net = NETS[name](3, scale=scale)
    for height, width in ((1, 1), (5, 7), (8, 8)):
        assert net(torch.randn(2, 3, height, width)).shape == (2, 3, scale * height, scale * width)


@nets
@pytest.mark.parametrize("skip", ["bilinear", "bicubic"])
def test_a_network_that_makes_nothing_is_the_fixed_filter(name: str, skip: str) -> None:
    net, x = NETS[name](1, scale=3, skip=skip), torch.randn(2, 1, 9, 7)
    for parameter in net.last[-1].parameters():
        nn.init.zeros_(parameter)
    # For bilinear there is one definition; bicubic ones differ in a parameter, but all keep lines straight.
    if skip == "bilinear":
        torch.testing.assert_close(net(x), interpolate(x, scale_factor=3.0, mode="bilinear"))
    line = torch.arange(9.0).view(1, 1, 9, 1).expand(1, 1, 9, 7)
    middle = net(line)[0, 0, 6:-6, 10]
    torch.testing.assert_close(middle.diff(), torch.full((14,), 1 / 3))


def test_srresnet_has_the_weights_of_the_paper() -> None:
    with torch.device("meta"):
        net = srresnet(3, width=64, blocks=16, norm="batch", kernel=9, skip="none")
    kernels = sum(p.numel() for p in net.parameters() if p.ndim == 4)
    assert kernels == 2 * 81 * 3 * 64 + 33 * 9 * 64**2 + 2 * 9 * 64 * 256


def test_rrdb_has_the_weights_of_the_paper() -> None:
    with torch.device("meta"):
        net = rrdb(3, width=64, blocks=23, growth=32, skip="none")
    dense = sum(9 * (64 + 32 * index) * 32 for index in range(4)) + 9 * (64 + 4 * 32) * 64
    ends = 2 * 9 * 3 * 64 + 2 * 9 * 64**2 + 2 * 9 * 64 * 256  # the paper's two convolutions after it are plain ones
    assert sum(p.numel() for p in net.parameters() if p.ndim == 4) == 69 * dense + ends


def test_a_residual_block_of_zero_weights_passes_its_input() -> None:
    net, x = rrdb(1, width=4, blocks=2, growth=2), torch.randn(1, 4, 6, 6)
    for parameter in net.body.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(net.body[:-1](x), x)


def test_other_scales_are_refused() -> None:
    with pytest.raises(UsageError, match="scale 5 is none of 1, 2, 3"):
        srresnet(3, scale=5)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_critics_take_any_size(size: tuple[int, int], norm: MapNorm) -> None:
    data = ImageSpec(channels=3, height=size[0], width=size[1])
    x = torch.randn(2, 3, *size)
    assert VGGCritic(data, width=2, norm=norm)(x).shape == (2,)
    assert UNetCritic(3, width=2)(x).shape == (2, *size)


def test_the_vgg_critic_has_the_stages_of_the_paper() -> None:
    with torch.device("meta"):
        critic = VGGCritic(ImageSpec(channels=3, height=128, width=128), width=64, stages=5, norm="batch", cells=4)
    assert [down[0].out_channels for down in critic.downs] == [64, 128, 256, 512, 512]
    assert [len(keep) for keep in critic.keeps] == [1, 2, 2, 2, 2]
    assert critic.head.layer[1].in_features == 512 * 16


@pytest.mark.parametrize("name", ["vgg", "unet"])
def test_a_gradient_penalty_reaches_every_weight(name: str) -> None:
    torch.manual_seed(0)
    data = ImageSpec(channels=1, height=13, width=10)
    critic = VGGCritic(data, width=2) if name == "vgg" else UNetCritic(1, width=2)
    x = torch.randn(3, 1, 13, 10, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    weights = {name: p for name, p in critic.named_parameters() if name.endswith("weight")}
    assert not [name for name, p in weights.items() if p.grad is None or float(p.grad.norm()) == 0]


def test_pixels_are_judged_by_all_around_them_with_spectral_norm_between_the_ends() -> None:
    critic = UNetCritic(1, width=4)
    spectrally_normed(critic, skip=[critic.first, critic.last])
    assert len([part for part in critic.modules() if isinstance(part, SpectralNorm)]) == 3 + 3 + 2
    x = torch.randn(1, 1, 40, 40, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(x)[0, 20, 20], x)
    assert int((gradient != 0).sum()) > 30**2


@nets
def test_under_bf16_images_and_scores_are_float32(name: str) -> None:
    net, x = NETS[name](3, scale=2).to(memory_format=torch.channels_last), torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
        assert UNetCritic(3, width=2)(y).dtype == torch.float32
        assert VGGCritic(ImageSpec(channels=3, height=16, width=16), width=2)(y).dtype == torch.float32
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, net(x), atol=0.05, rtol=0.05)
