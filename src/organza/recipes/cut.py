"""CUT: from one kind of image to another without pairs and without a way back, held to its source patch by patch.

Park, Efros, Zhang, Zhu. "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020 (arXiv:2007.15651).

Differs from the paper: any size; the heads over patches belong to the generator and move with it; averaged weights; no
flip equivariance in `fast`; `change` is ours. The class's defaults are for small images and a few minutes. There is no
way back, so no cycle error can be told: how well a source is kept shows in `nce`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError
from organza.game import Batch, Clock, Game, Loss, Shared, Turn
from organza.inference import at_once, from_sources
from organza.losses import OBJECTIVES
from organza.nets.contrast import PatchSampler, patch_nce
from organza.nets.frame import Frame, Means
from organza.nets.layers import Init, initialise
from organza.nets.patch_critic import PatchCritic
from organza.nets.residual import MapNorm
from organza.nets.translator import ResidualTranslator
from organza.translation import COLUMNS, Translation


@final
class Contrasted(nn.Module):
    """A translator, and heads that describe places of what its encoder sees."""

    def __init__(
        self, translator: ResidualTranslator, frame: Frame | None, stages: tuple[int, ...], *, width: int
    ) -> None:
        super().__init__()
        self.translator, self.frame, self.stages = translator, frame, stages
        self.heads = PatchSampler([translator.channels[stage] for stage in stages], width=width)

    def forward(self, image: Tensor, in_place: bool = False) -> Tensor:
        """Images from images; `in_place` without the frame."""
        return self.translator(image if in_place else self.framed(image))

    def framed(self, image: Tensor) -> Tensor:
        """Sources as the target's kind stands in its frame."""
        return self.frame(image) if self.frame else image

    def described(self, image: Tensor, places: Tensor) -> list[Tensor]:
        """Vectors of length 1 at the places (N, P) of each stage."""
        return self.heads(self.translator.features(image, self.stages), places)


@final
@dataclass(frozen=True, kw_only=True)
class CUT(Translation):
    """One generator, one critic of patches, and the demand that each patch knows the place that it came from."""

    smallest: ClassVar[int] = 5

    batch: int = 8
    """Images of each side per step, over all ranks."""
    width: int = 16
    """Channels of the generator's largest map, doubled at each halving."""
    downs: int = 2
    """Halvings in the generator."""
    blocks: int = 4
    """Residual blocks; 9 in the paper."""
    antialiased: bool = True
    """Whether sizes change by smoothing filters."""
    patches: int = 64
    """Places that are compared, of each image and stage; 256 in the paper."""
    head: int = 64
    """Numbers that describe a place; 256 in the paper."""
    temperature: float = 0.07
    """Small ones ask for certainty."""
    nce: float = 1.0
    """Weight of the contrast between patches."""
    identity: bool = True
    """Whether images of the target's kind are held to themselves too."""
    critic_layers: int = 2
    """Halvings of the critic: 0, 1, 2, 3 judge patches of 1, 16, 34, 70 pixels."""
    critic_width: int = 32
    """Channels of the critic's first layer, doubled at each further one."""
    norm: MapNorm = "instance"
    """Norm of both networks' hidden layers."""
    loss: Literal["least_squares", "nonsaturating", "hinge"] = "least_squares"
    """The game that is played with the scores."""
    change: bool = False
    """Whether the generator changes the image that it is given, at first by nothing, and does not draw it anew: for
    kinds that differ in colors and texture, not in shapes."""
    frame: bool = False
    """Whether sources are first zoomed and shifted, all alike, until the means and deviations of both kinds agree best:
    for kinds that fill their frames differently."""
    init: Init = "he"
    """How weights are drawn at the start."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head < 1:
            raise UsageError(f"head must be above 0; got {self.head}")

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each, which share the pass of the generator."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        assert data.source is not None
        if data.channels != data.source.channels:
            raise DataError(
                f"CUT looks at both sides with one encoder, and here {data.source.channels} channels are to become "
                f"{data.channels}: "
                + ("" if data.is_paired else "bring both to one with --channels rgb, or ")
                + f"take: organza train {'pix2pix' if data.is_paired else 'cyclegan'}"
            )
        g, c = self.networks(data, data.source)
        objective = OBJECTIVES[self.loss]

        def contrast(made: Tensor, given: Tensor, places: Tensor) -> Tensor:
            """How far the places of what was made are from those of what it was made from: a mean over stages."""
            with torch.no_grad():
                keys = g.described(given, places)
            pairs = zip(g.described(made, places), keys, strict=True)
            return torch.stack([patch_nce(query, key, temperature=self.temperature) for query, key in pairs]).mean()

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            batch = self.moved(batch)
            if means:
                means.observe(batch["source"], batch["image"])
            fake = there(batch["source"], key=batch["jitter"]).detach()
            real_score, fake_score = c(batch["image"])[0], c(fake)[0]
            watch = objective.watch(real_score.flatten(1).mean(1), fake_score.flatten(1).mean(1))
            return Loss({self.loss: objective.critic(real_score, fake_score)}, watch=watch)

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            batch = self.moved(batch)
            fake = there(batch["source"], key=batch["jitter"])
            score = c(fake)[0]
            terms = {self.loss: objective.generator(score, score)}
            if self.nce:
                share = self.nce / 2 if self.identity else self.nce
                terms["nce"] = share * contrast(fake, g.framed(batch["source"]), batch["places"])
                if self.identity:
                    same = g(batch["image"], in_place=True)
                    terms["nce_identity"] = share * contrast(same, batch["image"], batch["places"])
            if means and g.frame:
                terms["frame"] = means.unlikeness(g.frame)
            return Loss(terms)

        generator, critic = self.player(g, self.generator_lr, self.halflife), self.player(c, self.critic_lr, 0.0)
        there, means = Shared(generator), Means(data.height, data.width) if self.frame else None
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[Turn("critic", critic, critic_loss), Turn("generator", generator, generator_loss, same_noise=True)],
            generate=from_sources(generator, make=lambda network, x, seeds: network(x), chunk=at_once(data.shape)),
            draw=lambda n: {"places": torch.rand(n, self.patches), "jitter": torch.rand(n, COLUMNS)},
            extras={"means": means} if means else {},
            frames=self.frame,
        )

    def networks(self, data: ImageSpec, source: ImageSpec) -> tuple[Contrasted, PatchCritic]:
        """Generator and critic."""
        translator = ResidualTranslator(
            source.channels,
            data.channels,
            width=self.width,
            downs=self.downs,
            blocks=self.blocks,
            norm=self.norm,
            is_antialiased=self.antialiased,
            is_change=self.change,
        )
        last = len(translator.channels) - 1
        stages = tuple(sorted({0, *range(2, self.downs + 2), self.downs + 1 + self.blocks // 2, last}))
        g = Contrasted(translator, Frame() if self.frame else None, stages, width=self.head)
        c = PatchCritic(data, layers=self.critic_layers, width=self.critic_width, norm=self.norm)
        for network in (g, c):
            initialise(network, self.init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.change:
            translator.begin_still()
        return g, c


PAPER = CUT(
    batch=1, width=64, blocks=9, patches=256, head=256, critic_layers=3, critic_width=64, jitter=30 / 256, flip=True,
    init="normal", generator_lr=2e-4, critic_lr=2e-4, final_rate=0.0, halflife=0.0, length=400,
)  # fmt: skip
PRESETS = {
    "paper": PAPER,
    "fast": replace(PAPER, nce=10.0, identity=False, decay_from=0.75, length=200),
    "tiny": CUT(batch=16, width=4, blocks=2, patches=8, head=8, critic_width=4, length=1),
}
