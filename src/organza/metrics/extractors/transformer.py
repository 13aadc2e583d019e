"""DINOv2 and CLIP, the second opinions, where the user has them: through `transformers`, safetensors only.

Sources: Oquab et al. 2023 (arXiv:2304.07193), as a measure Stein et al. 2023 (arXiv:2306.04675); Radford et al. 2021
(arXiv:2103.00020).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from organza.errors import DataError, require
from organza.metrics.extractors.extractor import Extractor, resize_policy, resized


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between the two."""

    label: str
    repository: str
    """Where the weights come from if none are given."""
    kinds: tuple[str, ...]
    """Accepted model types in config.json."""
    model: str
    """Class of `transformers`."""
    output: str
    """Which of its outputs the features are."""
    layer: str
    size: int
    """Side of the input; 0 as config.json tells."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


DINOV2 = Family(
    label="FD-DINOv2",
    repository="facebook/dinov2-large",
    kinds=("dinov2",),
    model="Dinov2Model",
    output="pooler_output",
    layer="class token after the last norm",
    size=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
CLIP = Family(
    label="FD-CLIP",
    repository="openai/clip-vit-large-patch14",
    kinds=("clip", "clip_vision_model"),
    model="CLIPVisionModelWithProjection",
    output="image_embeds",
    layer="projected image embedding, not normalised",
    size=0,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


def dinov2(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """DINOv2 from a folder, or ViT-L/14 from the hub or its cache."""
    return transformer("dinov2", DINOV2, weights=weights, device=device, offline=offline)


def clip(*, weights: Path | None, device: str, offline: bool) -> Extractor:
    """CLIP's image half from a folder, or ViT-L/14 from the hub or its cache."""
    return transformer("clip", CLIP, weights=weights, device=device, offline=offline)


def transformer(name: str, family: Family, *, weights: Path | None, device: str, offline: bool) -> Extractor:
    """One of the two. Only ever reads a folder on this machine, and never code from it."""
    kind = getattr(require("transformers", extra="features"), family.model)
    folder = weights or from_hub(name, family.repository, offline=offline)
    files = described(folder, family)
    try:
        model = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{folder} cannot be read as {family.model}: {error}") from error
    model = model.float().to(device).eval()
    size = family.size or int(model.config.image_size)
    mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (family.mean, family.std))

    def look(images: Tensor) -> tuple[Tensor, None]:
        x = (resized(images, size, mode="bicubic") / 255 - mean) / std
        return getattr(model(pixel_values=x), family.output), None

    return Extractor(
        name=name,
        label=family.label,
        sha256=sha256_of(files),
        layer=family.layer,
        feature_dim=int(getattr(model.config, "projection_dim" if name == "clip" else "hidden_size")),
        size=size,
        resize=resize_policy(size, "bicubic"),
        range=f"(v / 255 - {family.mean}) / {family.std}",
        channels=3,
        num_classes=0,
        chunk=32,
        device=device,
        network=look,
    )


def described(folder: Path, family: Family) -> list[Path]:
    """The safetensors files of a folder whose config.json is of the right kind of network."""
    found = ""
    try:
        files = sorted(folder.glob("*.safetensors"))
        found = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError, AttributeError):
        files = []
    if not files or found not in family.kinds:
        raise DataError(
            f"{folder} holds {f'a network of type {found}' if found else 'no config.json'} and {len(files)} "
            f"safetensors files; a folder with config.json (type {' or '.join(family.kinds)}) and model.safetensors is "
            f"needed, for example a copy of {family.repository}: --weights FOLDER"
        )
    return files


def sha256_of(files: list[Path]) -> str:
    """The sum of one file, or that of the sums of several, one a line in the order of their names."""
    sums = []
    for path in files:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def from_hub(name: str, repository: str, *, offline: bool) -> Path:
    """The folder of a repository in the hub's cache, downloaded first unless `offline`."""
    hub = require("huggingface_hub", extra="features")
    try:
        return Path(
            hub.snapshot_download(
                repository, allow_patterns=["config.json", "model*.safetensors"], local_files_only=offline
            )
        )
    except (OSError, ValueError) as error:
        why = "and --offline forbids to download it" if offline else f"and cannot be downloaded ({error})"
        raise DataError(
            f"{repository} is not in the hub's cache {why}. Give a folder with its config.json and model.safetensors: "
            f"--weights FOLDER, or choose another extractor than {name}."
        ) from error
