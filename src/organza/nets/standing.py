"""What stands beside the weights: batch statistics taken anew, latents cut off for them, running means of scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn


@contextmanager
def standing_statistics(network: nn.Module, passes: Sequence[tuple[Tensor, ...]]) -> Iterator[None]:
    """The network in evaluation mode, with batch statistics averaged over these passes alike; then as it was.

    Running statistics describe weights that have moved on since, and other fakes than truncated latents make. These
    belong to the weights as they are and to nothing else: take the same passes for every sample.

    Args:
        network: Only its batch norms see the passes as in training; those that keep no statistics stay as they are.
        passes: Arguments of forward passes; none: the statistics stay the running ones.

    Source: Brock, Donahue, Simonyan 2019 (arXiv:1809.11096), section 4.1 and appendix A.
    """
    training = [part for part in network.modules() if part.training]
    network.eval()
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    norms = [norm for norm in norms if norm.running_mean is not None] if passes else []
    before, momenta = [[buffer.clone() for buffer in norm.buffers()] for norm in norms], [n.momentum for n in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average of all passes
            norm.train()
        with torch.no_grad():
            for inputs in passes if norms else ():
                network(*inputs)
        network.eval()
        yield
    finally:
        for norm, buffers, momentum in zip(norms, before, momenta, strict=True):
            norm.momentum = momentum
            torch._foreach_copy_(list(norm.buffers()), buffers)
        for part in training:
            part.training = True


def truncated(normal: Tensor, truncation: float) -> Tensor:
    """Standard normals moved to the normal distribution that is cut off at +-2 truncation, number by number.

    Where the paper draws anew what lies beyond a threshold (2 to 0.04 there), this keeps the quantile of each number:
    Phi^-1(Phi(-t) + (Phi(t) - Phi(-t)) Phi(x)) has the same distribution, and one number in gives one out. From 1 on
    nothing is cut, and the numbers are scaled by `truncation`.
    """
    if truncation >= 1:
        return normal * truncation
    bound = torch.tensor(2.0 * truncation, dtype=torch.float64)
    low, high = torch.special.ndtr(-bound), torch.special.ndtr(bound)
    share = low + (high - low) * torch.special.ndtr(normal.double())
    return torch.special.ndtri(share).clamp(-bound, bound).to(normal.dtype)


@final
class RunningMeans(nn.Module):
    """Running means of named numbers, in the order of the names in the buffer `mean`: belongs into `Game.extras`.

    Args:
        names: Of the numbers.
        decay: What is kept of a mean at an update; less in the beginning, when it is the plain mean of what was seen.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, *names: str, decay: float = 0.99) -> None:
        super().__init__()
        self.names, self.decay = names, decay
        self.register_buffer("mean", torch.zeros(len(names)))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def update(self, values: dict[str, Tensor]) -> None:
        """Move every mean towards its new value, a scalar; other names are ignored."""
        self.count.add_(1)
        weight = (1 / self.count).clamp(min=1 - self.decay)
        self.mean.lerp_(torch.stack([values[name].to(self.mean) for name in self.names]), weight)
