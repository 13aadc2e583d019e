"""InfoGAN: part of the latent is a code that the samples must tell, so that it comes to mean something, without labels.

Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel. "InfoGAN: Interpretable Representation Learning by Information
Maximizing Generative Adversarial Nets", NeurIPS 2016 (arXiv:1606.03657).

The latent is [categorical codes | continuous codes | noise]; `nets.heads.Codes` makes it from normal numbers, so that
seeds and truncation mean what they do elsewhere (truncation narrows continuous codes and noise, not the choice of
categories). After a run RUN/tour/ holds a picture for each code: one code changes along each row, the rest stays.

Differs from the paper: relativistic pairs with R1 (Huang et al. 2024, arXiv:2501.05441) in place of the first game's
loss, averaged weights, no dense layers of 1,024 units. As in the authors' program Q has a fixed variance for continuous
codes. The generator has batch norm, so micro-batches and ranks change the results a little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, final

import torch
from torch import Tensor
from torch.optim import Adam

from organza.data.spec import Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Request, Turn
from organza.inference import at_once, from_latents, latents
from organza.losses import OBJECTIVES
from organza.nets.heads import Codes, ReadingCritic
from organza.nets.layers import Init, Norm
from organza.nets.pair import judged, plain_generator, ready
from organza.penalties import score_and_squared_gradient
from organza.recipe import Recipe
from organza.schedules import cosine


@final
@dataclass(frozen=True, kw_only=True)
class InfoGAN(Recipe):
    """A GAN with a second head on the critic that reads the codes back from the fakes."""

    latent: int = 74
    """Length of the latent vector, codes included."""
    categorical: tuple[int, ...] = (10,)
    """How many values each categorical code has."""
    continuous: int = 2
    """How many continuous codes there are, uniform in [-1, 1]."""
    noise: float = 0.15
    """Standard deviation of the rest of the latent: the smaller, the more the codes weigh when training begins."""
    categorical_weight: float = 1.0
    """Weight lambda of the information about categorical codes, in both players' losses."""
    continuous_weight: float = 1.0
    """The same for continuous codes."""
    width: int = 24
    """Channels of the largest map; doubled at each halving of the size, up to 8 times. Hidden units for points."""
    hidden: int = 128
    """Units of the hidden layer between the features and the codes that are read from them; 0: none."""
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = "relativistic"
    """The game that is played with the scores."""
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
        size = sum(self.categorical) + self.continuous
        if any(count < 2 for count in self.categorical) or self.continuous < 0 or not size:
            raise UsageError(
                "there must be a code, and a categorical one needs two values or more; got categorical "
                f"{self.categorical} and continuous {self.continuous}"
            )
        if self.latent < size:
            raise UsageError(
                f"latent {self.latent} is shorter than its codes: categorical {self.categorical} and continuous "
                f"{self.continuous} take {size}"
            )

    def build(self, data: Spec) -> Game:
        """A generator behind its codes, a critic that reads them, one turn each."""
        self.check(data)
        codes = Codes(self.categorical, self.continuous, self.noise)
        g = plain_generator(data, latent=self.latent, width=self.width, norm=self.generator_norm, init=self.init)
        c = ReadingCritic(data, width=self.width, outputs=codes.size, hidden=self.hidden, norm=self.critic_norm)
        c = ready(c, self.init)
        objective = OBJECTIVES[self.loss]
        weights = MappingProxyType({"categorical": self.categorical_weight, "continuous": self.continuous_weight})

        def information(reading: Tensor, latent: Tensor) -> dict[str, Tensor]:
            """Lambda times what is lost of each kind of code: minus the bound L_I up to a constant (Eq. 5)."""
            return {name: weights[name] * lost for name, lost in codes.misread(reading, latent).items()}

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = batch[data.key], g(batch["latent"])
            reading, terms = torch.empty(0), {}

            def scores(real: Tensor) -> Tensor:
                nonlocal reading
                score, reading = judged(c, real, fake)
                return score

            if self.r1 and clock.step % self.penalty_every == 0:  # one forward pass for the losses and the penalty
                score, squared = score_and_squared_gradient(scores, real)
                terms["r1"] = self.penalty_every * self.r1 / 2 * squared.mean()
            else:
                score = scores(real)
            real_score, fake_score = score.chunk(2)
            terms[self.loss] = objective.critic(real_score, fake_score, smooth=self.smooth)
            terms |= information(reading.chunk(2)[1], batch["latent"])
            return Loss(terms, watch=objective.watch(real_score, fake_score))

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score, reading = c(g(batch["latent"]))
            real_score = c(batch[data.key])[0] if objective.needs_real else fake_score
            terms = {self.loss: objective.generator(real_score, fake_score)}
            return Loss(terms | information(reading, batch["latent"]))

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
        made = from_latents(generator, self.latent, key=data.key, chunk=at_once(data.shape))

        def tour() -> Batch:
            columns = min(max(10, *self.categorical), 20) if self.categorical else 10
            sweeps = codes.sweeps(latents(Request(10), self.latent), columns=columns)
            samples = {
                name: made(Request(sweep[..., 0].numel(), latents=sweep.flatten(0, 1)))[data.key]
                for name, sweep in sweeps.items()
            }
            return {name: found.unflatten(0, sweeps[name].shape[:2]) for name, found in samples.items()}

        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=self.critic_repeats),
                Turn("generator", generator, generator_loss),
            ],
            generate=lambda request: made(replace(request, latents=codes(latents(request, self.latent)))),
            draw=lambda n: {"latent": codes(torch.randn(n, self.latent))},
            tour=tour,
        )


PRESETS = {
    "paper": InfoGAN(
        noise=1.0,
        width=64,
        loss="nonsaturating",
        r1=0.0,
        critic_norm="batch",
        init="normal",
        generator_lr=1e-3,
        critic_lr=2e-4,
        final_rate=1.0,
        betas=(0.5, 0.999),
        halflife=0.0,
        batch=128,
    ),
    "tiny": InfoGAN(latent=8, categorical=(3,), continuous=1, width=4, hidden=8, batch=16, length=1),
}
