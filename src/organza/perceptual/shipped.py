"""Networks whose weights come with a Python package, so without a download, as chains of stages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from organza.errors import UsageError
from organza.metrics.extractors import classifiers, efficientnet
from organza.perceptual.network import Trunk


def efficientnet_lite0(*, weights: Path | None) -> Trunk:
    """EfficientNet-Lite0, from its package or from a copy of its file of weights.

    The stages are `stem`, `block0` to `block15` and `head`. Compared are the last maps at 2, 4, 8 and 16 pixels: with
    that at 32 (`block15`), or with the wide maps within the blocks, distortions were ordered no better.
    """
    model = efficientnet.read(weights)
    return Trunk(
        name="efficientnet-lite0",
        sha256=efficientnet.SHA256,
        stages={
            "stem": nn.Sequential(model._conv_stem, model._bn0, model._swish),
            **{f"block{index}": block for index, block in enumerate(model._blocks)},
            "head": nn.Sequential(model._conv_head, model._bn1, model._swish),
        },
        layers=("block0", "block2", "block4", "block10"),
        gain=(127.5 / 128,) * 3,
        offset=(0.5 / 128,) * 3,
    )


def classifier(name: Literal["digits", "fashion"], *, weights: Path | None) -> Trunk:
    """One of the classifiers that come with organza. The stages are `conv1`, `relu1`, ..., `relu4`."""
    if weights is not None:
        raise UsageError(f"The network {name} has its own weights; leave out {weights}.")
    model, sha256 = classifiers.read(name)
    layers = [layer for layer in model.body if isinstance(layer, nn.Conv2d | nn.ReLU)][:8]  # without the dense one's
    names = [f"{kind}{index}" for index in range(1, 5) for kind in ("conv", "relu")]
    return Trunk(
        name=name,
        sha256=sha256,
        stages=dict(zip(names, layers, strict=True)),
        layers=("conv1", "conv2", "conv3", "conv4"),
        gain=(0.5,),
        offset=(0.5,),
    )
