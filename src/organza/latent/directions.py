"""Directions that change something one can name: found without labels, kept in the run folder under a name.

`sefa`: where the layers that read the latent (in W: the layers' styles) stretch it most. `pca`: where W, or what the
first layer makes of latents, varies most.

Sources: Shen, Zhou 2021, SeFa (arXiv:2007.06600); Harkonen, Hertzmann, Lehtinen, Paris 2020, GANSpace
(arXiv:2004.02546). Differs: SeFa without the normalisation of each weight that implementations add.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from organza.errors import CheckpointError, StorageError, UsageError
from organza.latent.space import Space
from organza.nets.equalised import EqualisedLinear
from organza.pictures import save_aside
from organza.run import write_json

FORMAT = 1
Method = Literal["sefa", "pca"]
PROBES = 8
"""Points by which a layer's input is recognised as the latent itself."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Directions:
    """Directions in a space, the strongest first."""

    name: str
    method: Method
    space: Literal["z", "w"]
    vectors: Tensor
    """(K, D), of length 1."""
    sigmas: Tensor
    """(K,): the deviation of drawn points along each; how far is far."""
    strengths: Tensor
    """(K,): share of all that the method measures, at most 1 together."""
    layers: tuple[int, int] | None = None
    """First and last row of w that they were found for, and move; None: all."""

    @property
    def rows(self) -> slice:
        """Of w, which they move."""
        return slice(None) if self.layers is None else slice(self.layers[0], self.layers[1] + 1)

    @property
    def steps(self) -> Tensor:
        """The vectors, (K, D), each as long as a deviation of drawn points."""
        return self.vectors * self.sigmas[:, None]


def reading_layers(space: Space, *, rows: slice = slice(None)) -> list[Tensor]:
    """The linear maps (outputs, D) of the layers that read a point of the space as it is, each from its own effect.

    A linear layer is known by its input: columns that are multiples of coordinates of the point (or of the point
    divided by the root of its mean square, as some generators do first), whatever stands beside them. What reads other
    rows of w than `rows` is left out.
    """
    network = space.network
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | EqualisedLinear)]
    seen: list[list[Tensor]] = [[] for _ in layers]
    hooks = [layer.register_forward_pre_hook(keeper(kept)) for layer, kept in zip(layers, seen, strict=True)]
    points = space.draw(PROBES, seed=0x5EFA, labels=space.labels(PROBES))
    if points.ndim == 3:  # rows that differ, so that it shows which one a layer reads
        points = torch.randn(points.shape, generator=torch.Generator().manual_seed(0)).to(points)
    for kept in seen:
        kept.clear()
    try:
        space.images(points, space.labels(PROBES))
    finally:
        for hook in hooks:
            hook.remove()
    inner = points[:, None] if points.ndim == 2 else points[:, rows]  # (PROBES, rows, D)
    told = [*inner.unbind(1), *(row / row.square().mean(1, keepdim=True).sqrt() for row in inner.unbind(1))]
    found = []
    for layer, kept in zip(layers, seen, strict=True):
        read = [x for x in kept if x.ndim == 2]
        x = torch.cat(read)[-PROBES:] if read else torch.empty(0)
        if len(x) < PROBES:
            continue
        share = torch.stack([shares_of(x, row) for row in told]).sum(0)  # (inputs, D)
        if share.any():
            with torch.no_grad():
                basis = torch.eye(x.shape[1], device=x.device)
                found.append((layer(basis) - layer(torch.zeros_like(basis[:1]))).T @ share)
    if not found:
        raise UsageError(
            f"no linear layer of {type(network).__name__} reads the latent as it is, so there is no weight to take "
            "directions from"
        )
    return found


def shares_of(x: Tensor, points: Tensor) -> Tensor:
    """For columns of x (N, F) that are a multiple of a coordinate of points (N, D), which multiple, (F, D); else 0."""
    slope = (x.T @ points) / points.square().sum(0)
    rest = (x[:, :, None] - slope * points[:, None]).abs().amax(0)
    return torch.where(rest <= 1e-4 * x.abs().amax(0)[:, None], slope, 0.0)


def keeper(kept: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """A hook that keeps what a layer is called with."""

    def hook(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        kept.append(given[0].detach())

    return hook


def principal(gram: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first eigenvectors (count, D) of a symmetric matrix (D, D) and their shares of its trace.

    Signs are such that the largest number of each is positive.
    """
    values, vectors = torch.linalg.eigh(gram.double().cpu())
    values, vectors = values.flip(0).clamp_min(0), vectors.T.flip(0)[:count]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign(), values[:count] / values.sum().clamp_min(1e-300)


def sefa(weights: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Unit vectors n (count, D) with the largest ||A n||^2, and their shares of it; A: the weights, (outputs, D) each.

    Source: Shen and Zhou 2021 (arXiv:2007.06600), Eq. 8: eigenvectors of A^T A.
    """
    stacked = torch.cat([weight.double().cpu() for weight in weights])
    return principal(stacked.T @ stacked, count)


def pca(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Unit vectors (count, D) along which points (N, D) vary most, and their shares of the variance."""
    centred = points.double().cpu()
    centred = centred - centred.mean(0)
    return principal(centred.T @ centred / max(len(points) - 1, 1), count)


def pca_through(points: Tensor, weights: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """As `pca`, of what layers make of points, and brought back to them by regression on the principal coordinates.

    Args:
        points: (N, D).
        weights: Of the layers, (outputs, D) each.
        count: How many.

    Returns:
        Unit vectors (count, D) and their shares of the activations' variance.

    Source: Harkonen et al. 2020 (arXiv:2004.02546), section 2.2, for generators without W.
    """
    z = points.double().cpu()
    # Rotating the outputs changes no distance, so R of A = QR stands for A whatever the number of outputs.
    made = z @ torch.linalg.qr(torch.cat([weight.double().cpu() for weight in weights])).R.T
    axes, shares = pca(made, count)
    coordinates = (made - made.mean(0)) @ axes.T
    back = coordinates.T @ (z - z.mean(0)) / coordinates.square().sum(0)[:, None].clamp_min(1e-300)
    return nn.functional.normalize(back, dim=1), shares


def find_directions(
    space: Space,
    method: Method,
    *,
    count: int = 8,
    name: str | None = None,
    samples: int = 5000,
    seed: int = 0,
    layers: tuple[int, int] | None = None,
) -> Directions:
    """Directions of a space.

    Args:
        space: Z or W.
        method: sefa or pca.
        count: How many, at most as many as the space has dimensions.
        name: To keep them under; None: the method's.
        samples: Points from which pca and the deviations are measured.
        seed: Of these.
        layers: First and last row of w that is meant; None: all.
    """
    name = method if name is None else name
    check_name(name)
    points = space.draw(samples, seed=seed, labels=space.labels(samples, seed=seed))
    flat = points if points.ndim == 2 else points[:, 0]
    if layers is not None:
        last = points.shape[1] - 1 if points.ndim == 3 else -1
        if last < 0:
            raise UsageError("layers can be chosen in W alone, and this generator has none")
        if not 0 <= layers[0] <= layers[1] <= last:
            raise UsageError(f"layers go from 0 to {last}; got {layers[0]} to {layers[1]}")
    if not 1 <= count <= flat.shape[1] or samples < 2:
        raise UsageError(f"--count must be from 1 to {flat.shape[1]}, the length of {space.kind}; got {count}")
    rows = slice(None) if layers is None else slice(layers[0], layers[1] + 1)
    if method == "sefa":
        vectors, shares = sefa(reading_layers(space, rows=rows), count)
    elif space.kind == "w":
        vectors, shares = pca(flat, count)
    else:
        vectors, shares = pca_through(flat, reading_layers(space)[:1], count)
    along = (flat.double().cpu() - flat.double().cpu().mean(0)) @ vectors.T
    return Directions(
        name=name,
        method=method,
        space=space.kind,
        vectors=vectors.float(),
        sigmas=along.std(0).float(),
        strengths=shares.float(),
        layers=layers,
    )


def check_name(name: str) -> None:
    """Refuse names that cannot be files."""
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UsageError(f"a name has letters, digits, '.', '-' and '_'; got {name!r}")


def save_directions(found: Directions, folder: Path, *, note: dict[str, Any]) -> Path:
    """Write NAME.safetensors and NAME.json into `folder`; `note` goes into the latter. Returns the former's path."""
    path = folder / f"{found.name}.safetensors"
    tensors = {"vectors": found.vectors, "sigmas": found.sigmas, "strengths": found.strengths}
    entries = {key: value for key, value in asdict(found).items() if key not in tensors}
    lists = {key: tensors[key].tolist() for key in ("sigmas", "strengths")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_aside(path, lambda aside: save_file({k: v.contiguous() for k, v in tensors.items()}, aside))
        write_json(path.with_suffix(".json"), {"format": FORMAT, **entries, **lists, **note})
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot write {path}: {error}") from error
    return path


def load_directions(folder: Path, name: str) -> Directions:
    """Read directions by name from `folder`, RUN/directions.

    Raises:
        UsageError: There are none of this name.
        CheckpointError: The files cannot be read, or were made by a newer organza.
    """
    path = folder / f"{name}.safetensors"
    check_name(name)
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.safetensors"))) or "none"
        raise UsageError(
            f"no directions {name!r} in {folder} (there: {known}); find some with: organza directions "
            f"{shlex.quote(str(folder.parent))}{' --method pca' * (name == 'pca')}"
        )
    try:
        entries = json.loads(path.with_suffix(".json").read_text())
        tensors = load_file(path)
        if entries["format"] > FORMAT:
            raise CheckpointError(f"{path} was made by a newer organza; upgrade organza")
        return Directions(
            name=name,
            method=entries["method"],
            space=entries["space"],
            layers=tuple(entries["layers"]) if entries["layers"] else None,
            **{key: tensors[key] for key in ("vectors", "sigmas", "strengths")},
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the directions {path}: {error}; find them again") from error


def choose_direction(folder: Path, which: str, space: Space) -> tuple[Tensor, slice]:
    """`NAME` or `NAME:INDEX` to a step of one deviation (D,), and the rows of w that it moves.

    Raises:
        UsageError: There is none, or it belongs to another space.
    """
    name, _, index = which.partition(":")
    found = load_directions(folder, name)
    if found.space != space.kind:
        raise UsageError(
            f"the directions {name} are in {found.space}, the walk is in {space.kind}: give --space {found.space}"
        )
    if not (index or "0").isdecimal() or int(index or 0) >= len(found.vectors):
        raise UsageError(f"the directions {name} are {name}:0 to {name}:{len(found.vectors) - 1}; got {which!r}")
    return found.steps[int(index or 0)].to(space.device), found.rows
