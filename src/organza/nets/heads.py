"""Critics that are told a label, and critics that say more than a score, for images of any size and for points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec, Spec
from organza.nets.conv import conv_trunk
from organza.nets.layers import Float32, Norm, normed
from organza.nets.mlp import Fourier, mlp


def plain_trunk(data: Spec, *, width: int, norm: Norm) -> tuple[nn.Sequential, int]:
    """All but the head of the plain critic.

    Args:
        data: Images of any size, or points.
        width: As for `nets.pair.plain_pair`.
        norm: Norm of the hidden layers.

    Returns:
        Samples (N, *shape) -> features (N, F), and F. The second of its layers is the first with weights, and puts out
        `width` channels for images and 4 `width` numbers for points.
    """
    if isinstance(data, ImageSpec):
        return conv_trunk(data, width=width, norm=norm)
    waves = Fourier(data.shape[0], 64)
    layers = mlp(waves.outputs, [4 * width] * 3, 1, norm=norm)
    return nn.Sequential(waves, *list(layers)[:-1]), 4 * width


@final
class LabelledCritic(nn.Module):
    """Samples (N, *shape) and labels (N,) to scores (N,): the plain critic, told the class in one of two ways.

    `concatenate`: a one-hot code stands beside the input of the first layer, for images as one plane per class that is
    1 everywhere or 0. What a layer makes of it is one number per output channel, so that number is looked up; at the
    border of an image this is what planes would give that go on beyond it.
    `project`: the inner product of the features with the label's embedding is added to the score.

    Source: Mirza and Osindero 2014 (arXiv:1411.1784); Miyato and Koyama 2018 (arXiv:1802.05637), Eq. 5.
    """

    def __init__(
        self, data: Spec, *, width: int, num_classes: int, norm: Norm, labels: Literal["concatenate", "project"]
    ) -> None:
        super().__init__()
        trunk, features = plain_trunk(data, width=width, norm=norm)
        self.first, self.rest = trunk[:2], trunk[2:]
        self.head = Float32(score_head(features, norm))
        self.is_projection = labels == "project"
        beside = width if isinstance(data, ImageSpec) else 4 * width
        self.embed = nn.Embedding(num_classes, features if self.is_projection else beside)
        nn.init.normal_(self.embed.weight, std=features**-0.5 if self.is_projection else 0.3)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Scores of samples of a class."""
        told, hidden = self.embed(label), self.first(x)
        if self.is_projection:
            features = self.rest(hidden)
            return self.head(features).squeeze(1) + (features.float() * told).sum(1)
        told = told.view(*told.shape, *[1] * (hidden.ndim - 2))
        return self.head(self.rest(hidden + told.to(hidden.dtype))).squeeze(1)


@final
class ReadingCritic(nn.Module):
    """Samples (N, *shape) to scores (N,) and a reading (N, outputs) of what they were made from: two heads, one trunk.

    Args:
        data: Images of any size, or points.
        width: As for `nets.pair.plain_pair`.
        outputs: Numbers that are read: logits of classes, estimates of codes.
        hidden: Units of a hidden layer of the reading head, with layer norm; 0: it is linear.
        norm: Norm of the trunk's hidden layers.
    """

    def __init__(self, data: Spec, *, width: int, outputs: int, hidden: int = 0, norm: Norm = "none") -> None:
        super().__init__()
        self.trunk, features = plain_trunk(data, width=width, norm=norm)
        self.head = Float32(score_head(features, norm))
        self.reader = Float32(mlp(features, [hidden] if hidden else [], outputs, norm="layer"))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and readings of samples."""
        features = self.trunk(x)
        return self.head(features).squeeze(1), self.reader(features)


def score_head(features: int, norm: Norm) -> nn.Module:
    """A linear layer to one number, under spectral norm where the trunk is."""
    return normed(nn.Linear(features, 1), 1, norm="spectral" if norm == "spectral" else "none", axes=0)[0]


@final
@dataclass(frozen=True)
class Codes:
    """InfoGAN's latent from normal numbers, (N, D) to (N, D): categorical codes, continuous codes, then noise.

    Of every k numbers of a categorical code the largest becomes 1 and the others 0, which makes each value equally
    likely; a number of a continuous code becomes 2 Phi(x) - 1, uniform in (-1, 1); the noise stays normal. Latents are
    normal numbers everywhere else, so that seeds, films and truncation mean what they always do.

    Source: Chen et al. 2016 (arXiv:1606.03657), section 5.
    """

    categorical: tuple[int, ...]
    """How many values each categorical code has."""
    continuous: int
    """How many continuous codes there are."""
    noise: float = 1.0
    """Standard deviation of the noise: the smaller, the more the codes weigh when training begins."""

    @property
    def size(self) -> int:
        """Numbers of the latent that are codes."""
        return sum(self.categorical) + self.continuous

    def __call__(self, normal: Tensor) -> Tensor:
        """Codes and noise."""
        *choices, reals, noise = normal.split([*self.categorical, self.continuous, normal.shape[1] - self.size], dim=1)
        chosen = [nn.functional.one_hot(x.argmax(1), x.shape[1]).to(x.dtype) for x in choices]
        return torch.cat([*chosen, torch.erf(reals * 0.5**0.5), self.noise * noise], dim=1)

    def misread(self, reading: Tensor, code: Tensor) -> dict[str, Tensor]:
        """How badly a reading (N, size) tells the codes, (N, size) or longer: -log Q(c | x), its mean over the batch.

        Q is a categorical distribution for each categorical code and a normal one of variance 1 around tanh of what is
        read for each continuous code, without its constant. H(c) minus this is the lower bound of the mutual
        information (Eq. 4 and 5).

        Returns:
            `categorical` (0 if all are read, ln k by guessing) and `continuous` (1/6 a code by guessing 0), where there
            are such codes; each is summed over its codes.
        """
        splits = [*self.categorical, self.continuous]
        *logits, means = reading.float().split(splits, dim=1)
        *chosen, reals = code[:, : self.size].float().split(splits, dim=1)
        pairs = zip(logits, chosen, strict=True)
        lost = [-(wanted * read.log_softmax(1)).sum(1).mean() for read, wanted in pairs]
        found = {"categorical": torch.stack(lost).sum()} if lost else {}
        return found | ({"continuous": (reals - means.tanh()).square().sum(1).mean() / 2} if self.continuous else {})

    def sweeps(self, normal: Tensor, *, columns: int) -> dict[str, Tensor]:
        """Latents (R, columns, D) for each code, which alone changes along the rows: what it does shows side by side.

        A categorical code takes its values in turn, a continuous one goes from -2 to 2, beyond what was trained, so
        that its meaning is plain. Row r begins from the r-th latent (R, D), with the r-th value of categorical codes.
        """
        base, starts, found = self(normal), [sum(self.categorical[:i]) for i in range(len(self.categorical))], {}
        for start, count in zip(starts, self.categorical, strict=True):
            base[:, start : start + count] = torch.eye(count).to(base)[torch.arange(len(base)) % count]
        base = base[:, None].repeat(1, columns, 1)
        for index, (start, count) in enumerate(zip(starts, self.categorical, strict=True), 1):
            sweep = found[f"categorical-{index}"] = base.clone()
            sweep[:, :, start : start + count] = torch.eye(count).to(base)[torch.arange(columns) % count]
        for index in range(self.continuous):
            sweep = found[f"continuous-{index + 1}"] = base.clone()
            sweep[:, :, sum(self.categorical) + index] = torch.linspace(-2, 2, columns).to(base)
        return found
