"""The classifiers of digits and garments that organza trained itself (benchmarks/train_classifiers.py) and ships.

Each has its log beside it: seed, plan, accuracy on the test images, SHA-256 sum.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from organza.errors import UsageError
from organza.metrics.extractors.extractor import Extractor, resize_policy, resized
from organza.nets.classifier import SIDE, Classifier, fold

FOLDER = Path(__file__).parents[1] / "weights"
LABELS = {"digits": "MNIST-FD", "fashion": "Fashion-FD"}


def digits(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """The classifier of MNIST's ten digits."""
    return classifier("digits", weights=weights, device=device)


def fashion(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """The classifier of Fashion-MNIST's ten garments."""
    return classifier("fashion", weights=weights, device=device)


def classifier(name: str, *, weights: Path | None, device: str) -> Extractor:
    """One of the two, with the weights in this package."""
    if weights is not None:
        raise UsageError(f"The extractor {name} has its own weights; leave out --weights {weights}.")
    model, sha256 = read(name)
    model = convert_conv2d_weight_memory_format(model, torch.channels_last).to(device)

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        x = resized(images, SIDE, mode="bilinear") / 255
        features = model.features(x.contiguous(memory_format=torch.channels_last))
        return features, model.head(features).softmax(1)

    return Extractor(
        name=name,
        label=LABELS[name],
        sha256=sha256,
        layer="dense layer before the last, after ReLU",
        feature_dim=model.head.in_features,
        size=SIDE,
        resize=resize_policy(SIDE, "bilinear"),
        range="v / 255",
        channels=1,
        num_classes=model.head.out_features,
        chunk=500,
        device=device,
        network=look,
    )


def read(name: str) -> tuple[Classifier, str]:
    """The network itself, its norms folded, and the SHA-256 sum of its file."""
    data = (FOLDER / f"{name}.safetensors").read_bytes()
    state = load(data)
    model = Classifier(width=state["body.0.weight"].shape[0])
    model.load_state_dict(state, strict=False)  # all but the counters of batch norm
    return fold(model), hashlib.sha256(data).hexdigest()
