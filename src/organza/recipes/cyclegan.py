"""CycleGAN: from one kind of image to another and back, learned from two collections without pairs.

Zhu, Park, Isola, Efros. "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017
(arXiv:1703.10593).

Differs from the paper: any size; the critics move before the generators; every position of a batch has a history of
its own; averaged weights; the identity loss is left out where the two sides differ in channels; `change` is ours. The
class's defaults are for small images and a few minutes: narrow networks and larger steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from organza.data.spec import ImageSpec, Spec
from organza.game import Batch, Clock, Game, Generate, Loss, Player, Shared, Turn
from organza.inference import at_once, from_sources
from organza.losses import OBJECTIVES
from organza.nets.frame import Frame, Means
from organza.nets.history import History
from organza.nets.layers import Init, initialise
from organza.nets.patch_critic import PatchCritic
from organza.nets.residual import MapNorm
from organza.nets.translator import ResidualTranslator
from organza.translation import COLUMNS, Translation


@final
class BothWays(nn.Module):
    """Two networks as one player: what goes to the target, and what comes back to the source.

    With a frame sources are moved first, and what comes back is moved back last.
    """

    def __init__(self, there: nn.Module, back: nn.Module, frame: Frame | None) -> None:
        super().__init__()
        self.there, self.back, self.frame = there, back, frame

    def forward(self, image: Tensor, reverse: bool = False, in_place: bool = False) -> Tensor:
        """Images (N, C, H, W) one way or the other; `in_place` without the frame."""
        if reverse:
            return self.back(image) if in_place else self.unframed(self.back(image))
        return self.there(image if in_place else self.framed(image))

    def framed(self, source: Tensor) -> Tensor:
        """Sources as the target's kind stands in its frame."""
        return self.frame(source) if self.frame else source

    def unframed(self, source: Tensor) -> Tensor:
        """The other way round."""
        return self.frame.undone(source) if self.frame else source


@final
@dataclass(frozen=True, kw_only=True)
class CycleGAN(Translation):
    """Two generators, two critics of patches, and the demand that there and back leads home."""

    smallest: ClassVar[int] = 5

    batch: int = 8
    """Images of each side per step, over all ranks."""
    width: int = 16
    """Channels of the generators' largest map, doubled at each halving."""
    downs: int = 2
    """Halvings in the generators."""
    blocks: int = 3
    """Residual blocks of each generator; 9 in the paper for 256 pixels, 6 for 128."""
    antialiased: bool = False
    """Whether sizes change by smoothing filters, which leave no grid, and not by the strides of convolutions."""
    critic_layers: int = 2
    """Halvings of the critics: 0, 1, 2, 3 judge patches of 1, 16, 34, 70 pixels."""
    critic_width: int = 32
    """Channels of the critics' first layer, doubled at each further one."""
    norm: MapNorm = "instance"
    """Norm of all networks' hidden layers."""
    loss: Literal["least_squares", "nonsaturating", "hinge"] = "least_squares"
    """The game that is played with the scores."""
    cycle: float = 10.0
    """Weight of the mean absolute difference between an image and what comes back of it, on both sides."""
    identity: float = 0.5
    """How far an image that is of the target's kind already shall be left alone, as a share of `cycle`."""
    history: int = 50
    """Older fakes, of each side, that the critics see again; 0: none."""
    change: bool = False
    """Whether the generator changes the image that it is given, at first by nothing, and does not draw it anew: for
    kinds that differ in colors and texture, not in shapes."""
    frame: bool = False
    """Whether images are zoomed and shifted on the way, all alike, and back on the way back, until the means and
    deviations of both kinds agree best: for kinds that fill their frames differently."""
    init: Init = "he"
    """How weights are drawn at the start."""

    def build(self, data: Spec) -> Game:
        """Two networks in each player, one turn each, which share the pass of the generators."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        assert data.source is not None
        g, c = self.networks(data, data.source)
        objective = OBJECTIVES[self.loss]
        identity = self.identity * self.cycle if data.channels == data.source.channels else 0.0
        depth = -(-self.history // self.batch)
        older = nn.ModuleDict(
            {side: History(spec.shape, rows=self.batch, depth=depth) for side, spec in sides(data).items()}
        )
        means = Means(data.height, data.width) if self.frame else None
        generator, critic = self.player(g, self.generator_lr, self.halflife), self.player(c, self.critic_lr, 0.0)
        there, back = Shared(generator), Shared(generator)

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            batch = self.moved(batch)
            if means:
                means.observe(batch["source"], batch["image"])
            fakes = {
                "image": there(batch["source"], key=batch["jitter"]),
                "source": back(batch["image"], True, True, key=batch["jitter"]),
            }
            reals = {"image": batch["image"], "source": g.framed(batch["source"])}
            terms, watch = {}, {}
            for side, fake in fakes.items():
                shown = older[side](fake, batch["position"], batch[f"replay_{side}"])
                real_score, fake_score = c[side](reals[side])[0], c[side](shown)[0]
                terms[f"{self.loss}_{side}"] = objective.critic(real_score, fake_score)
                if side == "image":
                    watch = objective.watch(real_score.flatten(1).mean(1), fake_score.flatten(1).mean(1))
            return Loss(terms, watch=watch)

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            batch = self.moved(batch)
            fake = there(batch["source"], key=batch["jitter"])
            fake_source = back(batch["image"], True, True, key=batch["jitter"])
            terms = {
                f"{self.loss}_{side}": objective.generator(score, score)
                for side, score in (("image", c["image"](fake)[0]), ("source", c["source"](fake_source)[0]))
            }
            source = g.framed(batch["source"])
            home, home_image = g(fake, True, True), g(fake_source, in_place=True)
            if self.cycle:
                terms["cycle_source"] = self.cycle * l1_loss(home.float(), source)
                terms["cycle_image"] = self.cycle * l1_loss(home_image.float(), batch["image"])
            if identity:
                terms["identity_image"] = identity * l1_loss(g(batch["image"], in_place=True).float(), batch["image"])
                terms["identity_source"] = identity * l1_loss(g(source, True, True).float(), source)
            if means and g.frame:
                terms["frame"] = means.unlikeness(g.frame)
            apart = (home.detach().float() - source).abs().flatten(1).mean(1)
            return Loss(terms, watch={"cycle_error": apart})

        def draw(n: int) -> Batch:
            replay = {f"replay_{side}": torch.rand(n, 2) for side in ("image", "source")}
            return {"position": torch.arange(n), "jitter": torch.rand(n, COLUMNS)} | replay

        return Game(
            players={"generator": generator, "critic": critic},
            turns=[Turn("critic", critic, critic_loss), Turn("generator", generator, generator_loss, same_noise=True)],
            generate=both_ways(generator, chunk=at_once(data.shape)),
            draw=draw,
            reverses=True,
            extras={"history": older, **({"means": means} if means else {})},
            frames=self.frame,
        )

    def networks(self, data: ImageSpec, source: ImageSpec) -> tuple[BothWays, nn.ModuleDict]:
        """Generators and critics."""
        shape = {"width": self.width, "downs": self.downs, "blocks": self.blocks}
        translator = partial(ResidualTranslator, **shape, norm=self.norm)
        there, back = (
            translator(before.channels, after.channels, is_antialiased=self.antialiased, is_change=self.change)
            for before, after in ((source, data), (data, source))
        )
        g = BothWays(there, back, Frame() if self.frame else None)
        judge = partial(PatchCritic, layers=self.critic_layers, width=self.critic_width, norm=self.norm)
        c = nn.ModuleDict({side: judge(spec) for side, spec in sides(data).items()})
        for network in (g, c):
            initialise(network, self.init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.change:
            there.begin_still()
            back.begin_still()
        return g, c


def sides(data: ImageSpec) -> dict[str, ImageSpec]:
    """Both kinds of images, by their key in a batch."""
    assert data.source is not None
    return {"image": data, "source": data.source}


def both_ways(generator: Player, *, chunk: int) -> Generate:
    """Images from sources, and with `Request.reverse` sources from images."""
    there = from_sources(generator, make=lambda network, x, seeds: network(x), chunk=chunk)
    back = from_sources(generator, make=lambda network, x, seeds: network(x, True), chunk=chunk)
    return lambda request: back(request) if request.reverse else there(request)


PRESETS = {
    "paper": CycleGAN(
        batch=1, width=64, blocks=9, critic_layers=3, critic_width=64, jitter=30 / 256, flip=True, init="normal",
        generator_lr=2e-4, critic_lr=2e-4, final_rate=0.0, halflife=0.0, length=200,
    ),
    "tiny": CycleGAN(batch=16, width=4, blocks=1, critic_width=4, history=32, length=1),
}  # fmt: skip
