"""Small parts that networks are made of, each to be had by the name that users give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

Activation = Literal["relu", "leaky_relu", "silu", "gelu"]
Norm = Literal["none", "batch", "instance", "layer", "spectral"]
Init = Literal["default", "normal", "he", "xavier", "orthogonal"]
Module = TypeVar("Module", bound=nn.Module)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


def normed(layer: nn.Module, channels: int, *, norm: Norm, axes: int) -> list[nn.Module]:
    """The layer followed by a norm of its output, or wrapped by one of its weight (`spectral`).

    Args:
        layer: A linear or convolution layer.
        channels: How many channels it puts out.
        norm: Which norm.
        axes: Axes after the channels: 0 for vectors, 2 for images.
    """
    match norm:
        case "none":
            return [layer]
        case "spectral":
            return [spectral_norm(layer)]
        case "batch":
            return [layer, nn.BatchNorm2d(channels) if axes else nn.BatchNorm1d(channels)]
        case "instance":
            return [layer, nn.InstanceNorm2d(channels, affine=True) if axes else nn.LayerNorm(channels)]
        case "layer":
            return [layer, nn.GroupNorm(1, channels)]


def initialise(network: Module, init: Init) -> Module:
    """Draw the weights of every linear and convolution layer anew, in place; biases become zero, batch norm stays 1.

    `normal` is N(0, 0.02) as in DCGAN (Radford et al. 2016, section 4), `he` keeps the variance through ReLU
    (He et al. 2015), `xavier` through linear layers (Glorot and Bengio 2010), `orthogonal` has gain 1
    (Saxe et al. 2014); `default` leaves torch's own.
    """
    if init == "default":
        return network
    draw: dict[str, Callable[[Tensor], Tensor]] = {
        "normal": lambda weight: nn.init.normal_(weight, std=0.02),
        "he": lambda weight: nn.init.kaiming_normal_(weight, a=0.2),
        "xavier": nn.init.xavier_uniform_,
        "orthogonal": nn.init.orthogonal_,
    }
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            name = "parametrizations.weight.original" if is_parametrized(module) else "weight"
            draw[init](module.get_parameter(name))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


class Float32(nn.Module):
    """A layer that stays in float32 under autocast: the critic's head, whose scores need the digits."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """As the layer does."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())
