"""The network of FID, IS and KID: Inception as published on 2015-12-05, as torch-fidelity builds it.

Source: Szegedy et al. 2016 (arXiv:1512.00567); as a measure Salimans et al. 2016 (arXiv:1606.03498), Heusel et al. 2017
(arXiv:1706.08500).
"""

from __future__ import annotations

import io
from pathlib import Path

from torch import Tensor

from organza.data.download import fetch
from organza.data.options import DataOptions
from organza.errors import require
from organza.metrics.extractors.extractor import CANONICAL, Extractor, Network
from organza.metrics.extractors.files import read_checked, state_dict

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
MODULE = "torch_fidelity.feature_extractor_inceptionv3"


def inception(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """The canonical network, from a file of its weights or from the official download, kept in the cache."""
    if weights is None and not offline:
        require(MODULE, extra="metrics")  # before 95 MB are downloaded in vain
    folder = DataOptions().cache_folder / "weights"
    path = weights or fetch(URL, to=folder / FILE, sha256=SHA256, offline=offline)
    data = read_checked(path, sha256=SHA256, what=f"the Inception network of 2015-12-05 ({FILE})")
    return Extractor(
        name=CANONICAL,
        label="FID",
        sha256=SHA256,
        layer="pool3, 2048",
        feature_dim=2048,
        size=299,
        resize="bilinear as in TensorFlow 1, not anti-aliased, stretched to 299x299 in the network (torch-fidelity)",
        range="(v - 128) / 128",
        channels=3,
        num_classes=1008,
        chunk=50,
        device=device,
        network=network(data, device=device),
    )


def network(data: bytes, *, device: str) -> Network:
    """Pooled features and probabilities by torch-fidelity's network with the weights in `data`, a .pth file.

    The probabilities leave out the last layer's bias, as the Inception score is defined in torch-fidelity and before.
    """
    # torch-fidelity reads weights without restriction. It gets the very bytes that the restricted loader has accepted.
    state_dict(data)
    build = require(MODULE, extra="metrics").FeatureExtractorInceptionV3
    model = build(CANONICAL, ["2048", "logits_unbiased"], feature_extractor_weights_path=io.BytesIO(data)).to(device)

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = model(images)
        return features, logits.softmax(1)

    return look
