"""LSGAN: scores are drawn to fixed targets by least squares, so that samples far on the right side still move.

Mao, Li, Xie, Lau, Wang, Smolley. "Least Squares Generative Adversarial Networks", ICCV 2017 (arXiv:1611.04076).

Differs from the paper: the default has R1 (Mescheder et al. 2018, arXiv:1801.04406) and no batch norm in the critic,
larger steps that shrink and an averaged generator; `paper` has the published setting on networks after DCGAN. Labels:
Miyato and Koyama 2018 (arXiv:1802.05637) instead of the paper's linear map of a one-hot code. Points (the toys) get
fully connected networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.optim import Adam

from organza.data.spec import Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.nets.layers import Init, Norm
from organza.nets.pair import judged, plain_pair
from organza.penalties import PenaltyMode, r1
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class LSGAN(Recipe):
    """Least-squares GAN: strided convolutions for images, fully connected networks for points."""

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    fake_target: float = 0.0
    """Score that the critic gives fakes (a in Eq. 2)."""
    real_target: float = 1.0
    """Score that the critic gives real samples (b in Eq. 2)."""
    wanted_target: float = 1.0
    """Score that the generator wants for its fakes (c in Eq. 2)."""
    r1: float = 0.1
    """Weight gamma of the gradient penalty on real samples (gamma / 2 in the loss)."""
    penalty: PenaltyMode = "exact"
    """exact (second derivatives) or finite_difference (noisier, and no faster on a CPU)."""
    penalty_every: int = 4
    """Steps between penalties, each weighted by as much (lazy regularisation)."""
    epsilon: float = 0.05
    """Step of the finite difference."""
    critic_repeats: int = 1
    """Critic updates per generator update."""
    generator_norm: Norm = "batch"
    """Norm of the generator's hidden layers."""
    critic_norm: Norm = "none"
    """Norm of the critic's hidden layers; batch would couple samples and does not go with penalties."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 2e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 2e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fake_target >= self.real_target:
            raise UsageError(
                f"real_target must be above fake_target; got {self.real_target} and {self.fake_target}: "
                "real_score and fake_score are read so"
            )

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
        middle = (self.fake_target + self.real_target) / 2

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent)}
            needs_noise = self.r1 and self.penalty == "finite_difference"
            return noise | ({"r1_noise": torch.randn(n, *data.shape)} if needs_noise else {})

        def labels(batch: Batch) -> list[Tensor]:
            return [batch["label"]] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real = batch[data.key]
            fake = g(batch["latent"], *labels(batch)).to(real.dtype)
            real_score, fake_score = judged(c, real, fake, *labels(batch)).float().chunk(2)
            squares = (real_score - self.real_target).square().mean() + (fake_score - self.fake_target).square().mean()
            terms = {"least_squares": squares / 2}
            if self.r1 and clock.step % self.penalty_every == 0:
                penalty = r1(lambda x: c(x, *labels(batch)), real, noise=batch.get("r1_noise"), epsilon=self.epsilon)
                terms["r1"] = self.penalty_every * self.r1 / 2 * penalty
            return Loss(terms, watch={"real_score": real_score - middle, "fake_score": fake_score - middle})

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score = c(g(batch["latent"], *labels(batch)), *labels(batch)).float()
            return Loss({"least_squares": (fake_score - self.wanted_target).square().mean() / 2})

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
    "paper": LSGAN(
        conditional="no",
        latent=1024,
        width=64,
        r1=0.0,
        critic_norm="batch",
        init="normal",
        generator_lr=1e-3,
        critic_lr=1e-3,
        final_rate=1.0,
        betas=(0.5, 0.999),
        halflife=0.0,
    ),
    "tiny": LSGAN(latent=8, width=4, batch=16, length=1),
}
