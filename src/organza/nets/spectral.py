"""Spectral norm: every layer's weight divided by its largest singular value, so that the critic is not steep anywhere.

torch's own version takes a power step in each forward pass, so the result depends on how many passes there were: on
micro-batches, and on who looks at a loss. Here a pass reads the estimate and changes nothing; a step is taken once per
update of the weights, by `Turn(after=lambda means: advance(network))`, as Algorithm 1 of the paper has it.

Source: Miyato, Kataoka, Koyama, Yoshida 2018 (arXiv:1802.05957), section 2.1 and Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

Module = TypeVar("Module", bound=nn.Module)
START = 15
"""Power steps from random vectors at the beginning."""


@final
class SpectralNorm(nn.Module):
    """A parametrization: W / (u W v) with u and v near the first singular vectors of W, seen as rows by the rest.

    The gradient flows through the division (Eq. 12 of the paper); u and v are constants to it.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.register_buffer("left", torch.randn(rows, dtype=weight.dtype, device=weight.device))
        self.register_buffer("right", torch.zeros(columns, dtype=weight.dtype, device=weight.device))
        self.step(weight, times=START)

    def forward(self, weight: Tensor) -> Tensor:
        """(out, ...) to the same shape, with a largest singular value of 1 as far as u and v are right."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight / (self.left @ (weight.flatten(1) @ self.right))

    @torch.no_grad()
    def step(self, weight: Tensor, *, times: int = 1) -> None:
        """Move u and v by power iteration towards the singular vectors of `weight`."""
        matrix = weight.detach().flatten(1)
        for _ in range(times):
            self.right.copy_(normalize(self.left @ matrix, dim=0))
            self.left.copy_(normalize(matrix @ self.right, dim=0))


def spectrally_normed(network: Module, *, skip: Collection[nn.Module] = ()) -> Module:
    """Put spectral norm on every linear, convolution and embedding layer, in place.

    Draw the initial weights before: u and v are fitted to the weights that are found.

    Args:
        network: Its layers keep their parameters under `parametrizations.weight.original`.
        skip: Layers to leave as they are, with all that is in them.
    """
    left_alone = {id(part) for whole in skip for part in whole.modules()}
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Embedding) and id(layer) not in left_alone:
            register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return network


def advance(network: nn.Module) -> None:
    """One power step for every layer with spectral norm: due after each update of the network's weights."""
    for layer in network.modules():
        if is_parametrized(layer, "weight"):
            weights = layer.get_submodule("parametrizations.weight")
            for part in weights.children():
                if isinstance(part, SpectralNorm):
                    part.step(weights.get_parameter("original"))
