"""Images that are to be inverted, and what inversion leaves: pictures, points, numbers, tuned weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from organza.data.images import BadImageError, conform, pillow_limits, read_pixels
from organza.data.source import decode, encode
from organza.data.spec import ImageSpec
from organza.errors import CheckpointError, DataError, StorageError, UsageError, cause
from organza.latent.invert import Inversion, psnr
from organza.latent.space import Space
from organza.pictures import grid, save_aside, save_png
from organza.run import write_json


def read_target(path: Path, spec: ImageSpec) -> tuple[Tensor, str | None]:
    """An image file as the generator would make it, (1, C, H, W) in [-1, 1], and what was changed about its size.

    Another size is cut to the shape around the centre and resized; colour and gray are converted.

    Raises:
        DataError: The file is missing or no image.
    """
    try:
        with pillow_limits(), path.open("rb") as file:
            pixels, _, _ = read_pixels(file)
    except (BadImageError, OSError) as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from error
    found, wanted = pixels.shape[:2], (spec.height, spec.width)
    note = f"{path.name}: {found[1]}x{found[0]} brought to {wanted[1]}x{wanted[0]}" if found != wanted else None
    stored = torch.from_numpy(conform(pixels, spec=spec, crop="center").copy())[None]
    return decode({"image": stored}, spec)["image"], note


def write_inversion(
    folder: Path,
    name: str,
    space: Space,
    target: Tensor,
    found: Inversion,
    *,
    tuned: tuple[nn.Module, Inversion] | None = None,
    note: dict[str, Any],
    mark: bool = True,
) -> dict[str, Any]:
    """Write NAME.png (target, inversion, [tuned,] difference), NAME.safetensors (the point), NAME.json (the numbers).

    A tuned generator goes to NAME.tuned.safetensors: the state of the averaged generator network.

    Returns:
        What the .json says.

    Raises:
        StorageError: It could not be written.
    """
    last = found if tuned is None else tuned[1]
    shown = [target, found.image] + ([last.image] if tuned is not None else [])
    shown += [(last.image - target).abs() - 1]  # black: none
    if space.spec.channels == 4:
        shown[-1][:, 3] = 1
    numbers: dict[str, Any] = {
        "space": space.kind,
        "rms": found.rms,
        "psnr": found.psnr,
        "random_rms": found.baseline,
        "random_psnr": psnr(found.baseline),
        "distance": found.distance,
        "label": None if found.label is None else int(found.label[0]),
    }
    if tuned is not None:
        numbers |= {"tuned_rms": tuned[1].rms, "tuned_psnr": tuned[1].psnr}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sheet = grid(encode(torch.cat(shown), space.spec), columns=len(shown), cell=112)
        save_png(sheet, folder / f"{name}.png", metadata={"Target": name}, mark=mark)
        save_points(folder / f"{name}.safetensors", found.point, space.kind, found.label)
        if tuned is not None:
            state = {key: value.detach().cpu().contiguous().clone() for key, value in tuned[0].state_dict().items()}
            save_aside(folder / f"{name}.tuned.safetensors", lambda aside: save_file(state, aside))
        write_json(folder / f"{name}.json", numbers | note)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot write {folder / name}: {error}") from error
    return numbers


def save_points(path: Path, points: Tensor, kind: str, labels: Tensor | None) -> None:
    """Write points (N, ...) under the name of their space, and their labels (N,) if there are any."""
    tensors = {kind: points.detach().cpu().contiguous()}
    tensors |= {} if labels is None else {"label": labels.detach().cpu().contiguous()}
    save_aside(path, lambda aside: save_file(tensors, aside))


def load_points(paths: Sequence[Path], space: Space) -> tuple[Tensor, Tensor | None]:
    """Points (N, ...) of a space and their labels (N,) from files, in order.

    Raises:
        UsageError: They belong to another space, or to a generator of another shape.
        CheckpointError: A file cannot be read.
    """
    points, labels = [], []
    shape = space.draw(1, labels=space.labels(1)).shape[1:]
    for path in paths:
        try:
            held = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot read points from {path}: {error}") from error
        if space.kind not in held:
            other = " or ".join(key for key in held if key in ("z", "w")) or "no space at all"
            raise UsageError(f"{path} holds points of {other}, not of {space.kind}; choose with --space")
        if held[space.kind].shape[1:] != shape:
            raise UsageError(
                f"{path} holds points of shape {tuple(held[space.kind].shape[1:])}, this generator takes {tuple(shape)}"
            )
        points.append(held[space.kind])
        labels += [held["label"]] if "label" in held else []
    told = torch.cat(labels).to(space.device) if labels and space.num_classes else None
    return torch.cat(points).to(space.device), told


def load_tuned(space: Space, path: Path) -> None:
    """Put the weights of a tuned generator into the loaded one; the checkpoint on the disk stays as it is.

    Raises:
        CheckpointError: The file cannot be read or belongs to another generator.
    """
    try:
        space.network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"cannot load the tuned generator {path}: {str(error)[:300]}") from error
