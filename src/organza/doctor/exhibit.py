"""Pictures as evidence: fakes beside the samples that show what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from torch import Tensor

from organza import pictures
from organza.data.source import encode
from organza.data.spec import ImageSpec, Spec

PAIRS = 16
"""Fakes that are shown with their partner."""
CROWD = 32
"""Fakes, and as many real samples, where no fake has a partner."""

WITHOUT_PICTURE = {"non_finite", "penalty_disconnected", "label_imbalance", "data_bound"}
"""Illnesses that samples do not show."""


@final
class Exhibit:
    """The fakes and the real samples of one examination.

    Args:
        fakes: As networks see them, (N, ...).
        rows: The fakes as rows of numbers that can be compared.
        reference: Training samples likewise.
        spec: Of the data.
        real: Reads those of the training samples that it is told, as networks see them.
    """

    def __init__(
        self, fakes: Tensor, rows: Tensor, reference: Tensor, spec: Spec, real: Callable[[np.ndarray], Tensor]
    ) -> None:
        self.fakes, self.rows, self.reference, self.spec, self.real = fakes, rows, reference, spec, real

    def picture(self, illness: str) -> pictures.Picture:
        """What shows this illness: pairs of a fake and its near copy, else fakes above and real samples below."""
        if not isinstance(self.spec, ImageSpec):
            return pictures.scatter(self.fakes.cpu().numpy(), self.reference.cpu().numpy())
        match illness:
            case "memorisation":
                both = self.nearest_real()
            case "sameness":
                both = self.nearest_fake()
            case _:
                both = self.fakes[:CROWD], self.real(np.arange(min(CROWD, len(self.reference))))
        count = min(map(len, both))
        columns = min(PAIRS, count)
        count -= count % columns  # whole rows, so that the halves stay apart
        shown = torch.cat([side[:count] for side in both])
        return pictures.grid(encode(shown.nan_to_num(), self.spec), columns=columns)

    def nearest_real(self) -> tuple[Tensor, Tensor]:
        """The fakes that are nearest to a training sample, and that sample."""
        near = torch.cdist(self.rows, self.reference).min(dim=1)
        chosen = near.values.argsort()[:PAIRS]
        return self.fakes[chosen], self.real(near.indices[chosen].cpu().numpy())

    def nearest_fake(self) -> tuple[Tensor, Tensor]:
        """The first fakes, and the other fake that is most like each."""
        between = torch.cdist(self.rows, self.rows)
        between.fill_diagonal_(torch.inf)
        return self.fakes[:PAIRS], self.fakes[between[:PAIRS].argmin(dim=1)]
