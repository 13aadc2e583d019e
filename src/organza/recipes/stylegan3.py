"""StyleGAN3: an alias-free generator, in which details move with the objects instead of sticking to pixels.

Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila. "Alias-Free Generative Adversarial Networks", NeurIPS 2021
(arXiv:2106.12423). `equivariance="translation"` is its configuration T, `"rotation"` is R. The critic is StyleGAN2's.

Differs from the paper: any image size, counted from its top left; all turns of a step see the same real batch; R1 is
taken at the images as the critic sees them, augmented and blurred; labels enter the critic as an inner product with its
features; truncation leads to the mean of the class; weights and styles are normalised by demodulation alone. The
margins make small images costly: 10 samples around 16 are five times the work. For pictures below 64 pixels `stylegan2`
is the better choice; the class's defaults are a small one to try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.augment import Augment, Augmentation
from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.resample import Blur
from organza.nets.style import synthesised
from organza.nets.style3 import AliasFreeGenerator, Equivariance
from organza.nets.style_critic import StyleCritic
from organza.penalties import r1
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import constant, cosine


@final
@dataclass(frozen=True, kw_only=True)
class StyleGAN3(Recipe):
    """Alias-free generator, residual critic, lazy R1."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    w_size: int = 64
    """Length of w, what the mapping makes of z."""
    mapping_layers: int = 2
    """Fully connected layers from z to w."""
    mapping_rate: float = 0.01
    """Step size of the mapping, as a share of the generator's."""
    layers: int = 5
    """Layers of the generator between the Fourier features and the image; 14 in the paper."""
    critical: int = 2
    """Layers at the end that use the whole band of the image."""
    margin: int = 4
    """Samples that maps have beyond the image on each side; 10 in the paper. Fewer are faster and leak the border."""
    taps: int = 6
    """Length of the low-pass filters, per sample."""
    equivariance: Equivariance = "translation"
    """What the generator shall commute with; rotation: 1x1 kernels and radial filters, and twice the width."""
    width: int = 16
    """Channels of the generator at the full band, more where it is narrower, in proportion."""
    widest: int = 48
    """Largest number of channels, in both networks."""
    critic_width: int = 24
    """Channels of the critic's largest map; doubled at each halving of the size."""
    patch: int = 2
    """Side of the squares of pixels that the critic handles as one; 1 in the paper."""
    conditional: Conditional = "auto"
    """Whether the mapping takes labels and the critic judges sample and label together; auto: if there are any."""
    decay: float = 0.99
    """Share of the running mean square of a layer's input that a batch leaves as it was; 1: inputs stay as they are."""
    minibatch_std: int = 4
    """Samples among which the critic sees the deviation; 0: none."""
    loss: Literal["nonsaturating", "relativistic", "hinge"] = "relativistic"
    """The game that is played."""
    r1: float = 1.0
    """Weight gamma of the gradient penalty on real samples (gamma / 2 in the loss)."""
    penalty_every: int = 4
    """Steps between turns for r1, each weighted by as much (lazy regularisation)."""
    blur: float = 0.0
    """Deviation, in pixels, of the blur through which the critic sees all images at the start."""
    blur_until: int = 200_000
    """Samples after which the blur has gone."""
    generator_lr: float = 1e-2
    """Adam step size of the generator at the start."""
    critic_lr: float = 2e-2
    """Adam step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    augment: tuple[Augmentation, ...] = ()
    """What the critic's images go through, real and fake alike, so that it cannot learn a small set by heart."""
    augment_share: float = 0.8
    """Probability with which each of them acts on an image; the upper limit where it adapts."""
    augment_target: float = 0.0
    """Mean sign of the real scores to which the share adapts, from 0 on (ADA; 0.6 there); 0: it is constant."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.critical < self.layers:
            raise UsageError(f"critical must be at least 0 and below layers; got {self.critical} and {self.layers}")
        if self.taps < 2 or self.taps % 2:
            raise UsageError(f"taps must be even and above 0, or maps would move by half a sample; got {self.taps}")
        if self.margin < 0 or not 0 <= self.decay <= 1:
            raise UsageError(f"margin must be at least 0, decay from 0 to 1; got {self.margin} and {self.decay}")

    def build(self, data: Spec) -> Game:
        """Two networks, a turn each, and one for the lazy penalty."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        objective = OBJECTIVES[self.loss]
        augment = Augment(data, self.augment, share=constant(self.augment_share), target=self.augment_target)

        def draw(n: int) -> Batch:
            return {"latent": torch.randn(n, self.latent)} | augment.draw(n)

        def label(batch: Batch) -> Tensor | None:
            return batch["label"] if num_classes else None

        def seen(images: Tensor, clock: Clock) -> Tensor:
            """What the critic gets to see: less and less blurred."""
            deviation = self.blur * (1 - clock.samples / self.blur_until)
            reach = int(3 * deviation)
            if reach < 1:
                return images
            taps = (-torch.arange(-reach, reach + 1).square() / (2 * deviation**2)).exp()
            return Blur(taps, before=reach, after=reach).to(images.device)(images)

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            both = seen(torch.cat(augment.pair(batch["image"], g(batch["latent"], label(batch)), batch, clock)), clock)
            twice = torch.cat([batch["label"]] * 2) if num_classes else None
            real_score, fake_score = c(both, twice, 2).chunk(2)
            watch = objective.watch(real_score, fake_score)
            watch |= augment.watch(objective.lead(real_score, fake_score), clock)
            return Loss({self.loss: objective.critic(real_score, fake_score)}, watch=watch)

        def r1_loss(batch: Batch, clock: Clock) -> Loss:
            squared = r1(lambda x: c(x, label(batch)), seen(augment(batch["image"], batch, clock), clock))
            return Loss({"r1": self.penalty_every * self.r1 / 2 * squared})

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = augment.pair(batch["image"], g(batch["latent"], label(batch)), batch, clock)
            fake_score = c(seen(fake, clock), label(batch))
            real_score = c(seen(real, clock), label(batch)) if objective.needs_real else fake_score
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        # A turn for a penalty every k steps makes k + 1 updates where there were k: each is made smaller to match.
        share = self.penalty_every / (self.penalty_every + 1) if self.r1 else 1.0
        generator = self.player(g, self.generator_lr, 1.0, self.halflife)
        critic = self.player(c, self.critic_lr, share, 0.0)
        turns = [Turn("critic", critic, critic_loss, after=augment.adapt(samples=self.batch))]
        if self.r1:
            turns.append(Turn("r1", critic, r1_loss, every=self.penalty_every))
        turns.append(Turn("generator", generator, generator_loss))
        return Game(
            players={"generator": generator, "critic": critic},
            turns=turns,
            generate=from_latents(
                generator,
                self.latent,
                key=data.key,
                num_classes=num_classes,
                decode=lambda x: x.clamp(-1, 1),
                make=synthesised,
                chunk=at_once(data.shape),
            ),
            draw=draw,
            extras={"augment": augment},
        )

    def networks(self, data: ImageSpec, num_classes: int) -> tuple[AliasFreeGenerator, StyleCritic]:
        """Generator and critic."""
        times = 2 if self.equivariance == "rotation" else 1
        g = AliasFreeGenerator(
            data,
            latent=self.latent,
            w_size=self.w_size,
            mapping_layers=self.mapping_layers,
            mapping_rate=self.mapping_rate,
            layers=self.layers,
            critical=self.critical,
            margin=self.margin,
            taps=self.taps,
            equivariance=self.equivariance,
            width=times * self.width,
            widest=times * self.widest,
            decay=self.decay,
            num_classes=num_classes,
        )
        c = StyleCritic(
            data,
            width=self.critic_width,
            widest=self.widest,
            num_classes=num_classes,
            minibatch_std=self.minibatch_std,
            patch=self.patch,
        )
        for network in (g, c):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, c

    def player(self, network: nn.Module, lr: float, share: float, halflife: float) -> Player:
        """A player with a share of the rate, and betas to match."""
        return Player(
            network,
            Adam(network.parameters(), lr * share, betas=(self.betas[0] ** share, self.betas[1] ** share), fused=True),
            lr=cosine(lr * share, lr * share * self.final_rate),
            halflife=halflife or None,
        )


Fields = dict[str, Any]
PAPER: Fields = {
    "latent": 512,
    "w_size": 512,
    "widest": 512,
    "critic_width": 64,
    "patch": 1,
    "layers": 14,
    "margin": 10,
}
GAME: Fields = {"loss": "nonsaturating", "r1": 2.0, "penalty_every": 16, "batch": 32, "length": 360, "halflife": 1e4}
RATES: Fields = {"generator_lr": 2.5e-3, "critic_lr": 2e-3, "final_rate": 1.0, "decay": 0.999}
PRESETS = {
    "t256": StyleGAN3(width=128, **PAPER, **GAME, **RATES),
    "r256": StyleGAN3(equivariance="rotation", width=128, blur=10.0, **PAPER, **GAME, **RATES),
    "tiny": StyleGAN3(latent=8, w_size=8, layers=3, margin=1, width=4, widest=8, critic_width=4, batch=16, length=1),
}
SIDES = {"t256": 256, "r256": 256}
"""Pixels in height and width of the images that these are made for."""
