"""R3GAN: relativistic pairs, two gradient penalties and plain residual networks, and nothing else.

Huang, Gokaslan, Kuleshov, Tompkin. "The GAN is dead; long live the GAN! A modern baseline GAN", NeurIPS 2024
(arXiv:2501.05441). The presets `cifar10` and `ffhq256` hold its published widths, weights and rates.

Differs from the paper: every schedule runs over the whole budget, where the paper's end after 20 million images; both
turns of a step see the same real batch; the penalties are taken at the images as the critic sees them, after
augmentation, and both images of a pair are augmented alike; the augmentations are those of `augment.py`. The class's
defaults, which are the preset `fast`, are for minutes: narrow networks that work on 2 x 2 pixels as one place, dense
first and last layers, pixels through tanh after a pixel norm, penalties every fourth step whose weight keeps the
critic's loss at a target, both turns on the same fakes, twenty-five times the paper's rates. Points (the toys) get the
fully connected pair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.augment import Augment, Augmentation
from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Shared, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.pair import plain_pair
from organza.nets.r3 import Ends, Layers, Output, Plan, R3Critic, R3Generator, Resize, renormalise
from organza.penalties import PenaltyMode, Tightness, score_and_squared_gradient, squared_slope
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import cosine, fading

GAME = OBJECTIVES["relativistic"]


@final
@dataclass(frozen=True, kw_only=True)
class R3GAN(Recipe):
    """Residual blocks without norms, a regularised relativistic loss, schedules over the whole budget."""

    added: ClassVar[dict[str, Any]] = {"penalty_target": 0.0}

    latent: int = 32
    """Length of the latent vector z ~ N(0, I)."""
    width: int = 16
    """Channels of the largest map, doubled towards smaller ones."""
    widest: int = 32
    """At most so many channels."""
    blocks: int = 1
    """Residual blocks per size of the maps."""
    expansion: float = 1.0
    """Hidden channels of a block for each of its channels."""
    block_gain: float = 0.5
    """Of each block's last layer at the start; 0: blocks begin as the identity."""
    group: int = 0
    """Channels per group of the 3x3 convolutions; 0: dense."""
    base: int = 7
    """The shorter side of the smallest map is at most this."""
    patch: int = 2
    """Pixels per place of the largest map, in each direction: 1 works at full resolution."""
    overlap: bool = True
    """Whether the first and the last convolution see twice as many pixels per place, so that neighbours overlap."""
    layers: Layers = "fixup"
    """How activations keep their size: by the initial weights, or by weights of unit length at all times."""
    resampling: Resize = "smooth"
    """Filter of the resampling: 1 2 1, or 2 x 2 averages."""
    ends: Ends = "dense"
    """The generator's first and the critic's last layer: one learned map per channel, or dense."""
    output: Output = "tanh"
    """What the generator's pixels go through: nothing, or tanh, for data with much pure black and white."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    r1: float = 0.1
    """Weight gamma of the gradient penalty on real samples at the start (gamma / 2 in the loss)."""
    r2: float = 0.1
    """The same on fake samples."""
    final_penalty: float = 1.0
    """Share of r1 and r2 that is left at the end, after half a cosine over the budget."""
    penalty_target: float = 0.62
    """Mean loss of the critic of images, below log 2 (0.693), that both weights adapt to; 0: they do not."""
    penalty: PenaltyMode = "exact"
    """exact (second derivatives) or finite_difference (noisier, and no faster on a CPU)."""
    penalty_every: int = 4
    """Steps between penalties, each weighted by as much."""
    epsilon: float = 0.05
    """Step of the finite difference."""
    reuse: bool = True
    """The generator is judged by the very fakes that the critic has just learned from: saves making others."""
    augment: tuple[Augmentation, ...] = ()
    """What the critic's images go through, real and fake of a pair alike."""
    augment_share: float = 0.5
    """Probability of each at the end, from 0 at the start along half a cosine; the upper limit where it adapts."""
    augment_target: float = 0.0
    """Mean sign of the real scores to which the share adapts instead (ADA; 0.6 there)."""
    generator_lr: float = 5e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 5e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.1
    """Share of the step sizes that is left at the end, after half a cosine over the budget."""
    rate_samples: float = 4e4
    """Samples after which the step sizes also fall as one over the root of the samples seen; 0: never."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Adam's decay rates of the first and second moment at the start."""
    final_beta2: float = 0.99
    """Decay rate of the second moment at the end."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks < 1:
            raise UsageError(f"blocks must be above 0; got {self.blocks}")
        if self.overlap and self.layers == "magnitude":
            raise UsageError("layers magnitude has no patches that overlap: set overlap to no (--no-overlap)")
        if self.widest < self.width:
            raise UsageError(f"widest must be at least width; got widest {self.widest} and width {self.width}")

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each."""
        self.check(data)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        gammas, decay = (self.r1, self.r2), cosine(1.0, self.final_penalty)
        share = cosine(0.0, self.augment_share)
        augment = Augment(data, self.augment, share=share, target=self.augment_target)
        tightness = Tightness(self.penalty_target if any(gammas) and isinstance(data, ImageSpec) else 0.0)

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent)} | augment.draw(n)
            if any(gammas) and self.penalty == "finite_difference":
                noise["slope"] = torch.randn(n, 2, *data.shape)
            return noise

        def labels(batch: Batch, times: int = 1) -> list[Tensor]:
            return [torch.cat([batch["label"]] * times)] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            fake = make(batch["latent"], *labels(batch)).detach()
            real, fake = augment.pair(batch[data.key], fake, batch, clock)
            both, terms = torch.cat([real, fake.to(real.dtype)]), {}
            is_penalised = any(gammas) and clock.step % self.penalty_every == 0
            if is_penalised and self.penalty == "exact":  # one forward pass for the loss and its penalties
                score, slopes = score_and_squared_gradient(lambda x: c(x, *labels(batch, 2)), both)
            else:
                score, slopes = c(both, *labels(batch, 2)), both[:0]
            if is_penalised and self.penalty == "finite_difference":
                noise = batch["slope"].transpose(0, 1).flatten(0, 1)
                slopes = squared_slope(lambda x: c(x, *labels(batch, 2)), both, noise, epsilon=self.epsilon)
            if is_penalised:
                scale = tightness.factor * self.penalty_every * decay(clock) / 2
                sides = zip(gammas, slopes.chunk(2), strict=True)
                terms = {f"r{i}": scale * gamma * slope.mean() for i, (gamma, slope) in enumerate(sides, 1) if gamma}
            real_score, fake_score = score.chunk(2)
            watch = GAME.watch(real_score, fake_score) | tightness.watch(real_score, fake_score)
            return Loss(
                {"relativistic": GAME.critic(real_score, fake_score)} | terms,
                watch=watch | augment.watch(real_score - fake_score, clock),
            )

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = augment.pair(batch[data.key], make(batch["latent"], *labels(batch)), batch, clock)
            real_score, fake_score = c(torch.cat([real, fake.to(real.dtype)]), *labels(batch, 2)).chunk(2)
            return Loss({"relativistic": GAME.generator(real_score, fake_score)})

        generator, critic = self.player(g, self.generator_lr, self.halflife), self.player(c, self.critic_lr, 0.0)
        make = Shared(generator) if self.reuse else g

        adapting = [adapt for part in (augment, tightness) if (adapt := part.adapt(samples=self.batch))]

        def after_critic(means: dict[str, Tensor]) -> None:
            renormalise(c)
            for adapt in adapting:
                adapt(means)

        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, after=after_critic),
                Turn("generator", generator, generator_loss, same_noise=self.reuse, after=lambda _: renormalise(g)),
            ],
            generate=from_latents(
                generator,
                self.latent,
                key=data.key,
                num_classes=num_classes,
                decode=(lambda x: x.clamp(-1, 1)) if isinstance(data, ImageSpec) else None,
                chunk=at_once(data.shape),
            ),
            draw=draw,
            extras={"augment": augment, "tightness": tightness},
        )

    def player(self, network: nn.Module, lr: float, halflife: float) -> Player:
        """A network with Adam and the schedules of the paper."""
        return Player(
            network,
            Adam(network.parameters(), lr, betas=self.betas, fused=True),
            lr=fading(cosine(lr, lr * self.final_rate), samples=self.rate_samples),
            beta2=cosine(self.betas[1], self.final_beta2),
            halflife=halflife or None,
        )

    def networks(self, data: Spec, num_classes: int) -> tuple[nn.Module, nn.Module]:
        """Generator and critic for images or points."""
        if not isinstance(data, ImageSpec):
            return plain_pair(
                data, latent=self.latent, width=self.width, num_classes=num_classes, generator_norm="none"
            )
        plan = Plan(
            data=data, width=self.width, widest=self.widest, blocks=self.blocks, expansion=self.expansion,
            block_gain=self.block_gain, group=self.group, base=self.base, patch=self.patch, overlap=self.overlap,
            kind=self.layers, resize=self.resampling, ends=self.ends, output=self.output,
        )  # fmt: skip
        networks = (
            R3Generator(plan, latent=self.latent, num_classes=num_classes),
            R3Critic(plan, num_classes=num_classes),
        )
        for network in networks:
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return networks


PAPER = R3GAN(
    latent=64, expansion=2.0, block_gain=0.0, group=16, base=4, patch=1, overlap=False, blocks=2, ends="basis",
    output="linear", final_penalty=0.1, penalty_target=0.0, penalty_every=1, reuse=False, generator_lr=2e-4,
    critic_lr=2e-4, final_rate=0.25, rate_samples=0.0,
)  # fmt: skip
"""What all published settings share."""
PRESETS = {
    "fast": R3GAN(),
    "cifar10": replace(
        PAPER, width=768, widest=768, r1=0.05, r2=0.05, batch=512, halflife=5e6, length=5000,
        augment=("geometry", "color", "hue", "invert", "cutout"), augment_share=0.55,
    ),
    "ffhq256": replace(
        PAPER, width=96, widest=768, r1=150.0, r2=150.0, batch=256, halflife=5e5, length=350,
        augment=("geometry", "color", "hue", "invert", "cutout"), augment_share=0.3,
    ),
    "toy": R3GAN(
        conditional="no", latent=2, final_penalty=0.0002, penalty_target=0.0, penalty_every=8, generator_lr=4e-3,
        critic_lr=4e-3, final_rate=0.01, rate_samples=0.0, batch=512,
    ),
    "tiny": R3GAN(latent=8, width=8, widest=8, group=4, batch=16, length=1),
}  # fmt: skip
SIDES = {"cifar10": 32, "ffhq256": 256}
"""Pixels in height and width of the images that these are made for."""
