"""Contrastive learning of patches: a place of the output is to know its own place in the input among all others.

Source: Park, Efros, Zhang, Zhu 2020, CUT (arXiv:2007.15651), section 3 and appendix C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from organza.nets.layers import Float32


@final
class PatchSampler(nn.Module):
    """Features at some places, each through a head of two layers, as vectors of length 1.

    Args:
        channels: Of the maps that will come, one head for each.
        width: Numbers per place in the hidden layer and in what goes out.
    """

    def __init__(self, channels: Sequence[int], *, width: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            Float32(nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width))) for count in channels
        )

    def forward(self, features: Sequence[Tensor], places: Tensor) -> list[Tensor]:
        """Vectors at places, the same numbers for all maps, so that they lie at like places of each.

        Args:
            features: Maps (N, C, H, W), one per head, of any size.
            places: (N, P), uniform in [0, 1). A map of fewer places than P is seen whole.

        Returns:
            For each map (N, min(P, H W), width).
        """
        vectors: list[Tensor] = []
        for head, maps in zip(self.heads, features, strict=True):
            rows = maps.flatten(2).transpose(1, 2)  # (N, H W, C)
            index = distinct(places, rows.shape[1])[:, :, None].expand(-1, -1, rows.shape[2])
            vectors.append(normalize(head(rows.gather(1, index)), dim=2))
        return vectors


def distinct(places: Tensor, count: int) -> Tensor:
    """Different whole numbers below `count` for each sample, in order, from uniform numbers.

    The k-th smallest number of P, times count - P + 1, rounded down, plus k: a set of P of `count` for each multiset of
    P of count - P + 1. No place is drawn twice: it would be a negative example of itself.

    Args:
        places: (N, P) in [0, 1).
        count: Of places that there are.

    Returns:
        (N, min(P, count)) int64.
    """
    chosen = places[:, :count].sort(dim=1).values
    rest = count - chosen.shape[1]
    step = torch.arange(chosen.shape[1], device=places.device)
    return (chosen * (rest + 1)).long().clamp(max=rest) + step


def patch_nce(
    query: Float[Tensor, "n p d"], key: Float[Tensor, "n p d"], *, temperature: float = 0.07
) -> Float[Tensor, ""]:
    """The cross entropy of finding, for every query, the key of its own place among all keys of the same image.

        mean over n, p of -log softmax(query key^T / temperature)_pp

    Args:
        query: Vectors of the output's patches, of length 1.
        key: Vectors of the input's patches, of length 1. Detach them to move the queries alone, as the paper does.
        temperature: tau; small ones ask for certainty.

    Returns:
        Scalar >= 0; ln P where all keys are alike.

    Source: Park et al. 2020 (arXiv:2007.15651), Eqs. 3 and 4.
    """
    likeness = query.float() @ key.float().transpose(1, 2) / temperature  # (N, P, P)
    own = torch.arange(likeness.shape[1], device=likeness.device).expand(len(likeness), -1)
    return cross_entropy(likeness.flatten(0, 1), own.flatten())
