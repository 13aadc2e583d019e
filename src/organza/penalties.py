"""Penalties: on the critic's gradient, by double backward or by finite differences; on its scores; on weights.

Those on the gradient call the critic in float32 and outside `torch.compile` when exact: compiled code has no second
derivative (pytorch#91469), and bf16 has too few digits for one. None is scaled: multiply by gamma / 2 (R1, R2) or
lambda.

A critic here maps a batch (N, ...) to scores, (N,) or (N, 1, ...); close over labels where it takes them.

The finite-difference twins estimate the same squared gradient norm along one random direction per sample,
E_n [((D(x + eps n) - D(x)) / eps)^2] -> ||grad D(x)||^2 as eps -> 0 for n ~ N(0, I): unbiased in that limit and noisy
(Lin et al. 2025, adversarial flow models, arXiv:2511.22475).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]
PenaltyMode = Literal["exact", "finite_difference"]
"""By second derivatives, or by differences: those are noisier, and on a CPU no faster."""


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


def off_diagonal(weight: Tensor) -> Tensor:
    """Orthogonal regularisation that leaves lengths alone: ||W W^T o (1 - I)||_F^2, rows against other rows only.

    Keeps the filters of a generator apart, so that it stays smooth where truncated latents never take it in training.
    Multiply by 1e-4.

    Args:
        weight: (out, ...), seen as `out` rows. More rows than columns cannot all be orthogonal.

    Returns:
        Scalar >= 0; 0 where the rows are orthogonal, whatever their lengths.

    Source: Brock, Donahue, Simonyan 2019 (arXiv:1809.11096), Eq. 3.
    """
    with torch.autocast(weight.device.type, enabled=False):
        rows = weight.flatten(1).float()
        if rows.shape[0] > rows.shape[1]:  # the smaller Gram matrix has the same norm
            return (rows.T @ rows).square().sum() - rows.square().sum(1).square().sum()
        gram = rows @ rows.T
        return (gram - gram.diagonal().diag()).square().sum()


def lecam(real_score: Tensor, fake_score: Tensor, real_mean: Tensor, fake_mean: Tensor) -> Tensor:
    """E (D(x) - a_F)^2 + E (D(G(z)) - a_R)^2: real scores are drawn to where fake ones were of late, and the reverse.

    Limits how far the critic of a small set can tear the two apart. Multiply by 0.3 (hinge loss).

    Args:
        real_score: Scores of real samples.
        fake_score: Scores of fake samples.
        real_mean: Running mean a_R of the scores of real samples, a constant.
        fake_mean: The same of fake ones, a_F.

    Returns:
        Scalar >= 0.

    Source: Tseng, Jiang, Liu, Yang, Yang 2021 (arXiv:2104.03310), section 3.
    """
    real, fake = (real_score.float() - fake_mean).square(), (fake_score.float() - real_mean).square()
    return real.mean() + fake.mean()


def consistency(score: Tensor, changed_score: Tensor) -> Tensor:
    """E (D(x) - D(T(x)))^2: an augmentation that keeps the meaning of a sample shall keep its score.

    Multiply by 10. On fakes as well as real samples it is balanced consistency (bCR).

    Args:
        score: Scores of samples.
        changed_score: Scores of the same samples after the augmentation.

    Source: Zhang, Zhang, Odena, Lee 2020 (arXiv:1910.12027), section 2; balanced: Zhao et al. 2021 (arXiv:2002.04724).
    """
    return (score.float() - changed_score.float()).square().mean()


def path_lengths(synthesis: Callable[[Tensor], Tensor], w: Tensor, noise: Tensor) -> Tensor:
    """||J^T y|| for a random direction y in the images: how far an image moves when w does, per sample.

    With y ~ N(0, I) / sqrt(pixels) its mean square is the mean square of the singular values of J = d image / d w, per
    pixel. Penalise the squared distance of the lengths from their running mean.

    Args:
        synthesis: Maps w to images (N, C, H, W); called in float32, outside `torch.compile`.
        w: (N, rows, D): one row per layer, over whose squared lengths the mean is taken.
        noise: y, of the images' shape.

    Returns:
        (N,) >= 0; differentiable with respect to the weights of `synthesis` and whatever w was made from.

    Source: Karras et al. 2020, StyleGAN2 (arXiv:1912.04958), section 3.2, Eq. 4.
    """
    with torch.autocast(w.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
        w = w.float() if w.requires_grad else w.float().requires_grad_(True)
        (gradient,) = torch.autograd.grad((synthesis(w) * noise).sum(), w, create_graph=True)
        return (gradient.square().sum(2).mean(1) + 1e-12).sqrt()


@final
class Tightness(nn.Module):
    """A factor for gradient penalties that keeps the critic's loss in a game of pairs at a target.

    The weight that suits is another for each kind of data: too little, and the critic goes where the generator cannot
    follow; too much, and it no longer sees what is wrong. Its loss shows both; log 2 is that of a guess, and of any
    critic beside a generator as good as the data. So the factor grows while the loss is below the target and shrinks
    while it is above, between a hundredth and a hundred. Measured on images only. Belongs into `Game.extras`.

    Args:
        target: Of the loss, above 0 and below log 2; 0: the factor stays 1.
        horizon: Real samples in which the factor grows e times as large where the loss is lower than the target by 1.
    """

    factor: Tensor

    def __init__(self, target: float, *, horizon: float = 2e3) -> None:
        super().__init__()
        self.target, self.horizon = target, horizon
        self.register_buffer("factor", torch.ones(()), persistent=bool(target))

    def watch(self, real_score: Tensor, fake_score: Tensor) -> dict[str, Tensor]:
        """What the factor goes by and where it stands, per pair, for the critic's `Loss.watch`."""
        if not self.target:
            return {}
        loss = nn.functional.softplus(fake_score.detach().float() - real_score.detach().float())
        return {"pair_loss": loss, "penalty_factor": self.factor.clone().expand(len(loss))}

    def adapt(self, samples: int) -> Callable[[dict[str, Tensor]], None] | None:
        """For `Turn.after` of the critic, which sees so many real samples a turn over all ranks; None: no target."""
        if not self.target:
            return None

        @torch.no_grad()
        def after(means: dict[str, Tensor]) -> None:
            missing = self.target - means["pair_loss"].clamp(max=math.log(2))  # worse than a guess is not too tight
            self.factor.mul_(torch.exp(missing * samples / self.horizon)).clamp_(0.01, 100.0)

        return after
