"""The plain pair of networks, for any data: strided convolutions for images, fully connected layers for points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec, Spec
from organza.nets.conv import ConvCritic, ConvGenerator
from organza.nets.layers import Init, Module, Norm, initialise
from organza.nets.mlp import Fourier, Labelled, mlp


def plain_pair(
    data: Spec,
    *,
    latent: int,
    width: int,
    num_classes: int = 0,
    generator_norm: Norm = "batch",
    critic_norm: Norm = "none",
    init: Init = "he",
) -> tuple[nn.Module, nn.Module]:
    """A generator and a critic that suit the data.

    Args:
        data: Images of any size, or points.
        latent: Length of the latent vector.
        width: Channels of the largest map, doubled at each halving of the size, up to 8 times; a quarter of the hidden
            units for points.
        num_classes: Classes that both networks are told; 0: none.
        generator_norm: Norm of the generator's hidden layers.
        critic_norm: Norm of the critic's hidden layers.
        init: How weights are drawn.

    Returns:
        Generator (N, latent) [, labels (N,)] -> samples; critic: samples [, labels (N,)] -> scores (N,) or (N, 1).
    """
    generator = bare_generator(data, latent=latent, width=width, num_classes=num_classes, norm=generator_norm)
    if isinstance(data, ImageSpec):
        critic: nn.Module = ConvCritic(data, width=width, num_classes=num_classes, norm=critic_norm)
    else:
        waves = Fourier(data.shape[0] + num_classes, 64)
        judge = nn.Sequential(waves, mlp(waves.outputs, [4 * width] * 3, 1, norm=critic_norm))
        critic = Labelled(judge, num_classes)
    return ready(generator, init), ready(critic, init)


def plain_generator(
    data: Spec, *, latent: int, width: int, num_classes: int = 0, norm: Norm = "batch", init: Init = "he"
) -> nn.Module:
    """The generator of the pair alone, for families with critics of their own. Arguments as for `plain_pair`."""
    return ready(bare_generator(data, latent=latent, width=width, num_classes=num_classes, norm=norm), init)


def judged(critic: nn.Module, real: Tensor, fake: Tensor, *label: Tensor) -> Any:
    """What a critic says of N real and N fake samples, 2N rows: scores, or a tuple of scores and what else it says.

    In one pass, but in one for each side where the critic has batch norm. With statistics of both at once it would
    judge by what no batch of fakes alone shows, and that is what the generator learns from.
    """
    fake = fake.to(real.dtype)
    if not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in critic.modules()):
        return critic(torch.cat([real, fake]), *(torch.cat([each, each]) for each in label))
    said = critic(real, *label), critic(fake, *label)
    return torch.cat(said) if isinstance(said[0], Tensor) else tuple(map(torch.cat, zip(*said, strict=True)))


def bare_generator(data: Spec, *, latent: int, width: int, num_classes: int, norm: Norm) -> nn.Module:
    """The generator with torch's own weights."""
    if isinstance(data, ImageSpec):
        return ConvGenerator(data, latent=latent, width=width, num_classes=num_classes, norm=norm, embedding=32)
    return Labelled(mlp(latent + num_classes, [4 * width] * 6, data.shape[0], norm=norm), num_classes)


def ready(network: Module, init: Init) -> Module:
    """The network with its weights drawn, and laid out in memory as convolutions like it."""
    return initialise(network, init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
