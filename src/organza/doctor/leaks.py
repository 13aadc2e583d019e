"""Whether fakes look like augmented samples rather than like the data: one number per augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from organza.augment import Augment
from organza.data.spec import Spec
from organza.game import Clock
from organza.schedules import constant

LEAKED = 1_000
"""Real samples that are enough: half of them, as they are and changed, are what fakes are compared with."""
DISTINCT = 0.4
"""An augmentation that changes fewer of the nearest neighbours than this cannot be seen in the fakes either."""


@final
class Leaks:
    """The share of fakes whose nearest neighbour is a changed sample, scaled by what real samples have.

    0: as among real samples that are left as they are; 1: as among real samples that are all changed.

    Args:
        augment: The pipe of a game.
        images: Real samples (N, ...) as networks see them, at least four.
        spec: Of the data.
        flat: Makes rows of them that can be compared.
    """

    def __init__(self, augment: Augment, images: Tensor, spec: Spec, flat: Callable[[Tensor], Tensor]) -> None:
        count = min(LEAKED, len(images)) // 2
        kept, probes = images[:count], images[count : 2 * count]
        self.plain, self.changed, self.scale = flat(kept), {}, {}
        for name in augment.names:
            if name == "pseudo":  # it shows fakes to the critic, so there is nothing to leak
                continue
            alone = Augment(spec, [name], share=constant(1.0))

            def change(images: Tensor, alone: Augment = alone) -> Tensor:
                noise = {key: value.to(images.device) for key, value in alone.draw(len(images)).items()}
                return flat(alone(images, noise, Clock()))

            torch.manual_seed(0xD0C)
            changed = change(kept)
            low, high = (self.nearer(rows, changed) for rows in (flat(probes), change(probes)))
            if high - low > DISTINCT:
                self.changed[name], self.scale[name] = changed, (low, high - low)

    def __call__(self, fakes: Tensor) -> dict[str, float]:
        """By augmentation; those that can be told from the data only."""
        plain = nearest(fakes, self.plain)
        shares = {name: float((nearest(fakes, rows) < plain).float().mean()) for name, rows in self.changed.items()}
        return {name: (share - self.scale[name][0]) / self.scale[name][1] for name, share in shares.items()}

    def nearer(self, rows: Tensor, changed: Tensor) -> float:
        """The share of rows that are nearer to a changed sample than to any that is as it was."""
        return float((nearest(rows, changed) < nearest(rows, self.plain)).float().mean())


def nearest(rows: Tensor, others: Tensor) -> Tensor:
    """The distance of each row to the nearest of the others."""
    return torch.cdist(rows, others).min(dim=1).values
