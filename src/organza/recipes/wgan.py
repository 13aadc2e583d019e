"""WGAN: the critic estimates a Wasserstein distance, and is kept from being steep by clipping its weights.

Arjovsky, Chintala, Bottou. "Wasserstein GAN", ICML 2017 (arXiv:1701.07875).

Algorithm 1: `critic_repeats` critic updates by RMSProp, each followed by clipping every weight to [-clip, clip], then
one generator update. Weights are clipped at the start as well, so they never exceed the limit.
Differs from the paper: the default takes one critic update per generator update, larger steps that fall, and larger
weights, and averages the generator, for minutes instead of days; `paper` has the published numbers. Labels: Miyato and
Koyama 2018 (arXiv:1802.05637). Both networks have batch norm, so micro-batches and ranks change the results a little.
Points get fully connected networks, and learn better with the smaller steps of `toy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.optim import RMSprop

from organza.data.spec import Spec
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import wasserstein_critic, wasserstein_generator
from organza.nets.layers import Init, Norm
from organza.nets.pair import judged, plain_pair
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class WGAN(Recipe):
    """Wasserstein GAN with weight clipping: strided convolutions for images, fully connected networks for points."""

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    clip: float = 0.1
    """No weight of the critic is larger than this (c in Algorithm 1)."""
    critic_repeats: int = 1
    """Critic updates per generator update (n_critic in Algorithm 1)."""
    generator_norm: Norm = "batch"
    """Norm of the generator's hidden layers."""
    critic_norm: Norm = "batch"
    """Norm of the critic's hidden layers; it sees real and fake samples in batches of their own."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 4e-3
    """RMSProp step size of the generator at the start (alpha in Algorithm 1)."""
    critic_lr: float = 4e-3
    """RMSProp step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    memory: float = 0.99
    """RMSProp's decay rate of the second moment."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each; the critic's is followed by clipping."""
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
            return {"latent": torch.randn(n, self.latent)}

        def labels(batch: Batch) -> list[Tensor]:
            return [batch["label"]] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = batch[data.key], g(batch["latent"], *labels(batch))
            real_score, fake_score = judged(c, real, fake, *labels(batch)).chunk(2)
            return Loss(
                {"wasserstein": wasserstein_critic(real_score, fake_score)},
                watch={"real_score": real_score, "fake_score": fake_score},
            )

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score = c(g(batch["latent"], *labels(batch)), *labels(batch))
            return Loss({"wasserstein": wasserstein_generator(fake_score, fake_score)})

        generator = Player(
            g,
            RMSprop(g.parameters(), self.generator_lr, alpha=self.memory, foreach=True),
            lr=cosine(self.generator_lr, self.generator_lr * self.final_rate),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            RMSprop(c.parameters(), self.critic_lr, alpha=self.memory, foreach=True),
            lr=cosine(self.critic_lr, self.critic_lr * self.final_rate),
        )
        clip(critic.parameters, self.clip)
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn(
                    "critic",
                    critic,
                    critic_loss,
                    repeats=self.critic_repeats,
                    after=lambda means: clip(critic.parameters, self.clip),
                ),
                Turn("generator", generator, generator_loss),
            ],
            generate=from_latents(
                generator, self.latent, key=data.key, num_classes=num_classes, chunk=at_once(data.shape)
            ),
            draw=draw,
        )


@torch.no_grad()
def clip(parameters: list[nn.Parameter], limit: float) -> None:
    """Bring every number to [-limit, limit], in place."""
    for parameter in parameters:
        parameter.clamp_(-limit, limit)


PRESETS = {
    "paper": WGAN(
        conditional="no",
        latent=100,
        width=64,
        clip=0.01,
        critic_repeats=5,
        init="normal",
        generator_lr=5e-5,
        critic_lr=5e-5,
        final_rate=1.0,
        halflife=0.0,
    ),
    "toy": WGAN(generator_lr=1e-3, critic_lr=1e-3, critic_repeats=2, critic_norm="none"),
    "tiny": WGAN(latent=8, width=4, generator_lr=1e-3, critic_lr=1e-3, batch=16, length=1),
}
