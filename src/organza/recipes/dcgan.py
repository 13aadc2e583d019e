"""DCGAN: strided convolutions, with today's loss, penalties and averaging as its default.

Radford, Metz, Chintala. "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016 (arXiv:1511.06434); that program is the preset `paper`. Labels: Miyato and Koyama 2018 (arXiv:1802.05637).
Loss: relativistic pairs with R1 and R2, Huang et al. 2024, R3GAN (arXiv:2501.05441).

Differs from the papers: the critic's loss and its penalties share one forward pass, and the generator's turn sees the
same real batch as the critic's; `paper` draws normal latents, not uniform ones. Points (the toys) get fully connected
networks: six hidden layers against three behind Fourier features. The generator has batch norm, so micro-batches and
ranks change the results a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

import torch
from torch import Tensor
from torch.optim import Adam

from organza.augment import Augment, Augmentation
from organza.data.spec import Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Shared, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.layers import Init, Norm
from organza.nets.pair import judged, plain_pair
from organza.penalties import PenaltyMode, score_and_squared_gradient, squared_slope
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import constant, cosine


@final
@dataclass(frozen=True, kw_only=True)
class DCGAN(Recipe):
    """Strided convolutions for images, fully connected networks for points."""

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """The game that is played."""
    r1: float = 0.1
    """Weight gamma of the gradient penalty on real samples (gamma / 2 in the loss)."""
    r2: float = 0.0
    """The same on fake samples."""
    final_penalty: float = 1.0
    """Share of r1 and r2 that is left at the end, after half a cosine over the budget."""
    penalty: PenaltyMode = "exact"
    """exact (second derivatives) or finite_difference (noisier, and no faster on a CPU)."""
    penalty_every: int = 4
    """Steps between penalties, each weighted by as much (lazy regularisation)."""
    epsilon: float = 0.05
    """Step of the finite difference."""
    critic_repeats: int = 1
    """Critic updates per generator update."""
    reuse: bool = False
    """The generator is judged by the very fakes that the critic has just learned from: saves making others."""
    smooth: float = 0.0
    """One-sided label smoothing: real samples have the target 1 - smooth."""
    generator_norm: Norm = "batch"
    """Norm of the generator's hidden layers."""
    critic_norm: Norm = "none"
    """Norm of the critic's hidden layers; batch would couple samples and does not go with penalties."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 6e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 6e-3
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
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth and not OBJECTIVES[self.loss].smooths:
            raise UsageError(f"loss {self.loss} knows no label smoothing, so smooth must be 0")

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each."""
        self.check(data)
        num_classes = known_classes(data, self.conditional)
        g, c = plain_pair(
            data,
            latent=self.latent,
            width=self.width,
            num_classes=num_classes,
            generator_norm=self.generator_norm,
            critic_norm=self.critic_norm,
            init=self.init,
        )
        objective = OBJECTIVES[self.loss]
        penalties = MappingProxyType({name: gamma for name, gamma in (("r1", self.r1), ("r2", self.r2)) if gamma})
        decay = cosine(1.0, self.final_penalty)
        augment = Augment(data, self.augment, share=constant(self.augment_share), target=self.augment_target)

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent)} | augment.draw(n)
            if self.penalty == "finite_difference":
                noise |= {f"{name}_noise": torch.randn(n, *data.shape) for name in penalties}
            return noise

        def labels(batch: Batch, times: int = 1) -> list[Tensor]:
            return [torch.cat([batch["label"]] * times)] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            fake = make(batch["latent"], *labels(batch)).detach()
            real, fake = augment.pair(batch[data.key], fake, batch, clock)
            sides, terms = {"r1": real, "r2": fake}, {}

            def scores(**changed: Tensor) -> Tensor:
                both = sides | changed
                return judged(c, both["r1"], both["r2"], *labels(batch))

            if penalties and clock.step % self.penalty_every == 0:
                x, count = torch.cat([sides[name] for name in penalties]), len(penalties)
                if self.penalty == "exact":  # one forward pass for the loss and its penalties
                    score, squared = score_and_squared_gradient(
                        lambda x: scores(**dict(zip(penalties, x.chunk(count), strict=True))), x
                    )
                else:
                    noise = torch.cat([batch[f"{name}_noise"] for name in penalties])
                    squared = squared_slope(lambda x: c(x, *labels(batch, count)), x, noise, epsilon=self.epsilon)
                    score = scores()
                for (name, gamma), part in zip(penalties.items(), squared.chunk(count), strict=True):
                    terms[name] = self.penalty_every * decay(clock) * gamma / 2 * part.mean()
            else:
                score = scores()
            real_score, fake_score = score.chunk(2)
            terms[self.loss] = objective.critic(real_score, fake_score, smooth=self.smooth)
            watch = objective.watch(real_score, fake_score)
            return Loss(terms, watch=watch | augment.watch(objective.lead(real_score, fake_score), clock))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = augment.pair(batch[data.key], make(batch["latent"], *labels(batch)), batch, clock)
            fake_score = c(fake, *labels(batch))
            real_score = c(real, *labels(batch)) if objective.needs_real else fake_score
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        generator = Player(
            g,
            Adam(g.parameters(), self.generator_lr, betas=self.betas, fused=True),
            lr=cosine(self.generator_lr, self.generator_lr * self.final_rate),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            Adam(c.parameters(), self.critic_lr, betas=self.betas, fused=True),
            lr=cosine(self.critic_lr, self.critic_lr * self.final_rate),
        )
        make = Shared(generator) if self.reuse else g
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn(
                    "critic", critic, critic_loss, repeats=self.critic_repeats, after=augment.adapt(samples=self.batch)
                ),
                Turn("generator", generator, generator_loss, same_noise=self.reuse),
            ],
            generate=from_latents(
                generator, self.latent, key=data.key, num_classes=num_classes, chunk=at_once(data.shape)
            ),
            draw=draw,
            extras={"augment": augment},
        )


PRESETS = {
    "paper": DCGAN(
        conditional="no",
        latent=100,
        width=64,
        loss="nonsaturating",
        r1=0.0,
        r2=0.0,
        critic_norm="batch",
        init="normal",
        generator_lr=2e-4,
        critic_lr=2e-4,
        final_rate=1.0,
        betas=(0.5, 0.999),
        halflife=0.0,
        batch=128,
    ),
    "toy": DCGAN(
        conditional="no",
        latent=2,
        width=16,
        batch=512,
        reuse=True,
        r1=0.1,
        r2=0.1,
        final_penalty=0.0002,
        penalty_every=8,
        generator_norm="none",
        generator_lr=4e-3,
        critic_lr=4e-3,
        final_rate=0.01,
    ),
    "tiny": DCGAN(latent=8, width=4, batch=16, length=1),
}
