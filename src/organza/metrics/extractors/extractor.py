"""What a feature extractor is: a network, how images reach it, and how its scores are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from organza.errors import DataError, UsageError

Images = np.ndarray | Tensor | Sequence[np.ndarray]
Network = Callable[[Tensor], tuple[Tensor, Tensor | None]]
CANONICAL = "inception"
COLOUR = {
    0: "as it is",
    1: "gray: Rec. 601 luma of RGB, rounded; RGBA over white",
    3: "RGB: gray three times; RGBA over white",
}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@final
@dataclass(frozen=True)
class Features:
    """What a network says of N images."""

    features: np.ndarray
    """(N, D) float32."""
    probabilities: np.ndarray | None
    """(N, K) float32, rows of sum 1; None for a network without classes."""


@final
@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A network with everything that determines its features. Two that are equal give comparable scores."""

    name: str
    """Its key in `EXTRACTORS`."""
    label: str
    """What the Frechet distance of its features is called. FID, IS and KID belong to `inception` alone."""
    sha256: str
    """Of the file of its weights, in hexadecimal; empty without weights."""
    layer: str
    """Which activations the features are."""
    feature_dim: int
    """D; 0 if it depends on the images."""
    size: int
    """Height and width of what the network sees; 0 if images enter as they are."""
    resize: str
    """How other sizes are brought to it."""
    range: str
    """How pixel values 0 to 255 enter the network."""
    channels: Literal[0, 1, 3]
    """Channels of what the network sees; 0 if any."""
    num_classes: int
    """K, or 0 without classes."""
    chunk: int
    """Images that pass through the network at once."""
    device: str
    """Where it computes."""
    network: Network = field(repr=False, compare=False)
    """Images (N, `channels`, H, W), uint8 on `device`, to features (N, D) and probabilities (N, K) or None."""
    quantise: str = "uint8; 16 bits rounded to 8"
    """How finely values are resolved. Images of 16 bits are rounded to 8: v to the nearest of v / 257."""

    def __post_init__(self) -> None:
        """Refuse a borrowed name."""
        if self.name != CANONICAL and {"FID", "KID", "IS"} & set(self.label.replace("-", " ").split()):
            raise UsageError(
                f"The scores of {self.name!r} cannot be called {self.label}: FID, IS and KID are scores of the 2015 "
                f"Inception network. Name them after the network, as in FD-{self.name}."
            )

    @property
    def colour(self) -> str:
        """How images of other channel counts are brought to what the network sees."""
        return COLOUR[self.channels]

    def record(self) -> dict[str, str | int | bool]:
        """The extractor's part of a metric record."""
        return {
            "extractor": self.name,
            "extractor_sha256": self.sha256,
            "layer": self.layer,
            "feature_dim": self.feature_dim,
            "resize": self.resize,
            "quantise": self.quantise,
            "range": self.range,
            "colour": self.colour,
            "dtype": "float32",
            "tf32": False,
            "batch_size": self.chunk,
            "device": self.device,
        }

    def __call__(self, images: Images) -> Features:
        """The features and probabilities of images, computed in float32 without autocast and TF32.

        Args:
            images: (N, H, W, C) uint8 or uint16, or a sequence of (H, W, C) of one shape; C of 1, 3 or 4 if the network
                looks at 1 or 3 channels.

        Raises:
            DataError: There are no images, or they are of several shapes, another type or a channel count that has no
                colour policy.
        """
        stored = checked(images, any_channels=self.channels == 0)
        features, probabilities = [], []
        with full_precision(self.device), torch.no_grad():
            for part in stored.split(self.chunk):
                pixels = coloured(eight_bits(part.to(self.device)).permute(0, 3, 1, 2), self.channels)
                some, likely = self.network(pixels)
                features.append(some.float().cpu().numpy())
                if likely is not None:
                    probabilities.append(likely.float().cpu().numpy())
        return Features(np.concatenate(features), np.concatenate(probabilities) if probabilities else None)


def checked(images: Images, *, any_channels: bool) -> Tensor:
    """Images as one tensor (N, H, W, C) of uint8 or uint16."""
    if not isinstance(images, np.ndarray | Tensor):
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) > 1:
            raise DataError(
                f"The {len(images):,} images have {len(shapes)} shapes (for example {shapes[0]} and {shapes[-1]}); a "
                "network needs one. Read them with --resize, for example --resize 64."
            )
        images = np.stack(list(images)) if len(images) else np.zeros((0, 1, 1, 1), np.uint8)
    known = images.dtype in (torch.uint8, torch.uint16, np.uint8, np.uint16)
    if images.ndim != 4 or not known:
        raise DataError(
            f"The images are {images.dtype} of shape {tuple(images.shape)}; uint8 or uint16 of shape (N, H, W, C) are "
            "needed."
        )
    if len(images) == 0 or 0 in images.shape:
        raise DataError(f"There is nothing to extract features from: the images have shape {tuple(images.shape)}.")
    if not any_channels and images.shape[3] not in (1, 3, 4):
        raise DataError(
            f"The images have {images.shape[3]} channels, and nothing says how they look in gray or RGB: 1, 3 or 4 are "
            "needed. Use the extractor pixels, which takes any."
        )
    # Contiguous and writable, since torch warns of arrays that are not.
    return images if isinstance(images, Tensor) else torch.from_numpy(np.require(images, requirements=["C", "W"]))


def eight_bits(images: Tensor) -> Tensor:
    """uint8 as it is, uint16 to the nearest uint8."""
    return images if images.dtype == torch.uint8 else ((images.int() + 128) // 257).to(torch.uint8)


def coloured(images: Tensor, channels: int) -> Tensor:
    """Images (N, C, H, W), uint8, in as many channels as a network sees: 1, 3, or 0 for those they have."""
    if channels in (0, images.shape[1]):
        return images
    if images.shape[1] == 4:
        alpha = images[:, 3:].float() / 255
        images = (images[:, :3] * alpha + 255 * (1 - alpha)).round().to(torch.uint8)
    if images.shape[1] == 1 and channels == 3:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] == 3 and channels == 1:
        luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
        return (images * luma).sum(1, keepdim=True).round().to(torch.uint8)
    return images


def resized(images: Tensor, size: int, *, mode: Literal["bilinear", "bicubic"]) -> Tensor:
    """Images (N, C, H, W), uint8, as float32 in [0, 255] of `size` x `size`, anti-aliased, not rounded; stretched."""
    pixels = images.float()
    if images.shape[2:] == (size, size):
        return pixels
    return interpolate(pixels, size=(size, size), mode=mode, antialias=True, align_corners=False).clamp(0, 255)


def resize_policy(size: int, mode: str) -> str:
    """What `resized` does, in words."""
    return f"{mode}, anti-aliased, stretched to {size}x{size}, not rounded afterwards"


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Inside, float32 is float32: no autocast, no TF32 and no bfloat16 in products and convolutions."""
    switches = attrgetter("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")(torch.backends)
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value
