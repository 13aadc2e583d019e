"""Progressive GAN: both networks begin with tiny images, and layers for finer ones are faded in while they train.

Karras, Aila, Laine, Lehtinen. "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018
(arXiv:1710.10196); its settings are the presets `cifar10` and `celebahq`.

Differs from the paper: the schedule is in shares of the budget, not in images; the batch is the same at every level;
Adam goes on over the levels; labels enter by an embedding and a projection (Miyato and Koyama 2018, arXiv:1802.05637),
not by an auxiliary classifier; where the smallest map is not 4x4 (see `nets.conv`) the last convolution of the critic
is a dense layer from what it is. The defaults are for small images and minutes on a CPU: narrow, one convolution per
level, and another loss than WGAN-GP.

The level is a function of the clock, which every loss hands to both networks as a number, so that `torch.compile`
makes one graph per size. The generator also keeps it in a buffer: what it then makes by itself, averaged, saved or
loaded, is the image of that level, in full size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Schedule, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.growing import GrowingCritic, GrowingGenerator, shown, sizes
from organza.penalties import interpolated_gradient, r1
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class ProGAN(Recipe):
    """Networks that grow with the images, from 4 pixels or so on a side to the full size."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)

    batch: int = 32
    """Real samples per step, over all ranks."""
    latent: int = 64
    """Length of the latent vector z ~ N(0, I), which the generator normalises."""
    width: int = 8
    """Channels of the largest maps; doubled at each level below."""
    widest: int = 128
    """Channels of any map, at most."""
    depth: int = 1
    """Convolutions per level, at the smallest the dense layer being one; 2 in the paper."""
    output: Literal["linear", "tanh"] = "tanh"
    """What the generator's pixels go through; linear in the paper, where what leaves [-1, 1] is cut."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges image and label together; auto: if there are any."""
    growing: float = 0.3
    """Share of the budget before the last level begins, the same for each level before it; 0: full size at once."""
    fade: float = 0.5
    """Share of a level's time in which it is faded in; the last level takes no longer for it than the others."""
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """The game that is played; the paper's is wasserstein with `gradient_penalty` and `drift`."""
    gradient_penalty: float = 0.0
    """Weight lambda of the gradient penalty of WGAN-GP, between real and fake images."""
    slope: float = 1.0
    """The gradient norm that `gradient_penalty` holds the critic to; the penalty is divided by its square."""
    drift: float = 0.0
    """Weight of the mean square of the scores of real images, which keeps them near 0."""
    r1: float = 0.1
    """Weight gamma of the gradient penalty on real images (gamma / 2 in the loss)."""
    penalty_every: int = 4
    """Steps between gradient penalties, each weighted by as much (lazy regularisation)."""
    minibatch_std: int = 4
    """Samples whose deviation the critic sees (minibatch standard deviation); couples them. 0: none."""
    critic_repeats: int = 1
    """Critic updates per generator update."""
    generator_lr: float = 2e-2
    """Adam step size of the generator at the start."""
    critic_lr: float = 2e-2
    """Adam step size of the critic at the start."""
    final_rate: float = 0.1
    """Share of the step sizes that is left at the end, after half a cosine over the last level; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "wasserstein" and not self.gradient_penalty:
            raise UsageError(
                "loss wasserstein needs a bounded slope, so gradient_penalty must be above 0 (the paper: 10)"
            )

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        num_classes, levels = known_classes(data, self.conditional), len(sizes(data))
        g, c = self.networks(data, num_classes)
        objective, plan = OBJECTIVES[self.loss], growth(levels, growing=self.growing, fade=self.fade)

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent)}
            return noise | ({"mix": torch.rand(n)} if self.gradient_penalty else {})

        def labels(batch: Batch, times: int = 1) -> list[Tensor]:
            return [torch.cat([batch["label"]] * times)] if num_classes else []

        def sides(batch: Batch, clock: Clock) -> tuple[Tensor, Tensor, float]:
            level = g.grow(plan(clock))
            real = shown(batch[data.key], level, levels=levels)
            return real, g(batch["latent"], *labels(batch), level=level).to(real.dtype), level

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake, level = sides(batch, clock)
            score = c(torch.cat([real, fake]), *labels(batch, 2), level=level, sets=2)
            real_score, fake_score = score.chunk(2)
            terms = {self.loss: objective.critic(real_score, fake_score)}
            if self.drift:
                terms["drift"] = self.drift * real_score.square().mean()

            def judge(x: Tensor) -> Tensor:
                return c(x, *labels(batch), level=level)

            if clock.step % self.penalty_every == 0 and self.gradient_penalty:
                slope = interpolated_gradient(judge, real, fake, batch["mix"], target=self.slope)
                terms["gradient_penalty"] = self.penalty_every * self.gradient_penalty / self.slope**2 * slope
            if clock.step % self.penalty_every == 0 and self.r1:
                terms["r1"] = self.penalty_every * self.r1 / 2 * r1(judge, real)
            return Loss(terms, watch=objective.watch(real_score, fake_score))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake, level = sides(batch, clock)
            fake_score = c(fake, *labels(batch), level=level)
            real_score = c(real, *labels(batch), level=level) if objective.needs_real else fake_score
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        generator = Player(
            g,
            Adam(g.parameters(), self.generator_lr, betas=self.betas, fused=True),
            lr=cosine(self.generator_lr, self.generator_lr * self.final_rate, begin=self.growing),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            Adam(c.parameters(), self.critic_lr, betas=self.betas, fused=True),
            lr=cosine(self.critic_lr, self.critic_lr * self.final_rate, begin=self.growing),
        )
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=self.critic_repeats),
                Turn("generator", generator, generator_loss),
            ],
            generate=from_latents(
                generator,
                self.latent,
                key=data.key,
                num_classes=num_classes,
                decode=lambda x: x.clamp(-1, 1),
                chunk=at_once(data.shape),
            ),
            draw=draw,
        )

    def networks(self, data: ImageSpec, num_classes: int) -> tuple[GrowingGenerator, GrowingCritic]:
        """A generator of full size, with its own level at 0, and a critic for all levels."""
        shape = {"width": self.width, "widest": self.widest, "depth": self.depth, "num_classes": num_classes}
        last = nn.Tanh() if self.output == "tanh" else nn.Identity()
        g = GrowingGenerator(data, latent=self.latent, embedding=32, last=last, **shape)
        c = GrowingCritic(data, group=self.minibatch_std, **shape)
        for network in (g, c):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, c


def growth(levels: int, *, growing: float, fade: float) -> Schedule:
    """The level, from 0 to levels - 1: each takes its time, the first part of which it is faded in; see `ProGAN`."""
    last = levels - 1
    time = growing / last  # of each level before the last

    def level(clock: Clock) -> float:
        if growing == 0:
            return float(last)
        newest = min(int(clock.progress / time), last)
        if newest == 0:
            return 0.0
        fading = fade * (min(time, 1 - growing) if newest == last else time)
        return newest - 1 + (min((clock.progress - newest * time) / fading, 1.0) if fading else 1.0)

    return level


PAPER = ProGAN(
    latent=512,
    widest=512,
    depth=2,
    output="linear",
    conditional="no",
    loss="wasserstein",
    gradient_penalty=10.0,
    drift=1e-3,
    r1=0.0,
    penalty_every=1,
    generator_lr=1e-3,
    critic_lr=1e-3,
    final_rate=1.0,
    halflife=1.1e4,
    batch=16,
)
PRESETS = {
    # 1024x1024: 16 channels at full size, 512 up to 32x32; 12 million images, 1.2 for each level before the last.
    "celebahq": replace(PAPER, width=16, growing=0.8, length=400.0),
    # 32x32: 512 channels everywhere, and a slope that favours fast transitions between the modes.
    "cifar10": replace(PAPER, width=512, slope=750.0, growing=0.3, length=240.0),
    "tiny": ProGAN(latent=8, width=4, widest=8, batch=16, length=1),
}
SIDES = {"celebahq": 1024, "cifar10": 32}
"""Pixels in height and width of the images that these are made for."""
