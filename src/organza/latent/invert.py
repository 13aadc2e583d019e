"""From an image back to a point of the space that makes it, and a generator tuned to make it better.

Distances are pixel errors at several scales: of the image and of its halves, quarters and so on, so that what lies
where is found before what it looks like. A random sample that is near by chance is the baseline.

Sources: Karras et al. 2020, StyleGAN2 (arXiv:1912.04958), appendix D, for the schedule of rate and noise; Roich,
Mokady, Bermano, Cohen-Or 2021, pivotal tuning (arXiv:2106.05744). Differs: pixels instead of LPIPS, which would be one
more network to get; several starts, at the nearest of many random samples; no noise maps; the regulariser of pivotal
tuning looks half-way between the pivot and random points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss
from torch.optim import Adam

from organza.errors import UsageError
from organza.inference import at_once
from organza.latent.space import Space, WSpace

NOISE = 0.05
"""Of the points at the beginning, in typical distances from the mean."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Inversion:
    """What was found for one image."""

    point: Tensor
    """(1, ...) of the space."""
    label: Tensor | None
    """Its class, (1,)."""
    image: Tensor
    """What the point makes, (1, C, H, W)."""
    rms: float
    """Root of the mean squared pixel error, of pixels in [0, 1]."""
    baseline: float
    """That of the nearest random sample."""
    distance: float
    """How far the point lies from the mean, in typical distances: far above 1 it will not edit well."""

    @property
    def psnr(self) -> float:
        """In dB."""
        return psnr(self.rms)


def psnr(rms: float) -> float:
    """Peak signal-to-noise ratio in dB of an error of pixels in [0, 1]."""
    return -20 * math.log10(max(rms, 1e-10))


def pixel_rms(image: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error (N,) between images (N, C, H, W) in [-1, 1], of pixels in [0, 1]."""
    return (image - target).flatten(1).square().mean(1).sqrt() / 2


def features(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as rows (N, F) whose squared distance is the mean of the squared errors at all scales.

    Scales are the image and its halves by average pooling, until the shorter side is below 8.
    """
    scales = [images]
    while min(scales[-1].shape[2:]) >= 8:
        scales.append(avg_pool2d(scales[-1], 2, ceil_mode=True, count_include_pad=False))
    parts = [scale.flatten(1) / math.sqrt(scale[0].numel() * len(scales)) for scale in scales]
    return torch.cat(parts, dim=1)


def rate_at(share: float) -> float:
    """Share of the step size at a share of the way: up in the first 5 %, half a cosine down in the last 25 %."""
    return min(1.0, share / 0.05) * (1 - math.cos(math.pi * min(1.0, (1 - share) / 0.25))) / 2


def noise_at(share: float) -> float:
    """Share of the noise at a share of the way: it is gone after three quarters."""
    return max(0.0, 1 - share / 0.75) ** 2


@torch.no_grad()
def nearest(
    space: Space, target: Tensor, *, count: int, among: int, seed: int, label: int | None
) -> tuple[Tensor, Tensor | None, float]:
    """The nearest of random samples to an image (1, C, H, W).

    Returns:
        `count` points, nearest first, their labels, and the smallest pixel error of all `among`.
    """
    labels = space.labels(among, seed=seed, label=label)
    points = space.draw(among, seed=seed, labels=labels)
    wanted, chunk = features(target), at_once(space.spec.shape)
    far, errors = [], []
    for start in range(0, among, chunk):
        part = slice(start, start + chunk)
        made = space.images(points[part], None if labels is None else labels[part])
        far.append((features(made) - wanted).square().sum(1))
        errors.append(pixel_rms(made, target))
    order = torch.cat(far).argsort()[:count]
    return points[order], None if labels is None else labels[order], float(torch.cat(errors).min())


def invert(
    space: Space,
    target: Tensor,
    *,
    steps: int = 400,
    starts: int = 4,
    among: int = 1000,
    is_free: bool = False,
    label: int | None = None,
    rate: float = 0.1,
    seed: int = 0,
    progress: Callable[[int], None] = lambda step: None,
) -> Inversion:
    """The point whose image is nearest to a target.

    Args:
        space: Z, or W, where all rows stay alike unless `is_free`.
        target: (1, C, H, W) in [-1, 1].
        steps: Of Adam, from each start.
        starts: Nearest of the random samples to begin at, together; the best end is kept.
        among: Random samples to choose from; the nearest is also the baseline.
        is_free: In W: a row per layer is sought (W+). Nearer, and worse to edit.
        label: Class of the image; None: that of each start.
        rate: Largest step, in deviations of a coordinate.
        seed: Of the random samples and the noise.
        progress: Called after each step.

    Raises:
        UsageError: A number makes no sense, W+ without W, or images without gradients.
    """
    if steps < 1 or not 1 <= starts <= among:
        raise UsageError(f"--steps must be at least 1, --starts from 1 to --among; got {steps}, {starts} and {among}")
    if is_free and not isinstance(space, WSpace):
        raise UsageError("W+ needs W, and this generator has no mapping to it; leave --space at auto")
    points, labels, baseline = nearest(space, target, count=starts, among=among, seed=seed, label=label)
    deviation = space.centre(labels=labels)[1]
    start, wanted = points if points.ndim == 2 or is_free else points[:, :1], features(target)

    def loss_of(free: Tensor) -> Tensor:
        made = space.images(free.expand(points.shape), labels)
        return (features(made) - wanted).square().sum(1)

    ends, losses = descend(loss_of, start, steps=steps, deviation=deviation, rate=rate, seed=seed, progress=progress)
    chosen = slice(int(losses.argmin()), int(losses.argmin()) + 1)
    point, its_label = ends.expand(points.shape)[chosen].clone(), None if labels is None else labels[chosen]
    image = space.images(point, its_label).detach()
    return Inversion(
        point=point,
        label=its_label,
        image=image,
        rms=float(pixel_rms(image, target)),
        baseline=baseline,
        distance=float(space.distance(point, its_label)),
    )


def descend(
    loss_of: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    deviation: float,
    rate: float,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Adam from several starts (N, ...) at once, with noise that fades; the best of each, and its loss (N,).

    Args:
        loss_of: Points to losses (N,), each of its own point alone.
        start: Where to begin; no end is worse.
        steps: How many.
        deviation: Of a coordinate of drawn points, the unit of rate and noise.
        rate: Largest step.
        seed: Of the noise.
        progress: Called after each step.
    """
    free, random = start.detach().clone().requires_grad_(), torch.Generator().manual_seed(seed)
    optimizer, typical = Adam([free]), deviation * math.sqrt(free.shape[-1])
    best, least = free.detach().clone(), loss_of(free).detach()
    for step in range(steps):
        share = step / steps
        optimizer.param_groups[0]["lr"] = rate * deviation * rate_at((step + 1) / (steps + 1))
        noise = torch.randn(free.shape, generator=random).to(free) * (NOISE * typical * noise_at(share))
        loss = loss_of(free + noise)
        (free.grad,) = torch.autograd.grad(loss.sum(), free)
        if noise_at(share) == 0:
            keep(best, least, free.detach(), loss.detach())
        optimizer.step()
        progress(step)
    keep(best, least, free.detach(), loss_of(free).detach())
    return best, least


def keep(best: Tensor, least: Tensor, points: Tensor, losses: Tensor) -> None:
    """Write those points and losses into the best ones, in place, that are lower."""
    is_lower = losses < least
    best[is_lower] = points[is_lower]
    least[is_lower] = losses[is_lower]


def tune(
    space: Space,
    found: Inversion,
    target: Tensor,
    *,
    steps: int = 200,
    rate: float = 3e-4,
    locality: float = 0.1,
    seed: int = 0,
) -> tuple[nn.Module, Inversion]:
    """A copy of the generator whose image of the found point is nearer to the target. The generator stays as it is.

    Args:
        space: Where the point was found.
        found: The inversion: its point is the pivot, and stays.
        target: (1, C, H, W) in [-1, 1].
        steps: Of Adam on the weights.
        rate: Step size.
        locality: Weight of what changes elsewhere, half-way between the pivot and a random point.
        seed: Of the random points.

    Returns:
        The copy, and the inversion with its image and error.
    """
    tuned = copy.deepcopy(space.network).eval().requires_grad_(True)
    optimizer = Adam([parameter for parameter in tuned.parameters()], rate)
    others = space.draw(
        max(steps, 1), seed=seed + 1, labels=None if found.label is None else found.label.expand(max(steps, 1))
    )
    pivot, wanted = found.point.detach().clone().requires_grad_(), features(target)  # so that images have a graph
    for step in range(steps):
        other = torch.lerp(found.point, others[step : step + 1], 0.5)
        before = space.images(other, found.label)
        with space.using(tuned):
            loss = (features(space.images(pivot, found.label)) - wanted).square().sum()
            if locality:
                loss = loss + locality * mse_loss(space.images(other.requires_grad_(), found.label), before)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    tuned.requires_grad_(False)
    with space.using(tuned), torch.no_grad():
        image = space.images(found.point, found.label)
    error = float(pixel_rms(image, target))
    return tuned, Inversion(
        point=found.point,
        label=found.label,
        image=image,
        rms=error,
        baseline=found.baseline,
        distance=found.distance,
    )
