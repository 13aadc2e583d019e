"""BigGAN's generator: every residual block sees the class and a part of the latent of its own.

Source: Brock, Donahue, Simonyan 2019 (arXiv:1809.11096), section 3 and appendix B.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.attention import SelfAttention, halvings_until
from organza.nets.fast_conv import FewChannels
from organza.nets.mlp import Reshape
from organza.nets.patches import in_patches
from organza.nets.residual import MapNorm, UpBlock, conditional_norms, halvings, ladder, map_norm
from organza.nets.small_conv import Crop


@final
class HierarchicalGenerator(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images (N, C, H, W) in [-1, 1].

    The latent is cut into as many parts as there are blocks and one more. The first part makes the smallest map, by a
    dense layer; each other part goes, with the embedding of the class that all blocks share, into the norms of a block,
    whose gains and biases are linear in the two. Then norm, ReLU, 3x3, tanh.

    Args:
        data: The images.
        latent: Length of the latent; what does not divide makes the first parts longer.
        width: Channels of the largest map, doubled at each halving of the size.
        widest: Up to so many times.
        embedding: Length of the embedding of a class.
        num_classes: 0: the norms see their part of the latent alone.
        attention: Self-attention on the largest maps below full size whose shorter side is at most this; 0: nowhere.
        norm: Kind of the norms; what comes after them is as above.
        patch: Side of the squares of pixels that the largest map makes at each of its places.
    """

    def __init__(
        self,
        data: ImageSpec,
        *,
        latent: int,
        width: int,
        widest: int,
        embedding: int,
        num_classes: int,
        attention: int,
        norm: MapNorm,
        patch: int = 1,
    ) -> None:
        super().__init__()
        coarse = in_patches(data, patch)
        ups = halvings(coarse)
        if latent < ups + 1:
            raise UsageError(
                f"latent {latent} is too short for images of {data.height} x {data.width}: it is cut into {ups + 1} "
                f"parts, one per block and one more, so take --latent {ups + 1} or more"
            )
        self.parts = [latent // (ups + 1) + (part < latent % (ups + 1)) for part in range(ups + 1)]
        channels = ladder(width, ups, widest=widest)[::-1]
        channels = [channels[0], *channels]
        rows, columns = -(-coarse.height // 2**ups), -(-coarse.width // 2**ups)
        self.embed = nn.Embedding(num_classes, embedding) if num_classes else None
        self.first = nn.Linear(self.parts[0], channels[0] * rows * columns)
        self.reshape = Reshape(channels[0], rows, columns)
        blocks: list[nn.Module] = []
        for (before, after), part in zip(pairwise(channels), self.parts[1:], strict=True):
            size = part + (embedding if num_classes else 0)
            norms = conditional_norms(norm, lambda width, size=size: nn.Linear(size, width, bias=False))
            blocks.append(UpBlock(before, after, norm=norms))
        self.blocks = nn.ModuleList(blocks)
        self.attention_at = ups - halvings_until(coarse, attention, most=ups) if attention else -1
        self.attention = SelfAttention(channels[self.attention_at]) if attention else nn.Identity()
        norm_last, last = map_norm(norm, channels[-1], affine=True), FewChannels(channels[-1], coarse.channels, 3)
        finish = nn.PixelShuffle(patch), Crop(data.height, data.width), nn.Tanh()
        self.last = nn.Sequential(norm_last, nn.ReLU(), last, *finish)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Images from latents."""
        first, *others = latent.split(self.parts, dim=1)
        told = [self.embed(label)] if self.embed is not None and label is not None else []
        x = self.reshape(self.first(first))
        for index, (block, part) in enumerate(zip(self.blocks, others, strict=True)):
            if index == self.attention_at:
                x = self.attention(x)
            x = block(x, torch.cat([*told, part], dim=1))
        return self.last(x)
