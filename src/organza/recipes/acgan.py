"""ACGAN: the critic also names the class, and both players gain when it names the right one.

Odena, Olah, Shlens. "Conditional Image Synthesis with Auxiliary Classifier GANs", ICML 2017 (arXiv:1610.09585).

Known weakness: the class term rewards samples that show their class plainly over those near the border to another, so
variety within classes shrinks, and the more so the more classes there are. The authors trained one model for every ten
classes of ImageNet; Gong et al. 2019 (arXiv:1907.02690) and Kang et al. 2021, ReACGAN (arXiv:2111.01118), say why.
`class_weight` weighs the term against the game; `cgan` and `dcgan` do without it.

Differs from the paper: relativistic pairs with R1 (Huang et al. 2024, arXiv:2501.05441) in place of the first game's
loss, averaged weights, neither dropout nor noise between the critic's layers, and only as many layers as the image is
halved. The generator has batch norm, so micro-batches and ranks change the results a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Adam

from organza.data.spec import Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.heads import ReadingCritic
from organza.nets.layers import Init, Norm
from organza.nets.pair import judged, plain_generator, ready
from organza.penalties import score_and_squared_gradient
from organza.recipe import Recipe
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class ACGAN(Recipe):
    """A conditional GAN whose critic is told no label: it reads the class from the sample beside scoring it."""

    needs_labels = True

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points."""
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """The game that is played with the scores."""
    class_weight: float = 0.1
    """Weight of the class term in both players' losses."""
    class_of_fakes: bool = False
    """Whether the critic learns to name the classes of fakes too, as in the paper, or of real samples alone."""
    r1: float = 0.1
    """Weight gamma of the gradient penalty on real samples (gamma / 2 in the loss)."""
    penalty_every: int = 4
    """Steps between penalties, each weighted by as much (lazy regularisation)."""
    critic_repeats: int = 1
    """Critic updates per generator update."""
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
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth and not OBJECTIVES[self.loss].smooths:
            raise UsageError(f"loss {self.loss} knows no label smoothing, so smooth must be 0")

    def build(self, data: Spec) -> Game:
        """A generator that is told the class, a critic that reads it, one turn each."""
        self.check(data)
        g = plain_generator(
            data,
            latent=self.latent,
            width=self.width,
            num_classes=data.num_classes,
            norm=self.generator_norm,
            init=self.init,
        )
        c = ReadingCritic(data, width=self.width, outputs=data.num_classes, norm=self.critic_norm)
        c = ready(c, self.init)
        objective = OBJECTIVES[self.loss]

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, label = batch[data.key], batch["label"]
            fake = g(batch["latent"], label)
            logits, terms = torch.empty(0), {}

            def scores(real: Tensor) -> Tensor:
                nonlocal logits
                score, logits = judged(c, real, fake)
                return score

            if self.r1 and clock.step % self.penalty_every == 0:  # one forward pass for the losses and the penalty
                score, squared = score_and_squared_gradient(scores, real)
                terms["r1"] = self.penalty_every * self.r1 / 2 * squared.mean()
            else:
                score = scores(real)
            real_score, fake_score = score.chunk(2)
            terms[self.loss] = objective.critic(real_score, fake_score, smooth=self.smooth)
            parts = logits.chunk(2) if self.class_of_fakes else logits.chunk(2)[:1]
            named = torch.stack([cross_entropy(part, label) for part in parts])
            terms["class"] = self.class_weight * named.sum()
            return Loss(terms, watch=objective.watch(real_score, fake_score))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score, logits = c(g(batch["latent"], batch["label"]))
            real_score = c(batch[data.key])[0] if objective.needs_real else fake_score
            return Loss(
                {
                    self.loss: objective.generator(real_score, fake_score),
                    "class": self.class_weight * cross_entropy(logits, batch["label"]),
                }
            )

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
                generator, self.latent, key=data.key, num_classes=data.num_classes, chunk=at_once(data.shape)
            ),
            draw=lambda n: {"latent": torch.randn(n, self.latent)},
        )


PRESETS = {
    # The paper's CIFAR-10 rates; its critic is deeper.
    "paper": ACGAN(
        latent=100,
        width=64,
        loss="nonsaturating",
        class_weight=1.0,
        class_of_fakes=True,
        r1=0.0,
        critic_norm="batch",
        init="normal",
        generator_lr=2e-4,
        critic_lr=2e-4,
        final_rate=1.0,
        betas=(0.5, 0.999),
        halflife=0.0,
        batch=100,
    ),
    "tiny": ACGAN(latent=8, width=4, batch=16, length=1),
}
