"""Adversarial losses: pure functions of scores, reduced to their mean.

A score is the critic's raw output (a logit where it is read as a probability), one per sample, any shape; real and
fake scores have the same number of elements where they are paired. Everything is computed in float32. Each critic loss
takes (real, fake), each generator loss takes what it needs and ignores the rest, so that all share one signature.

    D = sigmoid(score)          log D = -softplus(-score)          log(1 - D) = -softplus(score)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu, softplus

Scores = Float[Tensor, "..."]
Scalar = Float[Tensor, ""]


def cross_entropy_critic(real: Scores, fake: Scores, *, smooth: float = 0.0) -> Scalar:
    """-E log D(real) - E log(1 - D(fake)): the discriminator of the original game.

    Args:
        real: Scores of real samples.
        fake: Scores of fake samples.
        smooth: One-sided label smoothing: real samples have the target 1 - smooth, fake ones stay at 0.

    Returns:
        Scalar >= 0; 2 ln 2 = 1.386 where the critic cannot tell them apart.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), Eq. 1; smoothing: Salimans et al. 2016 (arXiv:1606.03498), 3.4.
    """
    real, fake = real.float(), fake.float()
    return (softplus(-real) + smooth * real).mean() + softplus(fake).mean()


def minimax_generator(real: Scores, fake: Scores) -> Scalar:
    """E log(1 - D(fake)): the saturating generator of the minimax game; its gradient vanishes when the critic wins.

    Source: Goodfellow et al. 2014, Eq. 1.
    """
    return -softplus(fake.float()).mean()


def nonsaturating_generator(real: Scores, fake: Scores) -> Scalar:
    """-E log D(fake): same fixed point as minimax, but a strong gradient where the critic wins.

    Source: Goodfellow et al. 2014, section 3.
    """
    return softplus(-fake.float()).mean()


def least_squares_critic(real: Scores, fake: Scores, *, smooth: float = 0.0) -> Scalar:
    """E (score - (1 - smooth))^2 on real plus E score^2 on fake, halved.

    Source: Mao et al. 2017 (arXiv:1611.04076), Eq. 9 (a = 0, b = c = 1).
    """
    return ((real.float() - (1 - smooth)).square().mean() + fake.float().square().mean()) / 2


def least_squares_generator(real: Scores, fake: Scores) -> Scalar:
    """E (score - 1)^2 on fake, halved. Source: Mao et al. 2017, Eq. 9."""
    return (fake.float() - 1).square().mean() / 2


def hinge_critic(real: Scores, fake: Scores, *, smooth: float = 0.0) -> Scalar:
    """E max(0, 1 - score) on real plus E max(0, 1 + score) on fake; `smooth` lowers the real margin.

    Source: Lim and Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), Eq. 16.
    """
    return relu(1 - smooth - real.float()).mean() + relu(1 + fake.float()).mean()


def wasserstein_critic(real: Scores, fake: Scores, *, smooth: float = 0.0) -> Scalar:
    """E score(fake) - E score(real): minus the estimate of the Wasserstein distance. Knows no smoothing.

    Source: Arjovsky et al. 2017 (arXiv:1701.07875), Eq. 2.
    """
    return fake.float().mean() - real.float().mean()


def wasserstein_generator(real: Scores, fake: Scores) -> Scalar:
    """-E score(fake), the generator of both the Wasserstein and the hinge game."""
    return -fake.float().mean()


def relativistic_critic(real: Scores, fake: Scores, *, smooth: float = 0.0) -> Scalar:
    """E softplus(-(real - fake)), pair by pair. Knows no smoothing.

    Source: Jolicoeur-Martineau 2019 (arXiv:1807.00734), Eq. 8; Huang et al. 2024, R3GAN (arXiv:2501.05441), Eq. 2.
    """
    return softplus(fake.float() - real.float()).mean()


def relativistic_generator(real: Scores, fake: Scores) -> Scalar:
    """E softplus(real - fake), pair by pair: the mirror of the critic's loss."""
    return softplus(real.float() - fake.float()).mean()


CriticLoss = Callable[..., Tensor]
GeneratorLoss = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True)
class Objective:
    """A critic loss and the generator loss that belongs to it."""

    critic: CriticLoss
    generator: GeneratorLoss
    needs_real: bool = False
    """Whether the generator's loss reads the real scores."""
    smooths: bool = True
    """Whether one-sided label smoothing means anything here."""
    neutral: float = 0.0
    """The score of a sample that might as well be real as fake."""

    def watch(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Scores to watch, so that 0 lies between real and fake: a game of pairs fixes them up to a constant only.

        The constant is that of the scores given: of a micro-batch where there are any.
        """
        middle = (real.mean() + fake.mean()) / 2 if self.needs_real else self.neutral
        return {"real_score": real - middle, "fake_score": fake - middle}

    def lead(self, real: Tensor, fake: Tensor) -> Tensor:
        """By how much each real score is on its side: above its fake's in a game of pairs, else above neutral."""
        return real - (fake if self.needs_real else self.neutral)


OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(cross_entropy_critic, minimax_generator),
    "nonsaturating": Objective(cross_entropy_critic, nonsaturating_generator),
    "least_squares": Objective(least_squares_critic, least_squares_generator, neutral=0.5),
    "hinge": Objective(hinge_critic, wasserstein_generator),
    "wasserstein": Objective(wasserstein_critic, wasserstein_generator, smooths=False),
    "relativistic": Objective(relativistic_critic, relativistic_generator, needs_real=True, smooths=False),
}
