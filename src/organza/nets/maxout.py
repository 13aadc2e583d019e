"""The fully connected networks of the first conditional GAN: labels meet samples and latents in a joint hidden layer.

Source: Mirza and Osindero 2014 (arXiv:1411.1784), section 4.1; maxout: Goodfellow et al. 2013 (arXiv:1302.4389).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from organza.data.spec import ImageSpec, Spec
from organza.nets.layers import Float32


@final
class Maxout(nn.Module):
    """The largest of `pieces` linear functions, for each of `units` outputs."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, units * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, units)."""
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


@final
class JointGenerator(nn.Module):
    """Latents (N, latent) and labels (N,) to samples (N, *shape), images in [-1, 1].

    Latent and label go to 200 and 1,000 hidden units of their own and then to 1,200 common ones.
    """

    def __init__(self, data: Spec, *, latent: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.from_latent = nn.Sequential(nn.Linear(latent, 200), nn.ReLU(), nn.Dropout(dropout))
        self.from_label = nn.Sequential(nn.Linear(num_classes, 1000), nn.ReLU(), nn.Dropout(dropout))
        last = nn.Linear(1200, int(torch.Size(data.shape).numel()))
        self.joint = nn.Sequential(nn.Linear(1200, 1200), nn.ReLU(), nn.Dropout(dropout), last)
        self.output = nn.Tanh() if isinstance(data, ImageSpec) else nn.Identity()
        self.shape = data.shape

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        """Samples of a class."""
        code = one_hot(label, self.num_classes).to(latent.dtype)
        both = torch.cat([self.from_latent(latent), self.from_label(code)], dim=1)
        return self.output(self.joint(both)).unflatten(1, self.shape)


@final
class JointCritic(nn.Module):
    """Samples (N, *shape) and labels (N,) to scores (N,).

    Maxout layers of 240 units with 5 pieces for the sample and 50 with 5 for the label, then 240 with 4 for both.
    """

    def __init__(self, data: Spec, *, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        size = int(torch.Size(data.shape).numel())
        self.from_sample = nn.Sequential(nn.Flatten(), Maxout(size, 240, 5), nn.Dropout(dropout))
        self.from_label = nn.Sequential(Maxout(num_classes, 50, 5), nn.Dropout(dropout))
        self.joint = nn.Sequential(Maxout(290, 240, 4), nn.Dropout(dropout))
        self.head = Float32(nn.Linear(240, 1))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Scores of samples of a class."""
        code = one_hot(label, self.num_classes).to(x.dtype)
        return self.head(self.joint(torch.cat([self.from_sample(x), self.from_label(code)], dim=1))).squeeze(1)
