"""WGAN-GP: a Wasserstein GAN whose critic is held to slopes of 1 by a gradient penalty.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville. "Improved Training of Wasserstein GANs", NeurIPS 2017
(arXiv:1704.00028).

Differs from the paper: the default has larger steps, fewer critic updates and an averaged generator, for minutes
instead of days; `paper` has the numbers of Algorithm 1. Labels: Miyato and Koyama 2018 (arXiv:1802.05637); a point
between a real and a fake sample has their common label. Points (the toys) get fully connected networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.optim import Adam

from organza.data.spec import Spec
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import wasserstein_critic, wasserstein_generator
from organza.nets.layers import Init, Norm
from organza.nets.pair import judged, plain_pair
from organza.penalties import PenaltyMode, interpolated_gradient
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class WGANGP(Recipe):
    """Wasserstein GAN with gradient penalty: strided convolutions for images, fully connected networks for points."""

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    gradient_penalty: float = 10.0
    """Weight of the penalty (lambda in Eq. 3)."""
    slope: float = 1.0
    """Gradient norm that the critic is held to."""
    penalty: PenaltyMode = "exact"
    """exact (second derivatives) or finite_difference (noisier, and no faster on a CPU)."""
    penalty_every: int = 1
    """Steps between penalties, each weighted by as much (lazy regularisation)."""
    epsilon: float = 0.05
    """Step of the finite difference."""
    critic_repeats: int = 1
    """Critic updates per generator update (n_critic in Algorithm 1)."""
    generator_norm: Norm = "batch"
    """Norm of the generator's hidden layers."""
    critic_norm: Norm = "none"
    """Norm of the critic's hidden layers; not batch, which couples the samples that the penalty takes one by one."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 4e-3
    """Adam step size of the generator at the start (alpha in Algorithm 1)."""
    critic_lr: float = 4e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

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

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent), "mix": torch.rand(n)}
            needs_noise = self.gradient_penalty and self.penalty == "finite_difference"
            return noise | ({"slope_noise": torch.randn(n, *data.shape)} if needs_noise else {})

        def labels(batch: Batch) -> list[Tensor]:
            return [batch["label"]] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real = batch[data.key]
            fake = g(batch["latent"], *labels(batch)).to(real.dtype)
            real_score, fake_score = judged(c, real, fake, *labels(batch)).chunk(2)
            terms = {"wasserstein": wasserstein_critic(real_score, fake_score)}
            if self.gradient_penalty and clock.step % self.penalty_every == 0:
                penalty = interpolated_gradient(
                    lambda x: c(x, *labels(batch)),
                    real,
                    fake,
                    batch["mix"],
                    target=self.slope,
                    noise=batch.get("slope_noise"),
                    epsilon=self.epsilon,
                )
                terms["gradient_penalty"] = self.penalty_every * self.gradient_penalty * penalty
            return Loss(terms, watch={"real_score": real_score, "fake_score": fake_score})

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score = c(g(batch["latent"], *labels(batch)), *labels(batch))
            return Loss({"wasserstein": wasserstein_generator(fake_score, fake_score)})

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
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=self.critic_repeats),
                Turn("generator", generator, generator_loss),
            ],
            generate=from_latents(
                generator, self.latent, key=data.key, num_classes=num_classes, chunk=at_once(data.shape)
            ),
            draw=draw,
        )


PRESETS = {
    "paper": WGANGP(
        conditional="no",
        latent=128,
        width=64,
        critic_repeats=5,
        critic_norm="layer",
        init="he",
        generator_lr=1e-4,
        critic_lr=1e-4,
        final_rate=1.0,
        halflife=0.0,
    ),
    "tiny": WGANGP(latent=8, width=4, batch=16, length=1),
}
