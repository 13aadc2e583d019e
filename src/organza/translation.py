"""What families that make images from images share: step sizes, mirrored and moved pairs, and a perceptual loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError
from organza.game import Batch, Player, Schedule
from organza.nets.frame import sampled
from organza.perceptual import PerceptualNetwork, choose_network, load_network
from organza.recipe import Recipe, Sources
from organza.schedules import linear

COLUMNS = 3
"""Uniform numbers per sample: where the crop lies, down and across, and whether it is mirrored."""


@dataclass(frozen=True, kw_only=True)
class ImageToImage(Recipe):
    """Fields and parts of such a family."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)
    needs_sources: ClassVar[Sources] = "any"

    flip: bool = False
    """Whether half of the images are mirrored."""
    generator_lr: float = 1e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 1e-3
    """Adam step size of the critic at the start."""
    decay_from: float = 0.5
    """Share of the budget after which step sizes fall in a straight line."""
    final_rate: float = 0.02
    """Share of the step sizes that is left at the end."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e5
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def player(self, network: nn.Module, lr: float, halflife: float, *, rate: Schedule | None = None) -> Player:
        """A player whose step size stays for a while and then falls in a straight line, or is this schedule."""
        adam = Adam(network.parameters(), lr, betas=self.betas, fused=True)
        rate = rate or linear(lr, lr * self.final_rate, begin=self.decay_from)
        return Player(network, adam, lr=rate, halflife=halflife or None, ramp=0.05)

    def moved(self, batch: Batch) -> Batch:
        """The batch with both sides mirrored; it holds the noise `jitter`, (N, COLUMNS)."""
        return jittered(batch, ("source", "image"), enlarge=0.0, flip=self.flip)


@dataclass(frozen=True, kw_only=True)
class Translation(ImageToImage):
    """The same for sources as large as the images, whose pixels need not stay where they are."""

    jitter: float = 0.0
    """Images are enlarged by this share and cut at a random place; 30 / 256 in the papers."""

    def moved(self, batch: Batch) -> Batch:
        """The batch with both sides cropped and mirrored; it holds the noise `jitter`, (N, COLUMNS)."""
        return jittered(batch, ("source", "image"), enlarge=self.jitter, flip=self.flip)


@dataclass(frozen=True, kw_only=True)
class Compared(ImageToImage):
    """The same where a trained network may compare what is made with the truth."""

    needs_sources: ClassVar[Sources] = "paired"

    perceptual: str = "auto"
    """Network that compares results with the truth: digits, fashion, efficientnet-lite0, vgg19, vgg16 or none; auto:
    the one that suits the data and needs no download."""
    perceptual_file: str = ""
    """File of the network's weights, where they are neither in a package nor to be downloaded."""
    perceptual_weight: float = 1.0
    """Weight of what it finds."""
    perceptual_layers: tuple[str, ...] = ()
    """Its layers, such as conv5_4, of which the absolute differences count; empty: a distance of all that it is known
    for, with the features of each place at unit length."""
    perceptual_layer_weights: tuple[float, ...] = ()
    """Of each of these layers; empty: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights, layers = self.perceptual_layer_weights, self.perceptual_layers
        if weights and len(weights) != len(layers):
            raise UsageError(
                f"there must be a weight for each of perceptual_layers; got {len(weights)} for {len(layers)}"
            )

    def check(self, data: Spec) -> None:
        """As `Recipe.check`; and refuse channels that no perceptual network looks at."""
        super().check(data)
        if isinstance(data, ImageSpec) and data.channels not in (1, 3, 4) and self.perceptual != "none":
            raise DataError(
                f"the network {self.perceptual} looks at images of 1, 3 or 4 channels, and these have {data.channels}: "
                "compare pixels alone with --perceptual none"
            )

    def settled(self, data: Spec, name: str) -> Self:
        """With the network that `auto` means for this data."""
        has_choice = self.is_compared and self.perceptual == "auto" and isinstance(data, ImageSpec)
        file = str(Path(self.perceptual_file).expanduser().resolve()) if self.perceptual_file else ""
        network = choose_network(name, data) if has_choice else self.perceptual  # pyright: ignore[reportArgumentType]
        return replace(self, perceptual=network, perceptual_file=file)

    def fetch(self, *, offline: bool) -> None:
        """The weights of the network that compares."""
        if self.is_compared and self.perceptual != "auto":
            self.network(offline=offline)

    @property
    def is_compared(self) -> bool:
        """Whether there is a perceptual loss."""
        return self.perceptual != "none" and self.perceptual_weight > 0

    def network(self, *, offline: bool = False) -> PerceptualNetwork:
        """What compares, with its weights."""
        weights = Path(self.perceptual_file) if self.perceptual_file else None
        return load_network(self.perceptual, weights=weights, layers=self.perceptual_layers, offline=offline)

    def unlikeness(self, data: ImageSpec) -> Callable[[Tensor, Tensor], Tensor]:
        """From what was made and the truth, (N, C, H, W) in [-1, 1] each, to a scalar to minimise.

        The network is loaded when it is first asked, since those who only apply a model need none.
        """
        recipe = replace(self, perceptual=choose_network("", data)) if self.perceptual == "auto" else self
        network = cache(recipe.network)
        weights = self.perceptual_layer_weights or (1.0,) * len(self.perceptual_layers)

        def unlike(made: Tensor, truth: Tensor) -> Tensor:
            if weights:
                return self.perceptual_weight * network().feature_loss(made, truth, weights)
            return self.perceptual_weight * network().distance(made, truth).mean()

        return unlike


def jittered(batch: Batch, keys: tuple[str, ...], *, enlarge: float, flip: bool) -> Batch:
    """Images enlarged by a share and cut to their size at a random place, half of them mirrored.

    Args:
        batch: Holds images (N, C, H, W), of any size each, and the noise `jitter` (N, COLUMNS) in [0, 1).
        keys: Which of its images; those of one sample move together.
        enlarge: 0 leaves the size; 30 / 256 is the resizing to 286 pixels and cutting to 256 of pix2pix.
        flip: Whether to mirror.

    Source: Isola et al. 2017 (arXiv:1611.07004), appendix 6.2.
    """
    if not enlarge and not flip:
        return batch
    noise, scale = batch["jitter"], 1 / (1 + enlarge)
    if not enlarge:
        is_mirrored = (noise[:, 2] < 0.5)[:, None, None, None]
        return batch | {key: torch.where(is_mirrored, batch[key].flip(3), batch[key]) for key in keys}
    mirror = torch.where(noise[:, 2] < 0.5, -1.0, 1.0) if flip else torch.ones_like(noise[:, 2])
    down, across = ((2 * noise[:, axis] - 1) * (1 - scale) for axis in (0, 1))
    zero, kept = torch.zeros_like(mirror), torch.full_like(mirror, scale)
    rows = torch.stack([scale * mirror, zero, across, zero, kept, down], dim=1).view(-1, 2, 3)
    return batch | {key: sampled(batch[key], rows, is_mirrored=True) for key in keys}
