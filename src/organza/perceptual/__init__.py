"""Networks whose feature maps compare images, for losses and for distances between pairs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from organza.data.digit_pairs import DIGIT_PAIRS
from organza.data.options import DataOptions
from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.metrics.extractors import CLASSIFIED, efficientnet
from organza.perceptual.network import SMALLEST, PerceptualNetwork, Trunk
from organza.perceptual.shipped import classifier, efficientnet_lite0
from organza.perceptual.vgg import vgg

__all__ = ["NETWORKS", "PerceptualNetwork", "choose_network", "load_network"]

NETWORKS = ("vgg19", "vgg16", "efficientnet-lite0", "digits", "fashion")
"""Every network, by the name that users give."""


def load_network(
    name: str,
    *,
    weights: Path | None = None,
    layers: Sequence[str] = (),
    offline: bool = False,
    cache: Path | None = None,
) -> PerceptualNetwork:
    """A network that is ready to compare images.

    Args:
        name: One of `NETWORKS`.
        weights: File of its weights; else they come from a package (efficientnet-lite0, digits, fashion) or a download
            (vgg16, 550 MB, and vgg19).
        layers: Which of its layers are compared; none: those that suit most.
        offline: Never download; say instead where to put the file.
        cache: Folder for downloads; None: $ORGANZA_CACHE, else organza/ in the user's cache folder.

    Raises:
        UsageError: There is no such network or layer, or a package is missing; the message says what to install.
        DataError: The weights are missing, or are others than the name promises.
    """
    return PerceptualNetwork(trunk(name, weights=weights, offline=offline, cache=cache), layers)


def trunk(name: str, *, weights: Path | None, offline: bool, cache: Path | None) -> Trunk:
    """The network with all its layers. Arguments and errors as for `load_network`."""
    match name:
        case "vgg16" | "vgg19":
            folder = DataOptions(cache=cache).cache_folder
            return vgg(name, weights=weights, offline=offline, cache=folder)
        case "efficientnet-lite0":
            return efficientnet_lite0(weights=weights)
        case "digits" | "fashion":
            return classifier(name, weights=weights)
    close = difflib.get_close_matches(name.lower(), NETWORKS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"{name!r} is no known perceptual network.{hint} Known: {', '.join(NETWORKS)}.")


def choose_network(source_name: str, data: ImageSpec) -> str:
    """The network that suits some data, of those that need no download.

    The classifiers compare gray images of digits and garments, and what is made of them; EfficientNet-Lite0, a network
    of photographs, compares everything else.

    Args:
        source_name: What the source is called, for example `small-to-digits`.
        data: The images that are compared.

    Raises:
        UsageError: No network can look at such images, or it is not installed.
    """
    without = "To train without: --perceptual none"
    if data.channels not in (1, 3, 4) or min(data.height, data.width) < SMALLEST:
        raise UsageError(
            f"{source_name} holds images of {data.width}x{data.height} pixels and {data.channels} channels; a "
            f"perceptual network looks at 1, 3 or 4 channels and {SMALLEST} pixels or more a side. {without}"
        )
    judges = CLASSIFIED | dict.fromkeys(DIGIT_PAIRS, "digits")
    if source_name in judges and data.channels == 1:
        return judges[source_name]
    if not efficientnet.is_installed():
        raise UsageError(
            f"No perceptual network for {source_name} is installed. To install one that needs no download: "
            f'pip install "organza[perceptual]". {without}'
        )
    return "efficientnet-lite0"
