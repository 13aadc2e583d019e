"""StyleGAN2, and with `style="adain"` the layers of the first StyleGAN: images by way of a learned latent space W.

Karras, Laine, Aittala, Hellsten, Lehtinen, Aila. "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020
(arXiv:1912.04958). Karras, Laine, Aila. "A Style-Based Generator Architecture for Generative Adversarial Networks",
CVPR 2019 (arXiv:1812.04948). Labels and the presets `paper256` and `cifar`: Karras et al. 2020 (arXiv:2006.06676),
whose adaptive augmentation (ADA) is `augment` with a target; without, as in the presets, there is none.

Differs from the papers: any image size, the smallest map of 4 to 7 pixels; all turns of a step see the same real batch;
R1 is taken at the images as the critic sees them, after augmentation; path lengths are measured on the whole batch,
against the running mean before the step; labels enter the critic as an inner product with its features; truncation
leads to the mean of the class, the sample's noise is fixed after training; `adain` has no progressive growing. The
batch's deviation couples `minibatch_std` neighbours, so micro-batches should be multiples of it. The class's defaults
are for small images and a few minutes: the papers' step sizes, for millions of images, hardly move equalised weights by
then.
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
from organza.nets.style import MovingAverage, Style, StyleGenerator, synthesised
from organza.nets.style_critic import StyleCritic
from organza.noise import seeded_noise
from organza.penalties import path_lengths, r1
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import constant, cosine


@final
@dataclass(frozen=True, kw_only=True)
class StyleGAN2(Recipe):
    """Style-based generator, residual critic, lazy R1 and path length regularisation."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)

    batch: int = 32
    """Real samples per step, over all ranks."""
    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    w_size: int = 64
    """Length of w, what the mapping makes of z."""
    mapping_layers: int = 2
    """Fully connected layers from z to w."""
    mapping_rate: float = 0.01
    """Step size of the mapping, as a share of the generator's; near 1 it soon maps a class to three dimensions of W."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size."""
    widest: int = 64
    """Largest number of channels."""
    patch: Literal[1, 2] = 2
    """2: the largest maps have half the height and width of the image, several times faster; 1 in the papers."""
    output: Literal["linear", "tanh"] = "tanh"
    """What the generator's pixels go through; linear in the papers, where what leaves [-1, 1] is cut."""
    conditional: Conditional = "auto"
    """Whether the mapping takes labels and the critic judges sample and label together; auto: if there are any."""
    style: Style = "modulate"
    """How w acts: it modulates convolutions (StyleGAN2) or sets mean and scale of their output (StyleGAN)."""
    noise: bool = True
    """Whether pixels get noise of learned strength."""
    mixing: float = 0.0
    """Share of the samples whose later layers get the style of another latent; 0.9 in the papers."""
    residual: bool = True
    """Whether the critic's blocks have skip connections."""
    minibatch_std: int = 4
    """Samples among which the critic sees the deviation; 0: none."""
    loss: Literal["nonsaturating", "relativistic", "hinge"] = "relativistic"
    """The game that is played; nonsaturating in the papers."""
    r1: float = 1.0
    """Weight gamma of the gradient penalty on real samples (gamma / 2 in the loss)."""
    penalty_every: int = 4
    """Steps between turns for r1, each weighted by as much (lazy regularisation); 16 in the papers."""
    path_length: float = 0.0
    """Weight of the path length penalty; 2 in the paper."""
    path_every: int = 4
    """Steps between turns for it, each weighted by as much."""
    path_decay: float = 0.01
    """By how much each such turn moves the mean path length."""
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
    ramp: float | None = 0.05
    """The half-life is at most this share of the samples seen; None: the half-life as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch not in (1, 2):
            raise UsageError(f"patch must be 1 or 2; got {self.patch}")

    def build(self, data: Spec) -> Game:
        """Two networks, a turn each, and a turn each for their lazy penalties."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        objective, mean_length = OBJECTIVES[self.loss], MovingAverage(self.path_decay)
        augment = Augment(data, self.augment, share=constant(self.augment_share), target=self.augment_target)
        pixels = data.height * data.width

        def draw(n: int) -> Batch:
            cut = torch.randint(1, g.num_ws, (n,))
            return {
                "latent": torch.randn(n, self.latent),
                "other": torch.randn(n, self.latent),
                "crossover": torch.where(torch.rand(n) < self.mixing, cut, g.num_ws),
                "seed": torch.randint(2**31, (n,)),
            } | augment.draw(n)

        def label(batch: Batch) -> Tensor | None:
            return batch["label"] if num_classes else None

        def make(batch: Batch) -> Tensor:
            return g(batch["latent"], label(batch), batch["seed"], batch["other"], batch["crossover"])

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            both = torch.cat(augment.pair(batch["image"], make(batch), batch, clock))
            twice = torch.cat([batch["label"]] * 2) if num_classes else None
            real_score, fake_score = c(both, twice, 2).chunk(2)
            watch = objective.watch(real_score, fake_score)
            watch |= augment.watch(objective.lead(real_score, fake_score), clock)
            return Loss({self.loss: objective.critic(real_score, fake_score)}, watch=watch)

        def r1_loss(batch: Batch, clock: Clock) -> Loss:
            squared = r1(lambda x: c(x, label(batch)), augment(batch["image"], batch, clock))
            return Loss({"r1": self.penalty_every * self.r1 / 2 * squared})

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = augment.pair(batch["image"], make(batch), batch, clock)
            fake_score = c(fake, label(batch))
            real_score = c(real, label(batch)) if objective.needs_real else fake_score
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        def path_loss(batch: Batch, clock: Clock) -> Loss:
            seeds = batch["seed"]
            w = g.mapping(batch["latent"], label(batch))
            noise = seeded_noise(seeds, data.channels * pixels, stream=g.num_ws).view(-1, *data.shape)
            lengths = path_lengths(lambda w: g.synthesis(w, seeds), w, noise / pixels**0.5)
            off = (lengths - mean_length.value).square().mean()
            return Loss({"path_length": self.path_every * self.path_length * off}, watch={"path_length": lengths})

        def move_mean_length(watched: dict[str, Tensor]) -> None:
            mean_length.update(watched["path_length"])

        # A turn for a penalty every k steps makes k + 1 updates where there were k: each is made smaller to match.
        generator = self.player(g, self.generator_lr, self.path_every if self.path_length else None, self.halflife)
        critic = self.player(c, self.critic_lr, self.penalty_every if self.r1 else None, 0.0)
        turns = [Turn("critic", critic, critic_loss, after=augment.adapt(samples=self.batch))]
        if self.r1:
            turns.append(Turn("r1", critic, r1_loss, every=self.penalty_every))
        turns.append(Turn("generator", generator, generator_loss))
        if self.path_length:
            turns.append(Turn("path_length", generator, path_loss, every=self.path_every, after=move_mean_length))
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
            extras={"augment": augment, **({"path_length": mean_length} if self.path_length else {})},
        )

    def networks(self, data: ImageSpec, num_classes: int) -> tuple[StyleGenerator, StyleCritic]:
        """Generator and critic."""
        shape = {"width": self.width, "widest": self.widest, "patch": self.patch, "num_classes": num_classes}
        mapping = {"mapping_layers": self.mapping_layers, "mapping_rate": self.mapping_rate}
        g = StyleGenerator(
            data,
            latent=self.latent,
            w_size=self.w_size,
            style=self.style,
            has_noise=self.noise,
            is_bounded=self.output == "tanh",
            **mapping,
            **shape,
        )
        c = StyleCritic(data, minibatch_std=self.minibatch_std, is_residual=self.residual, **shape)
        for network in (g, c):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return g, c

    def player(self, network: nn.Module, lr: float, every: int | None, halflife: float) -> Player:
        """A player whose rate and betas allow for a lazy penalty: with share = k / (k + 1), lr share and beta^share."""
        share = 1.0 if every is None else every / (every + 1)
        betas = (self.betas[0] ** share, self.betas[1] ** share)
        return Player(
            network,
            Adam(network.parameters(), lr * share, betas=betas, fused=True),
            lr=cosine(lr * share, lr * share * self.final_rate),
            halflife=halflife or None,
            ramp=self.ramp,
        )


Fields = dict[str, Any]
PAPER: Fields = {"latent": 512, "w_size": 512, "widest": 512, "patch": 1, "output": "linear"}
GAME: Fields = {"loss": "nonsaturating", "penalty_every": 16}
RATES: Fields = {"generator_lr": 2.5e-3, "critic_lr": 2.5e-3, "final_rate": 1.0, "batch": 64}
LIGHT: Fields = {"width": 512, "mixing": 0.0, "residual": False, "minibatch_std": 32, "r1": 0.01}
HEAVY: Fields = {"width": 64, "mixing": 0.9, "mapping_layers": 8, "minibatch_std": 8, "r1": 1.0, "path_length": 2.0}
PRESETS = {
    "paper256": StyleGAN2(halflife=2e4, ramp=None, length=360, **PAPER, **GAME, **RATES, **HEAVY),
    "cifar": StyleGAN2(halflife=5e5, length=2000, **PAPER, **GAME, **RATES, **LIGHT),
    "tiny": StyleGAN2(latent=8, w_size=8, width=4, widest=8, path_length=2.0, mixing=0.9, batch=16, length=1),
}
SIDES = {"paper256": 256, "cifar": 32}
"""Pixels in height and width of the images that these are made for."""
