"""Augmentations that gradients pass through: a critic that sees changed images only cannot learn a small set by heart.

Real and fake images go through the same pipe, and the generator's gradient comes back through it. Each operation acts
on a sample with a certain probability, its share. As long as that stays clearly below 1, or the changed images are as
likely as the unchanged ones, the generator learns the unchanged ones; else the changes leak into its samples.

Sources: Zhao et al. 2020, DiffAugment (arXiv:2006.10738): `color translation cutout` with share 1; Karras et al. 2020,
ADA (arXiv:2006.06676): the geometric operations and the controller; Jiang et al. 2021, APA (arXiv:2111.06849).
Differs from ADA: bilinear instead of wavelet filters; color ranges are those of DiffAugment.

All randomness is one row of uniform numbers per sample, drawn in `Game.draw`. Everything is twice differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Schedule

Augmentation = Literal[
    "flip", "rotate90", "translation", "scale", "rotate", "stretch", "brightness", "contrast", "saturation", "hue",
    "invert", "cutout", "pseudo", "geometry", "color",
]  # fmt: skip
"""An operation, or a group of them: `geometry` (the first six), `color` (brightness, contrast, saturation)."""

GROUPS: dict[str, tuple[str, ...]] = {
    "geometry": ("flip", "rotate90", "translation", "scale", "rotate", "stretch"),
    "color": ("brightness", "contrast", "saturation"),
}
COLUMNS = 3
"""Uniform numbers per operation: whether it acts, and two that say how."""
PERIOD = 4
"""The controller looks at the average over about so many updates (Karras et al. 2020, section 3.1)."""


@final
class Augment(nn.Module):
    """A pipe of augmentations with its strength. Belongs into `Game.extras` where the strength adapts.

    Args:
        data: The images; anything else is refused unless `names` is empty.
        names: Operations and groups, each an `Augmentation`; empty: images pass unchanged.
        share: Probability with which each operation acts on a sample, as a schedule; where the strength adapts, its
            upper limit.
        target: Of E sign D(real), to which the strength adapts (ADA; 0.6 there); 0: it follows `share`.
        horizon: Real samples in which an adapting strength can move from 0 to 1.
    """

    strength: Tensor
    confidence: Tensor

    def __init__(
        self,
        data: Spec,
        names: Sequence[str],
        *,
        share: Schedule,
        target: float = 0.0,
        horizon: float = 1e5,
    ) -> None:
        super().__init__()
        if names and not isinstance(data, ImageSpec):
            raise UsageError(
                f"augment works on images, and this data holds {data.key} data: set augment to none of them"
            )
        self.names = tuple(dict.fromkeys(one for name in names for one in GROUPS.get(name, (name,))))
        self.share, self.target, self.horizon = share, target, horizon
        self.register_buffer("strength", torch.zeros(()))
        self.register_buffer("confidence", torch.full((), target))

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        """An empty pipe has nothing to load: runs from before their family could augment go on."""
        if self.names:
            super()._load_from_state_dict(*args, **options)

    @property
    def adapts(self) -> bool:
        """Whether the strength follows the critic's confidence."""
        return bool(self.names) and self.target > 0

    def draw(self, n: int) -> Batch:
        """The noise of a turn: uniform numbers under the key `augment`, (n, columns); nothing for an empty pipe."""
        return {"augment": torch.rand(n, COLUMNS * len(self.names))} if self.names else {}

    def forward(self, images: Tensor, batch: Batch, clock: Clock) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], changed as the noise in `batch` says."""
        if not self.names:
            return images
        plan: Plan = {}
        for name, numbers in zip(self.names, batch["augment"].split(COLUMNS, dim=1), strict=True):
            gate, u, v = numbers.unbind(1)
            plan[name] = gate < self.probability(clock), u, v
        moves = {name: plan[name] for name in GEOMETRY if name in plan}
        if moves:
            images = move(images, moves)
        for name, change in COLOR.items():
            if name in plan:
                images = recolor(images, *plan[name][:2], change)
        return cut(images, *plan["cutout"]) if "cutout" in plan else images

    def pair(self, real: Tensor, fake: Tensor, batch: Batch, clock: Clock) -> tuple[Tensor, Tensor]:
        """Both sides changed alike, sample by sample; with `pseudo` some real images are replaced by their fakes."""
        if "pseudo" in self.names:
            acts = batch["augment"][:, COLUMNS * self.names.index("pseudo")] < self.probability(clock)
            real = torch.where(per_image(acts), fake.detach(), real)
        return self(real, batch, clock), self(fake, batch, clock)

    def probability(self, clock: Clock) -> Tensor | float:
        """With which each operation acts now."""
        return self.strength.clamp(max=self.share(clock)) if self.adapts else self.share(clock)

    def watch(self, real_score: Tensor, clock: Clock) -> dict[str, Tensor]:
        """What the controller goes by and where it stands, for the critic's `Loss.watch`.

        Args:
            real_score: Of real samples, above 0 where the critic takes them for real; in a game of pairs, whose scores
                have no zero, by how much they exceed those of the fakes.
            clock: Now.
        """
        if not self.names:
            return {}
        strength = torch.as_tensor(self.probability(clock), device=real_score.device).expand(len(real_score))
        return {"augment_share": strength} | ({"real_sign": real_score.flatten().sign()} if self.adapts else {})

    def adapt(self, samples: int) -> Callable[[dict[str, Tensor]], None] | None:
        """For `Turn.after` of the critic: more where it is too sure of real images, less where it is not.

        Args:
            samples: Real samples of a turn, over all ranks.
        """
        if not self.adapts:
            return None

        @torch.no_grad()
        def after(means: dict[str, Tensor]) -> None:
            self.confidence.lerp_(means["real_sign"], 1 / PERIOD)
            step = torch.sign(self.confidence - self.target) * samples / self.horizon
            self.strength.copy_((means["augment_share"] + step).clamp(0, 1))

        return after


Plan = dict[str, tuple[Tensor, Tensor, Tensor]]
"""Per operation: on which samples it acts, (N,) bool, and two uniform numbers that say how, (N,) each."""


def per_image(values: Tensor) -> Tensor:
    """One value per sample, (N,), in the shape of images: (N, 1, 1, 1)."""
    return values[:, None, None, None]


def matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, 3) that map (column, row, 1) to (a column + b row + x, c column + d row + y, 1)."""
    zero = torch.zeros_like(a)
    return torch.stack([a, b, x, c, d, y, zero, zero, zero + 1], dim=1).view(-1, 3, 3)


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """Scalings by x across and y down."""
    zero = torch.zeros_like(x)
    return matrix(x, zero, zero, y, zero, zero)


def turned(angle: Tensor) -> Tensor:
    """Rotations by angles in radians."""
    zero = torch.zeros_like(angle)
    return matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos(), zero, zero)


def shifted(x: Tensor, y: Tensor) -> Tensor:
    """Moves by whole pixels."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return matrix(one, zero, zero, one, x.round(), y.round())


def normal(u: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones."""
    return torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4))


Move = Callable[[Tensor, Tensor, int, int], Tensor]
GEOMETRY: dict[str, Move] = {
    "flip": lambda u, v, h, w: scaled(1 - 2 * (u < 0.5).to(u), torch.ones_like(u)),
    "rotate90": lambda u, v, h, w: turned(math.pi * (u * 2).floor() if h != w else math.pi / 2 * (u * 4).floor()),
    "translation": lambda u, v, h, w: shifted((2 * u - 1) * w / 8, (2 * v - 1) * h / 8),
    "scale": lambda u, v, h, w: scaled((0.2 * normal(u)).exp2(), (0.2 * normal(u)).exp2()),
    "rotate": lambda u, v, h, w: turned((2 * u - 1) * math.pi),
    "stretch": lambda u, v, h, w: scaled((0.2 * normal(u)).exp2(), (-0.2 * normal(u)).exp2()),
}
"""From two uniform numbers per sample, (N,) each, height and width to where each pixel of the result comes from, in
pixels about the centre: (N, 3, 3)."""


def move(images: Tensor, plan: Plan) -> Tensor:
    """All geometric operations in one resampling; samples that none acts on stay as they are, bit for bit."""
    height, width = images.shape[2:]
    device, dtype = images.device, torch.float32
    with torch.autocast(device.type, enabled=False):  # coordinates need the digits
        whole = torch.eye(3, device=device, dtype=dtype).expand(len(images), 3, 3)
        for name, (acts, u, v) in plan.items():
            whole = torch.where(acts[:, None, None], whole @ GEOMETRY[name](u, v, height, width), whole)
        size = torch.tensor([width / 2, height / 2, 1.0], device=device, dtype=dtype)
        theta = (whole * size / size[:, None])[:, :2]
        grid = nn.functional.affine_grid(theta, [len(images), 1, height, width], align_corners=False)
        moved = Resample.apply(images.to(dtype), grid)
    any_acts = torch.stack([acts for acts, _, _ in plan.values()]).any(0)
    return torch.where(per_image(any_acts), moved.to(images.dtype), images)


BILINEAR, REFLECTION = 0, 2


class Resample(torch.autograd.Function):
    """Bilinear samples of images (N, C, H, W) at a grid (N, H, W, 2) in [-1, 1], reflected beyond the border.

    It is linear in the images, so its second derivative is the operation itself; torch's own has none.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        """Look up."""
        ctx.save_for_backward(grid)
        return torch.grid_sampler_2d(images, grid, BILINEAR, REFLECTION, False)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        """Spread."""
        return Spread.apply(grad[0], *ctx.saved_tensors), None


class Spread(torch.autograd.Function):
    """The transpose of `Resample`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor) -> Tensor:
        """Spread."""
        ctx.save_for_backward(grid)
        like = torch.zeros_like(values)
        mask = [True, False]
        return torch.ops.aten.grid_sampler_2d_backward(values, like, grid, BILINEAR, REFLECTION, False, mask)[0]

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        """Look up."""
        return Resample.apply(grad[0], *ctx.saved_tensors), None


Recolor = Callable[[Tensor, Tensor], Tensor]
COLOR: dict[str, Recolor] = {
    "brightness": lambda x, u: x + (u - 0.5),
    "contrast": lambda x, u: mix(x, x.mean((1, 2, 3), keepdim=True), u + 0.5),
    "saturation": lambda x, u: mix(x, x.mean(1, keepdim=True), 2 * u),
    "hue": lambda x, u: hue_turned(x, (2 * u - 1) * math.pi),
    "invert": lambda x, u: x - torch.where(u < 0.5, 2.0, 0.0) * x.mean(1, keepdim=True),
}
"""From images and one uniform number each, (N, 1, 1, 1), to changed images. Alpha channels are left out before."""


def recolor(images: Tensor, acts: Tensor, u: Tensor, change: Recolor) -> Tensor:
    """A color operation where it acts; the alpha channel of RGBA stays."""
    color, alpha = images.split([3, 1], dim=1) if images.shape[1] == 4 else (images, images[:, :0])
    return torch.cat([torch.where(per_image(acts), change(color, per_image(u)), color), alpha], dim=1)


def mix(x: Tensor, middle: Tensor, amount: Tensor) -> Tensor:
    """Away from the middle where the amount is above 1, towards it below."""
    return middle + (x - middle) * amount


def hue_turned(x: Tensor, angle: Tensor) -> Tensor:
    """RGB turned about the gray axis by an angle (Rodrigues); other images as they are."""
    if x.shape[1] != 3:
        return x
    gray = x.mean(1, keepdim=True)
    across = (x.roll(1, dims=1) - x.roll(-1, dims=1)) / math.sqrt(3)
    return gray + (x - gray) * angle.cos() + across * angle.sin()


def cut(images: Tensor, acts: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """A rectangle of half the height and width, anywhere, becomes 0."""
    height, width = images.shape[2:]
    rows, columns = (torch.arange(side, device=images.device) + 0.5 for side in (height, width))
    inside = ((rows - per_image(v)[:, 0] * height).abs() < height / 4).unsqueeze(3) & (
        (columns - per_image(u)[:, 0] * width).abs() < width / 4
    ).unsqueeze(2)
    return torch.where(per_image(acts) & inside, torch.zeros_like(images), images)
