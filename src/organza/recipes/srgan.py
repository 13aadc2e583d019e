"""SRGAN: a large image from a small one, first with the least error, then so that it looks real.

Ledig, Theis, Huszar, Caballero et al. "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network", CVPR 2017 (arXiv:1609.04802). Wang, Yu, Wu, Gu, Liu, Dong, Qiao, Loy. "ESRGAN", ECCV workshops 2018
(arXiv:1809.00219): dense blocks, relativistic critic, weights between both models. Wang, Xie, Dong, Shan.
"Real-ESRGAN", ICCV workshops 2021 (arXiv:2107.10833): worn sources (the data option `--wear 1`), U-Net critic.

Differs from the papers: any size and scale of `nets.superres`; both stages are one run, whose shares of the budget are
fields; scores are compared in pairs, not with the mean of the batch, so that micro-batches change nothing; the model of
least error is kept beside the other, so that every strength between them can be asked for after training; no sharpened
targets; and see `nets.superres`. The class's defaults are for small images and a few minutes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import l1_loss

from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError
from organza.game import Batch, Clock, Game, Generate, Loss, Player, Request, Shared, Turn
from organza.inference import at_once, from_sources
from organza.losses import OBJECTIVES
from organza.nets.layers import Init, initialise
from organza.nets.residual import MapNorm
from organza.nets.spectral import advance, spectrally_normed
from organza.nets.superres import FACTORS, Skip, SuperResolver, UNetCritic, VGGCritic, rrdb, srresnet
from organza.schedules import cosine, linear
from organza.translation import COLUMNS, Compared

HALFWAY = 0.1
"""Share of the step size that is left at the end of pretraining."""


@final
@dataclass(frozen=True, kw_only=True)
class SRGAN(Compared):
    """A generator that doubles and triples, taught by pixels at first, then by a critic and a perceptual network."""

    pairs: ClassVar[str] = "small"
    smallest: ClassVar[int] = 8

    batch: int = 16
    """Pairs per step, over all ranks."""
    generator: Literal["srresnet", "rrdb"] = "srresnet"
    """Plain residual blocks (SRGAN) or dense ones in residual ones (ESRGAN)."""
    width: int = 32
    """Channels of the generator's maps."""
    blocks: int = 6
    """Residual blocks, or of ESRGAN's blocks of three dense ones."""
    growth: int = 16
    """Channels that each layer of a dense block adds."""
    generator_norm: MapNorm = "none"
    """Norm of plain residual blocks; batch norm, as in the first paper, is known to leave artefacts."""
    kernel: int = 3
    """Of the first and the last convolution of the plain generator."""
    skip: Skip = "bicubic"
    """What the generator's output is added to: the source enlarged by a filter, or nothing."""
    critic: Literal["vgg", "unet"] = "vgg"
    """One score for an image (SRGAN), or one for each pixel with spectral norm (Real-ESRGAN)."""
    critic_width: int = 16
    """Channels of the critic's first layer, doubled at each further one."""
    critic_depth: int = 4
    """Halvings of the critic, at most."""
    critic_norm: MapNorm = "none"
    """Norm of the critic without spectral norm."""
    pretrain: float = 0.5
    """Share of the budget that is spent on the least absolute error alone."""
    pretrain_lr: float = 2e-3
    """Adam step size of the generator at the start of it; it falls to a tenth."""
    l1: float = 0.1
    """Weight of the mean absolute difference of pixels afterwards."""
    adversarial: float = 0.005
    """Weight of the game in the generator's loss; 0: no critic."""
    loss: Literal["nonsaturating", "minimax", "relativistic", "least_squares", "hinge"] = "relativistic"
    """The game that is played with the scores."""
    init: Init = "default"
    """How weights are drawn at the start; the generator's last convolution begins at 0."""
    generator_lr: float = 5e-4
    """Adam step size of the generator after pretraining."""
    critic_lr: float = 5e-4
    """Adam step size of the critic."""
    decay_from: float = 0.75
    """Share of the budget after which step sizes fall in a straight line."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Adam's decay rates of the first and second moment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.l1 + self.adversarial + (self.perceptual_weight if self.is_compared else 0):
            raise UsageError("l1, adversarial and perceptual_weight are all 0, or compare nothing: nothing to learn")
        if self.kernel % 2 == 0:
            raise UsageError(f"kernel must be odd, so that images keep their size; got {self.kernel}")

    def check_sources(self, data: ImageSpec, source: ImageSpec | None) -> None:
        """Refuse images that come from nothing, or from ones that are not smaller by a factor that can be made."""
        if source is None or not data.is_paired:
            super().check_sources(data, source)
        elif scale_of(data) not in FACTORS:
            raise DataError(
                f"SRGAN enlarges {', '.join(f'x{one}' for one in FACTORS if one > 1)}, and here "
                f"{source.width}x{source.height} pixels are to become {data.width}x{data.height}: bring them to sizes "
                "that fit, or take single images and --scale 4"
            )

    def build(self, data: Spec) -> Game:
        """Two networks; pixels at first, then one turn each, which share the pass of the generator."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        g, c = self.networks(data)
        objective, unlike = OBJECTIVES[self.loss], self.unlikeness(data)
        best = copy.deepcopy(g).requires_grad_(False)  # the model of least error

        def seen(batch: Batch) -> tuple[Tensor, Tensor]:
            """The image, and what is made of its source."""
            batch = self.moved(batch)
            return batch["image"], shared(batch["source"], key=batch["jitter"]).float()

        def pretraining_loss(batch: Batch, clock: Clock) -> Loss:
            image, fake = seen(batch)
            return Loss({"l1": l1_loss(fake, image)}, watch={"l1_distance": error(fake, image)})

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            image, fake = seen(batch)
            real_score, fake_score = (c(x).view(len(image), -1) for x in (image, fake.detach()))
            watch = objective.watch(real_score.mean(1), fake_score.mean(1))
            return Loss({self.loss: objective.critic(real_score, fake_score)}, watch=watch)

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            image, fake = seen(batch)
            terms = {"l1": self.l1 * l1_loss(fake, image)} if self.l1 else {}
            if self.is_compared:
                terms["perceptual"] = unlike(fake, image)
            if self.adversarial:
                with torch.no_grad():
                    real_score = c(image) if objective.needs_real else image.new_zeros(())
                terms[self.loss] = self.adversarial * objective.generator(real_score, c(fake))
            return Loss(terms, watch={"l1_distance": error(fake, image)})

        first = cosine(self.pretrain_lr, HALFWAY * self.pretrain_lr, finish=self.pretrain)
        then = linear(self.generator_lr, self.generator_lr * self.final_rate, begin=self.decay_from)
        generator = self.player(
            g, self.generator_lr, self.halflife, rate=lambda at: (first if at.progress < self.pretrain else then)(at)
        )
        critic, shared = self.player(c, self.critic_lr, 0.0), Shared(generator)

        def keep(means: dict[str, Tensor]) -> None:
            best.load_state_dict(generator.averaged.state_dict())

        def power_step(means: dict[str, Tensor]) -> None:
            advance(c)

        turns = [Turn("pretraining", generator, pretraining_loss, end=self.pretrain, after=keep)]
        if self.adversarial:
            turns.append(Turn("critic", critic, critic_loss, begin=self.pretrain, after=power_step))
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[*turns, Turn("generator", generator, generator_loss, begin=self.pretrain, same_noise=True)],
            generate=between(generator, best if self.pretrain else None, chunk=at_once(data.shape)),
            draw=lambda n: {"jitter": torch.rand(n, COLUMNS)},
            extras={"least_error": best} if self.pretrain else {},
            weakens=self.pretrain > 0,
        )

    def networks(self, data: ImageSpec) -> tuple[SuperResolver, nn.Module]:
        """Generator and critic."""
        shared = {"scale": scale_of(data), "width": self.width, "blocks": self.blocks, "skip": self.skip}
        if self.generator == "rrdb":
            g = rrdb(data.channels, growth=self.growth, **shared)
        else:
            g = srresnet(data.channels, norm=self.generator_norm, kernel=self.kernel, **shared)
        initialise(g, self.init)
        for parameter in g.end.parameters():
            nn.init.zeros_(parameter)  # so that it begins with the filter that it adds to
        if self.critic == "unet":
            c = UNetCritic(data.channels, width=self.critic_width, depth=self.critic_depth)
            spectrally_normed(initialise(c, self.init), skip=[c.first, c.last])
        else:
            c = VGGCritic(data, width=self.critic_width, stages=self.critic_depth, norm=self.critic_norm)
            initialise(c, self.init)
        for network in (g, c):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, c


def scale_of(data: ImageSpec) -> int:
    """How many times as large as its source an image is; 0 if by no whole factor."""
    assert data.source is not None
    scale = data.height // data.source.height
    return scale if (data.height, data.width) == (scale * data.source.height, scale * data.source.width) else 0


def error(fake: Tensor, image: Tensor) -> Tensor:
    """The mean absolute difference of each sample, (N,)."""
    return (fake.detach() - image).abs().flatten(1).mean(1)


def between(generator: Player, best: nn.Module | None, *, chunk: int) -> Generate:
    """Images from sources, by weights between the model of least error and that which looks real.

    Source: Wang et al. 2018 (arXiv:1809.00219), section 3.4.
    """

    def generate(request: Request) -> Batch:
        share = request.strength
        if best is None or share == 1:
            return from_sources(generator, make=lambda network, x, seeds: network(x), chunk=chunk)(request)
        low, high = best.state_dict(), generator.averaged.state_dict()
        mixed = {name: low[name].lerp(one, share) if one.is_floating_point() else one for name, one in high.items()}

        def make(network: nn.Module, source: Tensor, seeds: Tensor) -> Tensor:
            return functional_call(network, mixed, (source,))

        return from_sources(generator, make=make, chunk=chunk)(request)

    return generate


PAPER = {
    "width": 64, "skip": "none", "critic_width": 64, "critic_depth": 5, "critic_norm": "batch", "pretrain_lr": 1e-4,
    "generator_lr": 1e-4, "critic_lr": 1e-4, "final_rate": 0.1, "flip": True,
    "perceptual": "vgg19", "perceptual_layers": ("conv5_4",), "init": "he", "betas": (0.9, 0.999), "length": 100.0,
}  # fmt: skip
PRESETS = {
    "paper": SRGAN(
        **PAPER | {"blocks": 16, "generator_norm": "batch", "kernel": 9, "l1": 0.0, "adversarial": 1e-3},
        loss="nonsaturating",
    ),
    "esrgan": SRGAN(**PAPER | {"generator": "rrdb", "blocks": 23, "growth": 32, "l1": 0.01, "pretrain_lr": 2e-4}),
    "real": SRGAN(
        **PAPER | {
            "generator": "rrdb", "blocks": 23, "growth": 32, "l1": 1.0, "adversarial": 0.1, "pretrain_lr": 2e-4,
            "critic": "unet", "critic_depth": 3, "loss": "nonsaturating",
            "perceptual_layers": ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"),
            "perceptual_layer_weights": (0.1, 0.1, 1.0, 1.0, 1.0),
        }
    ),
    "photos": SRGAN(width=48, blocks=8, flip=True),
    "tiny": SRGAN(batch=16, width=4, blocks=1, critic_width=4, critic_depth=2, perceptual="digits", length=1),
}  # fmt: skip
DATA = {"real": {"wear": 1.0}}
