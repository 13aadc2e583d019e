"""Inpainting: what is missing from an image, so that nobody sees that it was.

Yu, Lin, Yang, Shen, Lu, Huang. "Free-Form Image Inpainting with Gated Convolution", ICCV 2019 (arXiv:1806.03589):
DeepFill v2. Suvorov, Logacheva, Mashikhin et al. "Resolution-robust Large Mask Inpainting with Fourier Convolutions",
WACV 2022 (arXiv:2109.07161): LaMa.

Differs from the papers: the absolute difference in the holes and that beside them are means of their own; a perceptual
distance of a network at hand in place of LaMa's, which is of a segmentation network; averaged weights; and see
`nets.inpainting`. The class's defaults are for small images and a few minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError
from organza.game import Batch, Clock, Game, Loss, Shared, Turn
from organza.inference import at_once, from_sources
from organza.losses import OBJECTIVES
from organza.nets.inpainting import Base, FourierInpainter, GatedInpainter
from organza.nets.layers import Init, initialise
from organza.nets.patch_critic import PatchCritic, feature_distance
from organza.nets.residual import MapNorm
from organza.nets.spectral import advance, spectrally_normed
from organza.penalties import r1
from organza.translation import COLUMNS, Compared


@final
@dataclass(frozen=True, kw_only=True)
class Inpaint(Compared):
    """A generator that is told where the holes are, and a critic of patches that is told as well."""

    pairs: ClassVar[str] = "holes"
    smallest: ClassVar[int] = 8

    batch: int = 16
    """Images per step, over all ranks."""
    generator: Literal["gated", "fourier"] = "gated"
    """Gated convolutions in two passes (DeepFill v2), or Fourier convolutions that see the whole image (LaMa)."""
    width: int = 8
    """Channels of the generator's largest map."""
    downs: int = 2
    """Halvings of the Fourier generator."""
    blocks: int = 4
    """Residual blocks of the Fourier generator."""
    share: float = 0.75
    """Of its channels that go through Fourier transforms."""
    generator_norm: MapNorm = "batch"
    """Norm of its layers."""
    base: Base = "smooth"
    """What the generator's output is added to: a smooth filling from around the holes, or nothing."""
    critic_layers: int = 3
    """Halvings of the critic, at most: 1, 2, 3 judge patches of 16, 34, 70 pixels."""
    critic_width: int = 16
    """Channels of the critic's first layer, doubled at each further one."""
    loss: Literal["hinge", "nonsaturating"] = "hinge"
    """The game that is played with the scores."""
    spare_known: bool = False
    """Whether patches of the result that have no hole count as real, as in LaMa."""
    adversarial: float = 0.02
    """Weight of the game in the generator's loss; 0: no critic."""
    feature_matching: float = 0.0
    """Weight of the distance of the critic's features."""
    l1_holes: float = 1.0
    """Weight of the mean absolute difference in the holes."""
    l1_known: float = 0.5
    """Weight of that beside them, where the result is not used."""
    perceptual_weight: float = 0.5
    """Weight of what the network finds."""
    r1: float = 0.0
    """Weight of half the critic's squared gradient at real images."""
    init: Init = "he"
    """How weights are drawn at the start; the convolutions that make attempts begin at 0."""
    generator_lr: float = 1e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 1e-3
    """Adam step size of the critic at the start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.adversarial, self.l1_holes, self.perceptual_weight if self.is_compared else 0.0
        if not any(weights):
            raise UsageError(
                "adversarial, l1_holes and perceptual_weight are all 0, or compare nothing: nothing to learn"
            )
        if not 0 < self.share < 1:
            raise UsageError(f"share must be above 0 and below 1; got {self.share}")

    def check_sources(self, data: ImageSpec, source: ImageSpec | None) -> None:
        """Refuse images that come from nothing, or from ones without holes."""
        super().check_sources(data, source)
        if source is None or source.channels != 4 or data.channels not in (1, 3):
            raise DataError(
                f"Inpaint fills holes, which alpha 0 marks in RGBA sources of gray or RGB images; here {data.channels} "
                f"channels are to be made of {source.channels if source else 'no'}: let it make the holes itself with "
                "--pairs holes, or name them NAME_mask.png beside NAME.png and add --pairs masks"
            )

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each, which share the pass of the generator."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        g, c = self.networks(data)
        objective, unlike = OBJECTIVES[self.loss], self.unlikeness(data)

        def filled(network: Callable[..., list[Tensor]], source: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
            """The result, the attempts behind it, and where the holes are."""
            known, mask = parted(source, data.channels)
            attempts = [attempt.float() for attempt in network(known, mask)]
            return known * (1 - mask) + attempts[-1] * mask, attempts, mask

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            batch = self.moved(batch)
            fake, _, mask = filled(partial(shared, key=batch["jitter"]), batch["source"])
            image = batch["image"]
            real_score, fake_score = c(image, mask)[0], c(fake.detach(), mask)[0]
            holes = adaptive_max_pool2d(mask, fake_score.shape[1:])[:, 0]
            # A fake score counts as that of a real patch where its sign is turned: both games are mirrors.
            judged = fake_score * (2 * holes - 1) if self.spare_known else fake_score
            terms = {self.loss: objective.critic(real_score, judged)}
            if self.r1:
                terms["r1"] = self.r1 / 2 * r1(lambda x: c(x, mask)[0].mean((1, 2)), image)
            within = (fake_score * holes).sum((1, 2)) / holes.sum((1, 2)).clamp_min(1)
            return Loss(terms, watch=objective.watch(real_score.mean((1, 2)), within))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            batch = self.moved(batch)
            image = batch["image"]
            fake, attempts, mask = filled(partial(shared, key=batch["jitter"]), batch["source"])
            apart = [(attempt - image).abs().mean(1, keepdim=True) for attempt in attempts]
            terms = {
                "l1_holes": self.l1_holes * torch.stack([within(one, mask).mean() for one in apart]).sum(),
                "l1_known": self.l1_known * torch.stack([within(one, 1 - mask).mean() for one in apart]).sum(),
            }
            if self.is_compared:
                terms["perceptual"] = unlike(fake, image)
            if self.adversarial or self.feature_matching:
                score, features = c(fake, mask)
                terms[self.loss] = self.adversarial * objective.generator(score, score)
                if self.feature_matching:
                    with torch.no_grad():
                        _, wanted = c(image, mask)
                    terms["feature_matching"] = self.feature_matching * feature_distance(features, wanted)
            return Loss(terms, watch={"l1_distance": within(apart[-1].detach(), mask)})

        def power_step(means: dict[str, Tensor]) -> None:
            advance(c)

        def make(network: nn.Module, source: Tensor, seeds: Tensor) -> Tensor:
            return filled(network, source)[0]

        generator = self.player(g, self.generator_lr, self.halflife)
        critic, shared = self.player(c, self.critic_lr, 0.0), Shared(generator)
        plays = self.adversarial or self.feature_matching
        turns = [Turn("critic", critic, critic_loss, after=power_step)] if plays else []
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[*turns, Turn("generator", generator, generator_loss, same_noise=True)],
            generate=from_sources(generator, make=make, chunk=at_once(data.shape)),
            draw=lambda n: {"jitter": torch.rand(n, COLUMNS)},
            fills=True,
        )

    def networks(self, data: ImageSpec) -> tuple[nn.Module, PatchCritic]:
        """Generator and critic."""
        if self.generator == "gated":
            g = GatedInpainter(data.channels, width=self.width, base=self.base)
        else:
            extent = {"width": self.width, "downs": self.downs, "blocks": self.blocks}
            kind = {"share": self.share, "norm": self.generator_norm, "base": self.base}
            g = FourierInpainter(data.channels, **extent, **kind)
            initialise(g, self.init)
        for parameter in (one for end in g.ends for one in end.parameters()):
            nn.init.zeros_(parameter)  # else the first attempts are far out of range, and the first steps further
        extent = {"layers": self.critic_layers, "width": self.critic_width}
        c = initialise(PatchCritic(data, source_channels=1, norm="none", **extent), self.init)
        spectrally_normed(c)
        for network in (g, c):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, c


def parted(source: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """RGBA (N, 4, H, W) to its colors, or their mean, (N, channels, H, W), and a mask (N, 1, H, W): 1 in holes."""
    color, mask = source[:, :3], (source[:, 3:] < 0).to(source.dtype)
    return (color if channels == 3 else color.mean(1, keepdim=True)), mask


def within(distance: Tensor, mask: Tensor) -> Tensor:
    """The mean of maps (N, 1, H, W) where a mask is 1, of each sample, (N,); 0 where there is none."""
    return (distance * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp_min(1)


PRESETS = {
    "deepfill": Inpaint(
        width=48, base="none", critic_layers=5, critic_width=64, adversarial=1.0, l1_known=1.0, perceptual="none",
        flip=True, generator_lr=1e-4, critic_lr=1e-4, halflife=0.0, final_rate=1.0, length=100,
    ),
    "lama": Inpaint(
        batch=10, generator="fourier", base="none", width=64, downs=3, blocks=9, critic_layers=4, critic_width=64,
        flip=True, loss="nonsaturating", spare_known=True, adversarial=10.0, feature_matching=100.0, l1_holes=0.0,
        l1_known=10.0, perceptual_weight=30.0, r1=0.001, generator_lr=1e-3, critic_lr=1e-4, final_rate=1.0,
        betas=(0.9, 0.999), length=40,
    ),
    "tiny": Inpaint(batch=16, width=4, critic_layers=2, critic_width=4, perceptual="digits", length=1),
}  # fmt: skip
