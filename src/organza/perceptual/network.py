"""A trained network that compares images by its feature maps: as a loss, twice differentiable, and as a distance."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils import convert_conv2d_weight_memory_format

from organza.errors import DataError, UsageError
from organza.metrics.extractors.extractor import LUMA

SMALLEST = 8
"""Fewest pixels a side of an image."""
EPSILON = 1e-8
"""Added to squared lengths before the root: what is shorter than 1e-4 counts as nothing, and gradients stay finite."""


@final
@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A network as a chain of stages, and how images reach the first."""

    name: str
    """The name users give."""
    sha256: str
    """Of the file of its weights, in hexadecimal."""
    stages: Mapping[str, nn.Module]
    """What follows upon what, by name; no stage changes its input in place."""
    layers: tuple[str, ...]
    """The stages whose outputs are compared unless others are asked for."""
    gain: tuple[float, ...]
    """For each channel that the first stage takes, 1 or 3: what pixels in [-1, 1] are multiplied by."""
    offset: tuple[float, ...]
    """What is added to them then."""


@final
class PerceptualNetwork:
    """Images to feature maps by a trained network that never changes.

    It is no `nn.Module`, so that no player or checkpoint takes it in: it has no state. It follows the images to their
    device. It computes in float32, or as autocast has it, always as in evaluation.

    Images are taken at their own size if the deepest map is at least 2 x 2 then. Smaller ones are enlarged by the least
    whole factor for that, bilinearly: with a whole factor all pixels keep the same weight, and their proportions.

    Args:
        trunk: The network.
        layers: Names of stages whose outputs are compared; none: those of the trunk. Maps come in their order.

    Raises:
        UsageError: The network has no such layer.
    """

    def __init__(self, trunk: Trunk, layers: Sequence[str] = ()) -> None:
        order = list(trunk.stages)
        for layer in layers:
            if layer not in order:
                close = difflib.get_close_matches(layer, order, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise UsageError(f"{trunk.name} has no layer {layer!r}.{hint} It has: {', '.join(order)}.")
        self.name = trunk.name
        self.sha256 = trunk.sha256
        self.layers = tuple(layers or trunk.layers)
        if len(set(self.layers)) < len(self.layers):
            raise UsageError(f"{', '.join(self.layers)} names a layer of {trunk.name} twice; leave out one.")
        names = order[: max(order.index(layer) for layer in self.layers) + 1]
        stages = nn.ModuleDict({name: trunk.stages[name] for name in names}).eval().requires_grad_(False)
        self._stages = convert_conv2d_weight_memory_format(stages, torch.channels_last)
        self._gain, self._offset = (torch.tensor(each).view(1, -1, 1, 1) for each in (trunk.gain, trunk.offset))
        self._least = 2 * stride(self._stages)

    def __call__(self, images: Tensor) -> list[Tensor]:
        """The feature maps, (N, D, h, w) each, in the order of `layers`.

        Args:
            images: (N, C, H, W) in [-1, 1], of 8 pixels or more a side; C of 1 (gray), 3 (RGB) or 4 (RGBA, laid over
                white). What lies outside [-1, 1] is not cut, so that its gradient lives.

        Raises:
            DataError: They have other channels, are smaller or are stored bytes.
        """
        fits = images.ndim == 4 and images.shape[1] in (1, 3, 4) and min(images.shape[2:]) >= SMALLEST
        if not fits or not images.is_floating_point():
            raise DataError(
                f"The images are {images.dtype} of the shape {tuple(images.shape)}; {self.name} looks at (N, C, H, W) "
                f"in [-1, 1] with 1, 3 or 4 channels and {SMALLEST} pixels or more a side."
            )
        if self._gain.device != images.device:
            self._stages.to(images.device)
            self._gain, self._offset = self._gain.to(images.device), self._offset.to(images.device)
        factor = self.enlargement(*images.shape[2:])
        x = coloured(images.float(), channels=self._gain.shape[1])
        if factor > 1:
            x = interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        x = (x * self._gain + self._offset).contiguous(memory_format=torch.channels_last)
        maps = {}
        for name, stage in self._stages.items():
            x = stage(x)
            if name in self.layers:
                maps[name] = x
        return [maps[name] for name in self.layers]

    def enlargement(self, height: int, width: int) -> int:
        """The whole factor by which images are enlarged before they are looked at; 1 for large ones."""
        return max(1, math.ceil(self._least / min(height, width)))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """How unlike images look, pair by pair, (N,): 0 for equal ones, at most 4, the same both ways.

            mean over layers of the mean over places of || a' - b' ||^2

        where a' and b' are the vectors of all channels at a place, scaled to length 1.

        Args:
            a: Images, see `__call__`.
            b: Others of the same shape.

        Source: Zhang, Isola, Efros, Shechtman, Wang 2018 (arXiv:1801.03924), eq. 1 with all weights 1. This is not
        LPIPS, whose weights were fitted to what people say.
        """
        both = zip(self(a), self(b), strict=True)
        return torch.stack([(unit(x) - unit(y)).square().sum(1).mean((1, 2)) for x, y in both]).mean(0)

    def feature_loss(self, a: Tensor, b: Tensor, weights: Sequence[float]) -> Tensor:
        """The weighted sum over layers of mean absolute differences of the maps, a scalar; 0 for equal images.

        Args:
            a: Images, see `__call__`.
            b: Others of the same shape.
            weights: One for each of `layers`.

        Raises:
            UsageError: There are more or fewer weights than layers.

        Source: Wang et al. 2018, ESRGAN (arXiv:1809.00219), section 3.2, which takes a single layer before its ReLU;
        Wang et al. 2021, Real-ESRGAN (arXiv:2107.10833), section 4.1, with several.
        """
        if len(weights) != len(self.layers):
            raise UsageError(f"{len(weights)} weights for the {len(self.layers)} layers {', '.join(self.layers)}.")
        parts = zip(weights, self(a), self(b), strict=True)
        return torch.stack([weight * (x.float() - y.float()).abs().mean() for weight, x, y in parts]).sum()


def unit(x: Tensor) -> Tensor:
    """Maps (N, D, h, w) in float32 with the vector at each place scaled to length 1."""
    x = x.float()
    return x * (x.square().sum(1, keepdim=True) + EPSILON).rsqrt()


def stride(stages: nn.Module) -> int:
    """How many pixels apart neighbours of the last map lie."""
    steps = 1
    for module in stages.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            steps *= module.stride if isinstance(module.stride, int) else module.stride[0]
    return steps


def coloured(images: Tensor, *, channels: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] as a network sees them, in 1 channel or 3."""
    if images.shape[1] == 4:
        alpha = (images[:, 3:] + 1) / 2
        images = images[:, :3] * alpha + (1 - alpha)
    if images.shape[1] == 1:
        return images.expand(-1, channels, -1, -1)
    if channels == 3:
        return images
    return (images * torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
