"""VGG of ImageNet with 16 or 19 layers, from torchvision's weights: the network that most papers compare images with.

Source: Simonyan and Zisserman 2014 (arXiv:1409.1556), table 1, columns D and E.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from organza.data.download import fetch
from organza.errors import DataError
from organza.metrics.extractors.files import read_checked, state_dict
from organza.perceptual.network import Trunk

Name = Literal["vgg16", "vgg19"]

URL = "https://download.pytorch.org/models/"
FILES: dict[Name, tuple[str, str]] = {
    "vgg16": ("vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    "vgg19": ("vgg19-dcbb9e9d.pth", "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"),
}
"""torchvision's file of each and its SHA-256 sum."""
DEPTHS: dict[Name, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions at each of the five resolutions."""
WIDTHS = (64, 128, 256, 512, 512)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet, in [0, 1]: what torchvision's weights expect to be taken out."""


def vgg(name: Name, *, weights: Path | None, offline: bool, cache: Path) -> Trunk:
    """One of the two, from a file of its weights or from the official download, kept in the cache."""
    file, sha256 = FILES[name]
    path = weights or fetch(URL + file, to=cache / "weights" / file, sha256=sha256, offline=offline)
    return built(name, read_checked(path, sha256=sha256, what=f"{name} of torchvision ({file})"), sha256=sha256)


def built(name: Name, data: bytes, *, sha256: str) -> Trunk:
    """The convolutions with the weights in `data`, a .pth file.

    The stages are called `conv1_1`, `relu1_1`, ..., `pool5`. The last convolution at each resolution is compared,
    before its ReLU, which would leave out most of the deep ones (Wang et al. 2018, arXiv:1809.00219, section 3.2).
    """
    state = state_dict(data)
    stages: dict[str, nn.Module] = {}
    channels = 3
    for block, (depth, width) in enumerate(zip(DEPTHS[name], WIDTHS, strict=True), start=1):
        for index in range(1, depth + 1):
            key = f"features.{len(stages)}"  # torchvision numbers all stages
            convolution = nn.Conv2d(channels, width, 3, padding=1)
            try:
                convolution.load_state_dict({part: state[f"{key}.{part}"] for part in ("weight", "bias")})
            except (KeyError, RuntimeError) as error:
                raise DataError(f"The file is not of torchvision's {name}: {error}") from error
            stages |= {f"conv{block}_{index}": convolution, f"relu{block}_{index}": nn.ReLU()}
            channels = width
        stages[f"pool{block}"] = nn.MaxPool2d(2)
    return Trunk(
        name=name,
        sha256=sha256,
        stages=stages,
        layers=tuple(f"conv{block}_{depth}" for block, depth in enumerate(DEPTHS[name], start=1)),
        gain=tuple(0.5 / std for std in STD),
        offset=tuple((0.5 - mean) / std for mean, std in zip(MEAN, STD, strict=True)),
    )
