"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from organza.nets.layers import ACTIVATIONS, Activation, Norm, normed


def mlp(
    inputs: int, widths: Sequence[int], outputs: int, *, activation: Activation = "leaky_relu", norm: Norm = "none"
) -> nn.Sequential:
    """Hidden layers of the given widths, each with norm and activation, and a plain linear layer at the end."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [*normed(nn.Linear(inputs, width), width, norm=norm, axes=0), ACTIVATIONS[activation]()]
        inputs = width
    last = nn.Linear(inputs, outputs)
    return nn.Sequential(*layers, *(normed(last, outputs, norm="spectral", axes=0) if norm == "spectral" else [last]))


class Reshape(nn.Module):
    """Gives each sample another shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to (N, *shape)."""
        return x.reshape(-1, *self.shape)


class Fourier(nn.Module):
    """Sines of random projections beside the coordinates, so that a network on few numbers sees detail early.

    Wave numbers are spread evenly on a logarithmic scale from `low` to `high`, in radians per unit; directions and
    phases are random, and fixed.

    Source: Tancik et al. 2020 (arXiv:2006.10739).
    """

    waves: Tensor
    phases: Tensor

    def __init__(self, size: int, count: int, *, low: float = 0.5, high: float = 30.0) -> None:
        super().__init__()
        self.outputs = size + count
        directions = nn.functional.normalize(torch.randn(count, size), dim=1)
        lengths = torch.linspace(math.log(low), math.log(high), count).exp()
        self.register_buffer("waves", directions * lengths[:, None])
        self.register_buffer("phases", torch.rand(count) * 2 * math.pi)

    def forward(self, x: Tensor) -> Tensor:
        """(N, size) to (N, size + count)."""
        return torch.cat([x, torch.sin(x @ self.waves.T + self.phases)], dim=1)


class Labelled(nn.Module):
    """A network on vectors that is also told the class: a one-hot code beside its input.

    Source: Mirza and Osindero 2014 (arXiv:1411.1784).
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network, self.num_classes = network, num_classes

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(N, D) and labels (N,) to what the network makes of (N, D + classes)."""
        if label is not None:
            x = torch.cat([x, one_hot(label, self.num_classes).to(x.dtype)], dim=1)
        return self.network(x)
