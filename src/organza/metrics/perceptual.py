"""How near images look to the ones they should be, pair by pair, to a trained network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from organza.metrics.extractors.extractor import full_precision
from organza.metrics.image_quality import compared
from organza.perceptual.network import SMALLEST, PerceptualNetwork

AT_ONCE = 2**18
"""So many pixels, enlarged as the network needs them, pass through it together."""


@final
@dataclass(frozen=True)
class PerceptualDistance:
    """The distance between feature maps of real images and of what should be equal to them; see the network's."""

    network: PerceptualNetwork
    device: str = "cpu"
    """Where it computes."""

    @property
    def name(self) -> str:
        """The network's."""
        return self.network.name

    @property
    def title(self) -> str:
        """What the score is called. It is not LPIPS, which is another network's, with weights fitted to people."""
        return f"perceptual-{self.name}"

    def __call__(self, real: np.ndarray, fake: np.ndarray, *, border: int = 0) -> np.ndarray:
        """The distances in float64, (N,), from 0 for equal images to 4; computed in float32 without autocast and TF32.

        Args:
            real: Images (N, H, W, C), uint8 or uint16, of 8 pixels a side within the border and 1, 3 or 4 channels.
            fake: What should be equal to them.
            border: Rows and columns left out at every edge.

        Raises:
            MeasureError: The arrays are no images of one shape and type, or the border leaves too little.
            DataError: They have another number of channels.
        """

        def of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            count = max(1, AT_ONCE // (x[0, ..., 0].size * self.network.enlargement(*x.shape[1:3]) ** 2))
            parts = zip(*(self.seen(each).split(count) for each in (x, y)), strict=True)
            return torch.cat(
                [self.network.distance(a.to(self.device), b.to(self.device)).cpu() for a, b in parts]
            ).numpy()

        with full_precision(self.device), torch.no_grad():
            return compared(of, real, fake, channels="all", border=border, least=SMALLEST).astype(np.float64)

    @staticmethod
    def seen(x: np.ndarray) -> Tensor:
        """Shares of white (N, H, W, C) as a network takes them."""
        return torch.from_numpy(2 * x - 1).permute(0, 3, 1, 2).float()
