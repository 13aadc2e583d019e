"""Train the classifiers that judge generated digits and garments, and write them where organza reads them.

    python benchmarks/train_classifiers.py digits      # MNIST, about five minutes on one thread
    python benchmarks/train_classifiers.py fashion     # Fashion-MNIST, about ten

Writes NAME.safetensors and its log NAME.json to src/organza/metrics/weights. No generator is ever trained against them.
The test images choose nothing: the number of epochs is fixed, the last weights are kept, and their average where the
plan asks for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as nnf
from safetensors.torch import save_file
from torch import Tensor

from organza.data import DataOptions, open_source
from organza.nets.classifier import Classifier

WEIGHTS = Path(__file__).parents[1] / "src/organza/metrics/weights"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one classifier is trained."""

    source: str
    """Name of the data source."""
    epochs: int
    rate: float = 4e-3
    """Highest learning rate of the one-cycle schedule."""
    batch: int = 128
    weight_decay: float = 0.01
    smoothing: float = 0.0
    """Label smoothing."""
    average: float = 0.0
    """Decay per step of an average of the weights, which is what is kept; 0 keeps the last weights."""
    degrees: float = 0.0
    """Rotations up to so many degrees."""
    scale: float = 0.0
    """Size changes up to this share."""
    shift: float = 0.0
    """Shifts up to so many pixels, per axis."""
    flip: bool = False
    """Mirror half of the images."""


PLANS = {
    "digits": Plan(source="mnist", epochs=7, degrees=12, scale=0.1, shift=2),
    "fashion": Plan(source="fashion-mnist", epochs=16, weight_decay=0.05, average=0.998, shift=2, flip=True),
}


def load(source: str, split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """The images (N, 1, 28, 28), uint8, and labels (N,) of a split."""
    opened = open_source(source, DataOptions(split=split))
    samples = opened.read(np.arange(len(opened)))
    return samples["image"], samples["label"]


def jitter(images: Tensor, plan: Plan) -> Tensor:
    """Rotate, scale, shift and mirror each image (N, 1, 28, 28) a little, as the plan says."""
    low_high = torch.rand(5, len(images)) * 2 - 1
    angle, scale = low_high[0] * math.radians(plan.degrees), 1 + plan.scale * low_high[1]
    cos, sin, (right, down) = angle.cos() * scale, angle.sin() * scale, low_high[2:4] * plan.shift / 14
    mirror = low_high[4].sign() if plan.flip else torch.ones(len(images))
    matrix = torch.stack([cos * mirror, -sin, right, sin * mirror, cos, down], 1).view(-1, 2, 3)
    return nnf.grid_sample(images, nnf.affine_grid(matrix, list(images.shape), False), align_corners=False)


@torch.no_grad()
def accuracy(model: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is that of their label."""
    model.eval()
    found = torch.cat([model(part.float() / 255).argmax(1) for part in images.split(1000)])
    model.train()
    return float((found == labels).float().mean())


def train(plan: Plan, seed: int) -> Iterator[Classifier]:
    """The classifier after each epoch on the training images; the same object, or the average of its weights."""
    torch.manual_seed(seed)
    images, labels = load(plan.source, "train")
    model = Classifier().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(plan.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=plan.weight_decay)
    steps = len(images) // plan.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=plan.rate, total_steps=plan.epochs * steps)
    for _ in range(plan.epochs):
        for index in torch.randperm(len(images))[: steps * plan.batch].split(plan.batch):
            scores = model(jitter(images[index].float() / 255, plan))
            optimizer.zero_grad()
            nnf.cross_entropy(scores, labels[index], label_smoothing=plan.smoothing).backward()
            optimizer.step()
            schedule.step()
            if plan.average:
                average.update_parameters(model)
        yield average.module if plan.average else model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PLANS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=WEIGHTS, help="where to write")
    options = parser.parse_args()
    plan, began, curve = PLANS[options.name], time.process_time(), []
    torch.set_flush_denormal(True)
    test, model = load(plan.source, "test"), Classifier()
    for model in train(plan, options.seed):
        curve.append(round(accuracy(model, *test), 4))
        print(f"epoch {len(curve)} of {plan.epochs}: test accuracy {curve[-1]:.4f}", flush=True)
    state = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / f"{options.name}.safetensors"
    save_file({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}, file)
    log = {
        "script": f"benchmarks/train_classifiers.py {options.name}",
        "seed": options.seed,
        "plan": asdict(plan),
        "epochs": plan.epochs,
        "test_accuracy_per_epoch": curve,
        "test_accuracy": curve[-1],
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cpu_seconds": round(time.process_time() - began),
    }
    file.chmod(0o644)
    file.with_suffix(".json").write_text(json.dumps(log, indent=2) + "\n")
    print(json.dumps(log, indent=2))


if __name__ == "__main__":
    main()
