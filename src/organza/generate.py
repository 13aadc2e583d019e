"""From a run to new samples: arrays, pictures, folders, films."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from organza import __version__, pictures
from organza.data.groups import ways_to_classes
from organza.data.source import encode
from organza.data.spec import ImageSpec, Spec
from organza.errors import StorageError, UsageError
from organza.game import Request
from organza.inference import latents
from organza.inputs import grid_labels
from organza.run import Run


@final
@dataclass(frozen=True)
class Generated:
    """Samples as they are stored, and their labels if the model has classes."""

    samples: np.ndarray
    """uint8 or uint16 (N, H, W, C), or float32 (N, D)."""
    labels: np.ndarray | None


def generate(
    run: Run,
    count: int,
    *,
    seed: int = 0,
    label: str | int | None = None,
    truncation: float = 1.0,
    device: str = "cpu",
    checkpoint: Path | None = None,
) -> Generated:
    """New samples from a run. Arguments as for `Run.generate`; `checkpoint`: another than the newest."""
    check_request(count, seed, truncation)
    game = run.game(path=checkpoint, device=device)
    labels = None
    if label is not None:
        labels = torch.full((count,), class_index(run, label, game.is_conditional))
    made = game.generate(Request(count, seed=seed, labels=labels, truncation=truncation))
    return stored(made, run.spec)


def check_request(count: int, seed: int, truncation: float) -> None:
    """Refuse numbers that make no sense."""
    if not 0 <= truncation < float("inf"):
        raise UsageError(f"--truncation must be at least 0 and finite; got {truncation}")
    if count < 1 or seed < 0:
        raise UsageError(f"--count must be at least 1 and --seed at least 0; got {count} and {seed}")


def stored(made: dict[str, torch.Tensor], spec: Spec) -> Generated:
    """Network output to what is kept in files."""
    samples = encode(made[spec.key], spec) if isinstance(spec, ImageSpec) else made[spec.key].cpu().numpy()
    return Generated(samples, made["label"].cpu().numpy() if "label" in made else None)


def class_index(run: Run, label: str | int, conditional: bool) -> int:
    """A class by its name or index."""
    if not conditional:
        raise UsageError(no_classes(run))
    spec = run.spec
    if str(label) in spec.classes:
        return spec.classes.index(str(label))
    if str(label).isdecimal() and int(label) < spec.num_classes:
        return int(label)
    raise UsageError(f"no class {label!r}; this run knows {', '.join(spec.classes)} (or 0 to {spec.num_classes - 1})")


def no_classes(run: Run) -> str:
    """Why the generator of a run is told no classes, and what would tell it some."""
    asked, data = getattr(run.recipe, "conditional", None), run.config["data"]
    if asked is None:
        return (
            f"{run.config['recipe']['name']} takes no labels, so there are no classes to ask for; a family that does: "
            "organza train dcgan"
        )
    ways = ways_to_classes(run.spec, count=data.get("count"), labels=run.data_options.labels)
    mends = [", or ".join(ways)] if ways and run.spec.num_classes < 2 else []
    mends += ["take --conditional auto"] if asked == "no" else []
    told = f"; to train with some, {' and '.join(mends)}" if mends else ""
    return f"this run was trained without labels, so there are no classes to ask for{told}"


def write(run: Run, made: Generated, out: Path, *, seed: int, mark: bool = True) -> str:
    """Write samples to `out`: a grid (.png), an archive (.npz), or a folder with one file each; says what it wrote."""
    count, spec = len(made.samples), run.spec
    is_image, told = isinstance(spec, ImageSpec), f"{count} sample{'s' * (count > 1)}"
    metadata = {"Software": f"organza {__version__}", "Model": run.folder.name, "Seed": str(seed)}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        match out.suffix.lower():
            case ".npz":
                key = "images" if is_image else "vectors"
                arrays: dict[str, Any] = {key: made.samples} | (
                    {"labels": made.labels} if made.labels is not None else {}
                )
                np.savez_compressed(out, **arrays)
                shape = " x ".join(map(str, made.samples.shape))
                return f"{told} in {out} ({key}: {made.samples.dtype}, {shape})"
            case ".png":
                picture = pictures.grid(made.samples) if is_image else pictures.scatter(made.samples, made.samples)
                pictures.save_png(picture, out, metadata=metadata, mark=mark)
                return f"{told} in {out}"
            case "":
                if not is_image:
                    raise UsageError("points have no file each; write them to a .npz file")
                return write_folder(made, out, spec, metadata=metadata, mark=mark)
            case other:
                there = f"; .mp4 films are written by: organza interpolate {run.quoted} --out {shlex.quote(str(out))}"
                raise UsageError(
                    f"cannot write {other} files; use .png (grid), .npz (arrays), .gif (film) or a folder"
                    + there * (is_image and not spec.has_source and other == ".mp4")
                )
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}") from error


def write_folder(made: Generated, out: Path, spec: Spec, *, metadata: dict[str, str], mark: bool) -> str:
    """One PNG each; classes get sub-folders, so that the folder can be trained on again."""
    out.mkdir(exist_ok=True)
    if any(out.iterdir()):
        raise StorageError(
            f"the folder {out} holds files already, and new ones would mix with them; choose another with --out, or "
            "empty it first"
        )
    names = folder_names(spec.classes)
    for index, image in enumerate(made.samples):
        folder = out if made.labels is None else out / names[made.labels[index]]
        folder.mkdir(exist_ok=True)
        path = folder / f"{index:06d}.png"
        pictures.save_png(pictures.picture(image), path, metadata=metadata | {"Index": str(index)}, mark=mark)
    return f"{len(made.samples)} file{'s' * (len(made.samples) > 1)} in {out}"


def folder_names(classes: tuple[str, ...]) -> list[str]:
    """A name for the folder of each class: without path separators, and no two alike."""
    names: list[str] = []
    for index, name in enumerate(classes):
        safe = re.sub(r"[^\w .-]+", "-", name).strip(". ") or str(index)
        names.append(f"{safe}-{index}" if safe in names else safe)
    return names


def interpolate(
    run: Run,
    out: Path,
    *,
    count: int = 64,
    seed: int = 0,
    label: str | int | None = None,
    frames: int = 16,
    truncation: float = 1.0,
    mark: bool = True,
    device: str = "cpu",
    checkpoint: Path | None = None,
) -> str:
    """A film (.gif) of a grid of samples whose latents walk from one to the next and back to the first.

    Latents are interpolated on the sphere, where a Gaussian's mass is, so every frame is as typical as its ends.
    """
    check_request(count, seed, truncation)
    game, spec = run.game(path=checkpoint, device=device), run.spec
    if not isinstance(spec, ImageSpec):
        raise UsageError("only images can be shown as a film; this run makes points")
    conditional = game.is_conditional
    probe = latent_size(run)
    stops = [latents(Request(count, seed=seed + index, truncation=truncation), probe) for index in range(4)]
    classes = grid_labels(game, spec, count)
    if conditional and label is not None:
        classes = torch.full((count,), class_index(run, label, conditional))
    pages = []
    for here, there in zip(stops, [*stops[1:], stops[0]], strict=True):
        for frame in range(frames):
            mixed = spherical(here, there, frame / frames)
            made = stored(
                game.generate(Request(count, seed=seed, labels=classes, latents=mixed, truncation=truncation)), spec
            )
            pages.append(pictures.grid(made.samples))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pictures.save_gif(pages, out, fps=12, mark=mark)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}") from error
    return f"{len(pages)} frames in {out}"


def latent_size(run: Run) -> int:
    """Length of the latent that the recipe draws for the generator."""
    size = getattr(run.recipe, "latent", None)
    if not isinstance(size, int):
        raise UsageError(f"{run.config['recipe']['name']} has no single latent vector to walk through")
    return size


def spherical(here: torch.Tensor, there: torch.Tensor, share: float) -> torch.Tensor:
    """Spherical interpolation, row by row: (N, D) each; share 0 is `here`, 1 is `there`.

    Source: Shoemake 1985; for latents White 2016 (arXiv:1609.04468).
    """
    cosine = torch.nn.functional.cosine_similarity(here, there, dim=1).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos()[:, None]
    return (((1 - share) * angle).sin() * here + (share * angle).sin() * there) / angle.sin()
