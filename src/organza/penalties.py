"""Gradient penalties on the critic: exact by double backward, or by finite differences with first derivatives only.

All of them call the critic in float32 and outside `torch.compile` when exact: compiled code has no second derivative
(pytorch#91469), and bf16 has too few digits for one. None is scaled: multiply by gamma / 2 (R1, R2) or lambda.

A critic here maps a batch (N, ...) to scores, (N,) or (N, 1, ...); close over labels where it takes them.

The finite-difference twins estimate the same squared gradient norm along one random direction per sample,
E_n [((D(x + eps n) - D(x)) / eps)^2] -> ||grad D(x)||^2 as eps -> 0 for n ~ N(0, I): unbiased in that limit and noisy
(Lin et al. 2025, adversarial flow models, arXiv:2511.22475).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
PenaltyMode = Literal["exact", "finite_difference"]


def score_and_squared_gradient(critic: Critic, x: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) and ||grad_x D(x)||^2 per sample from one forward pass, both differentiable in the critic's parameters.

    A loss and its penalty can share the pass: score `torch.cat([real, fake])` once for loss, R1 and R2 together.

    Args:
        critic: Maps (N, ...) to one score per sample.
        x: Samples (N, ...); no gradient flows into them.

    Returns:
        Scores as the critic returns them, and squared gradient norms (N,).
    """
    x = x.detach().float().requires_grad_(True)
    with torch.autocast(x.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
        score = critic(x)
        (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return score, gradient.flatten(1).square().sum(1)


def squared_slope(critic: Critic, x: Tensor, noise: Tensor, *, epsilon: float) -> Tensor:
    """((D(x + epsilon noise) - D(x)) / epsilon)^2 per sample, (N,): the squared gradient along one direction."""
    x = x.detach().float()
    with torch.autocast(x.device.type, enabled=False):
        rise = critic(x + epsilon * noise) - critic(x)
    return (rise.flatten(1).sum(1) / epsilon if rise.ndim > 1 else rise / epsilon).square()


def r1(critic: Critic, real: Tensor, *, noise: Tensor | None = None, epsilon: float = 0.05) -> Tensor:
    """Zero-centred gradient penalty: the mean over the batch of ||grad_x D(x)||^2.

    Pulls the critic flat where data lies, so that the game can settle there. Multiply by gamma / 2.

    Args:
        critic: Maps (N, ...) to one score per sample.
        real: Real samples, any shape after the batch axis. Not modified; no gradient flows into it.
        noise: None: exact. Standard normal noise of the same shape as `real`: finite differences along it.
        epsilon: Step of the finite difference, in units of the input.

    Returns:
        Scalar >= 0, in score^2 per input unit^2. Differentiable with respect to the critic's parameters.

    Source: Mescheder, Geiger, Nowozin 2018 (arXiv:1801.04406), Eq. 9.
    Differs: no lazy scaling here; give the turn `every=16` and multiply by 16 in the recipe.
    """
    if noise is None:
        return score_and_squared_gradient(critic, real)[1].mean()
    return squared_slope(critic, real, noise, epsilon=epsilon).mean()


def r2(critic: Critic, fake: Tensor, *, noise: Tensor | None = None, epsilon: float = 0.05) -> Tensor:
    """The same penalty on fake samples. Arguments as for `r1`. Source: Mescheder et al. 2018, Eq. 10."""
    return r1(critic, fake, noise=noise, epsilon=epsilon)


def interpolated_gradient(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    mix: Tensor,
    *,
    target: float = 1.0,
    noise: Tensor | None = None,
    epsilon: float = 0.05,
) -> Tensor:
    """WGAN-GP's penalty: the mean of (||grad D(x)|| - target)^2 at random points between real and fake.

    Args:
        critic: Maps (N, ...) to one score per sample; batch norm would couple samples and break the penalty.
        real: Real samples (N, ...).
        fake: Fake samples, same shape.
        mix: Uniform in [0, 1], (N,): 1 is the real end.
        target: The gradient norm that the critic is held to.
        noise: None: exact. Standard normal noise like `real`: the slope s along it stands in for the gradient, s^2 for
            its squared norm and |s| sqrt(pi / 2) for its norm; both are unbiased, so their sum is, though single
            estimates can be negative.
        epsilon: Step of the finite difference, in units of the input.

    Returns:
        Scalar; >= 0 when exact.

    Source: Gulrajani et al. 2017 (arXiv:1704.00028), Eq. 3.
    """
    mix = mix.view(-1, *[1] * (real.ndim - 1)).to(real.dtype)
    between = mix * real.detach() + (1 - mix) * fake.detach()
    if noise is None:
        return ((score_and_squared_gradient(critic, between)[1] + 1e-12).sqrt() - target).square().mean()
    squared = squared_slope(critic, between, noise, epsilon=epsilon)
    norm = (squared * (torch.pi / 2) + 1e-12).sqrt()
    return (squared - 2 * target * norm + target**2).mean()
