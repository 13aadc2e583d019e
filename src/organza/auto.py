"""`auto`, the recipe of plain `organza train`: settings from the data and the machine.

Its choices rest on measurements with 28 x 28 pixels, and a few with 64 x 64, on two CPU cores (docs/benchmarks.md,
LOG.md); where it goes beyond them, to larger images and to GPUs, the reason that it gives says so. Schedules are shares
of the budget, so the time allowed needs no choice of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, final

from organza.augment import Augmentation
from organza.data.groups import LEAST, suitable
from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Game
from organza.recipe import Conditional, Found, Recipe, find

GRAY, COLOR = 128, 64
"""Groups of similar images that serve as classes where there are no labels, at most."""
POINTS = 256
"""Groups of similar points that serve as classes where there are no labels and points enough."""
MEASURED = 64
"""Height and width in pixels up to which the choices have been measured."""
FEW = 5_000
"""Below so many images the critic could learn them by heart, so what it sees is augmented."""
ADAPTIVE: tuple[Augmentation, ...] = ("translation", "scale", "stretch", "rotate", "cutout")
"""How (ADA): more of it as the critic gets surer of real images."""


@final
@dataclass(frozen=True, kw_only=True)
class Auto(Recipe):
    """Chooses family and settings from the data and the machine."""

    batch: int = 0
    """Real samples per step, over all ranks; 0: chosen."""
    length: float = 0.0
    """Passes over the data when the run gives no budget; 0: chosen."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""

    def __post_init__(self) -> None:
        for name in ("batch", "length"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be at least 0; got {getattr(self, name)}")

    def build(self, data: Spec) -> Game:
        """The game of what would be chosen for plenty of such data on a CPU."""
        return self.choose(data, count=10**6, device="cpu").recipe.build(data)

    @property
    def asked(self) -> dict[str, Any]:
        """The fields that are to be as they are here."""
        return {key: value for key, value in asdict(self).items() if value != getattr(Auto, key)}

    def groups(self, data: Spec, *, count: int) -> int:
        """How many groups of similar samples are to serve as classes; 0: none."""
        if data.classes or data.has_source or self.conditional == "no":
            return 0
        if isinstance(data, ImageSpec):
            return suitable(count, most=GRAY if data.channels == 1 else COLOR)
        return POINTS if count >= POINTS * LEAST else 0

    def choose(self, data: Spec, *, count: int, device: str, world: int = 1, has_holes: bool = False) -> Found:
        """Another recipe with every field set, and why.

        Args:
            data: What is to be made.
            count: Samples in the data.
            device: cpu, cuda, cuda:N or mps.
            world: Processes that share a batch.
            has_holes: Whether sources are the images with transparent holes.
        """
        if isinstance(data, ImageSpec) and data.has_source:
            (name, reason), changes = from_images(data, has_holes=has_holes), []
            found, why = find(name), [f"{name}, since {reason}"]
            if self.conditional != "auto":
                raise UsageError(f"{found.name} knows no labels, so leave out --conditional {self.conditional}")
        elif isinstance(data, ImageSpec):
            found, is_small = find("r3gan:fast"), max(data.height, data.width) <= MEASURED
            beyond = "" if is_small else f"; not measured above {MEASURED} pixels"
            why = [f"r3gan:fast: of all families the nearest to real digits and garments in the same time{beyond}"]
            changes = list(for_images(found.recipe.batch, count=count, device=device))
        else:
            found, why, changes = find("r3gan:toy", conditional="auto"), ["r3gan:toy, since the data is points"], []
        if data.grouped:
            why.append(f"{data.num_classes} groups of similar samples as classes, since there are no labels")
        fields: dict[str, Any] = {}
        for wanted, reason in changes:
            changed = {key: value for key, value in wanted.items() if key not in self.asked}
            fields |= changed
            why.append(", ".join(f"{key} {shown(value)}" for key, value in changed.items()) + f": {reason}")
        usual = fields.get("batch", found.recipe.batch)
        batch = max(world, min(usual, count) // world * world)
        if batch != usual and not self.batch:
            fields["batch"] = batch
            why.append(f"batch {batch}: for {count:,} samples and {world} {'process' if world == 1 else 'processes'}")
        return replace(found, recipe=replace(found.recipe, **fields | self.asked), why=tuple(why))


def from_images(data: ImageSpec, *, has_holes: bool) -> tuple[str, str]:
    """The family for images that are made from images, and why."""
    source = data.source
    assert source is not None
    if not data.is_paired:
        return "cyclegan", "images are to be made from images, unpaired"
    if source.height < data.height:
        return "srgan", "images are to be made from smaller ones"
    if has_holes:
        return "inpaint", "images are to be made from ones with transparent holes"
    return "pix2pix", "images are to be made from images"


def for_images(batch: int, *, count: int, device: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Fields that differ from `r3gan:fast`, and why. On a CPU even an hour is best spent on steps, not on width."""
    if not device.startswith("cpu"):
        wide = {"width": 64, "widest": 512, "blocks": 2, "patch": 1, "generator_lr": 2e-3, "critic_lr": 2e-3}
        yield wide | {"batch": 4 * batch}, "a GPU has room for it (not measured)"
    if count < FEW:
        adapts: dict[str, Any] = {"augment": ADAPTIVE, "augment_target": 0.2}
        yield adapts, f"few images ({count:,}), which the critic would know by heart; more of it as it gets surer"


def shown(value: Any) -> str:
    """A value as the command line takes it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value}"
