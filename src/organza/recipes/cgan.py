"""CGAN: both networks are told the class, so that samples of a class can be asked for.

Mirza and Osindero. "Conditional Generative Adversarial Nets", 2014 (arXiv:1411.1784); labels in the critic by
projection: Miyato and Koyama. "cGANs with Projection Discriminator", ICLR 2018 (arXiv:1802.05637).

The preset `paper` is the paper's program for MNIST, but for normal latents, a rate that falls along half a cosine and
momentum that stays at its first value. The default differs from it: convolutional networks (fully connected ones for
points), relativistic pairs with R1 (Huang et al. 2024, arXiv:2501.05441) in place of the first game's loss, Adam,
averaged weights. Its generator has batch norm, so micro-batches and ranks change the results a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from organza.data.spec import Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.heads import LabelledCritic
from organza.nets.layers import Init, Norm
from organza.nets.maxout import JointCritic, JointGenerator
from organza.nets.pair import bare_generator, judged, ready
from organza.penalties import score_and_squared_gradient
from organza.recipe import Recipe
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class CGAN(Recipe):
    """A conditional GAN: labels beside the inputs of both networks, or projected in the critic."""

    needs_labels = True

    latent: int = 64
    """Length of the latent vector z ~ N(0, I)."""
    nets: Literal["plain", "maxout"] = "plain"
    """plain: convolutions for images, fully connected layers for points; maxout: the paper's, fully connected."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points. `plain`
    only, as are the two norms."""
    critic_labels: Literal["concatenate", "project"] = "concatenate"
    """How the critic is told the class: beside the sample, or by an inner product with its features."""
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """The game that is played."""
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
    dropout: float = 0.0
    """Share of the hidden values of both networks that are dropped (`maxout` only)."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 6e-3
    """Step size of the generator at the start."""
    critic_lr: float = 6e-3
    """Step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    momentum: float = 0.0
    """Above 0: gradient descent with this momentum in place of Adam."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth and not OBJECTIVES[self.loss].smooths:
            raise UsageError(f"loss {self.loss} knows no label smoothing, so smooth must be 0")
        if self.dropout and self.nets == "plain":
            raise UsageError("nets plain has no dropout, so dropout must be 0")
        if self.nets == "maxout" and self.critic_labels == "project":
            raise UsageError("nets maxout has labels beside the sample, so critic_labels must be concatenate")

    def build(self, data: Spec) -> Game:
        """Two networks that take labels, one turn each."""
        self.check(data)
        g, c = (ready(network, self.init) for network in self.networks(data))
        objective = OBJECTIVES[self.loss]

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, label, terms = batch[data.key], batch["label"], {}
            fake = g(
                batch["latent"], label
            )  # a wrong class is as telling as a wrong sample: fakes have the real labels

            def scores(real: Tensor) -> Tensor:
                return judged(c, real, fake, label)

            if self.r1 and clock.step % self.penalty_every == 0:  # one forward pass for the loss and its penalty
                score, squared = score_and_squared_gradient(scores, real)
                terms["r1"] = self.penalty_every * self.r1 / 2 * squared.mean()
            else:
                score = scores(real)
            real_score, fake_score = score.chunk(2)
            terms[self.loss] = objective.critic(real_score, fake_score, smooth=self.smooth)
            return Loss(terms, watch=objective.watch(real_score, fake_score))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score = c(g(batch["latent"], batch["label"]), batch["label"])
            real_score = c(batch[data.key], batch["label"]) if objective.needs_real else fake_score
            return Loss({self.loss: objective.generator(real_score, fake_score)})

        generator = Player(
            g,
            self.optimizer(g, self.generator_lr),
            lr=cosine(self.generator_lr, self.generator_lr * self.final_rate),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            self.optimizer(c, self.critic_lr),
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

    def networks(self, data: Spec) -> tuple[nn.Module, nn.Module]:
        """Generator (N, latent), labels (N,) -> (N, *shape) and critic (N, *shape), labels (N,) -> (N,)."""
        width, num_classes = self.width, data.num_classes
        if self.nets == "maxout":
            generator = JointGenerator(data, latent=self.latent, num_classes=num_classes, dropout=self.dropout)
            return generator, JointCritic(data, num_classes=num_classes, dropout=self.dropout)
        generator = bare_generator(
            data, latent=self.latent, width=width, num_classes=num_classes, norm=self.generator_norm
        )
        critic = LabelledCritic(
            data, width=width, num_classes=num_classes, norm=self.critic_norm, labels=self.critic_labels
        )
        return generator, critic

    def optimizer(self, network: nn.Module, rate: float) -> Optimizer:
        """What moves a network."""
        if self.momentum:
            return SGD(network.parameters(), rate, momentum=self.momentum)
        return Adam(network.parameters(), rate, betas=self.betas, fused=True)


PRESETS = {
    # The paper gives no length: this is when its rate, divided by 1.00004 at each step, has come down to 1e-6.
    "paper": CGAN(
        nets="maxout",
        latent=100,
        loss="nonsaturating",
        r1=0.0,
        dropout=0.5,
        init="default",
        generator_lr=0.1,
        critic_lr=0.1,
        final_rate=1e-5,
        momentum=0.5,
        halflife=0.0,
        batch=100,
        length=480,
    ),
    "tiny": CGAN(latent=8, width=4, batch=16, length=1),
}
