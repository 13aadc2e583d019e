"""Checkpoints: folders of safetensors and JSON, written aside, checked by checksum and renamed into place.

    checkpoints/000500000/
        players.safetensors      networks and their averages: `generator.network.*`, `generator.averaged.*`
        optimizers.safetensors   tensors of the optimizers' state: `generator.<index>.<name>`
        extras.safetensors       modules of `Game.extras`
        meta.json                clock, scalar optimizer state, versions, size and SHA-256 of each file

A folder without a matching meta.json does not count: loading falls back to the newest one that is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from organza import __version__
from organza.errors import CheckpointError, StorageError
from organza.game import Clock, Game, Player

FORMAT = 1
Tensors = dict[str, Tensor]


def save(
    folder: Path,
    game: Game,
    clock: Clock,
    *,
    keep: int = 2,
    score: float | None = None,
    instead_of: Path | None = None,
) -> Path:
    """Write a checkpoint and remove old ones.

    Args:
        folder: The `checkpoints` folder of a run.
        game: What to save.
        clock: Where training stands.
        keep: How many of the newest remain; the one with the lowest score remains as well.
        score: A measure of this moment, lower is better; None: not measured.
        instead_of: An earlier one that goes, unless it is the best.

    Returns:
        The folder of the checkpoint, named after the samples seen.

    Raises:
        StorageError: It could not be written; earlier checkpoints are untouched.
    """
    target = folder / f"{clock.samples:09d}"
    aside = folder / f"{target.name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        aside.mkdir()
        write(aside, game, clock, score)
        if target.exists():
            target.rename(target.with_suffix(".old"))
        os.replace(aside, target)
        sync(folder)
        remove_leftovers(folder)
        prune(folder, keep=keep, saved=target, instead_of=instead_of)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            remove_leftovers(folder)
        raise StorageError(
            f"cannot write the checkpoint {target}: {error}. Free some space or make the folder writable, then run: "
            f"organza resume {shlex.quote(str(folder.parent))}"
        ) from error
    return target


def write(aside: Path, game: Game, clock: Clock, score: float | None) -> None:
    """All files of a checkpoint, each flushed to the disk, meta.json last."""
    contents = {"players": player_tensors(game), "optimizers": {}, "extras": {}}
    scalars: dict[str, Any] = {}
    for name, player in game.players.items():
        tensors, scalars[name] = optimizer_state(player)
        contents["optimizers"] |= {f"{name}.{key}": value for key, value in tensors.items()}
    for name, module in game.extras.items():
        contents["extras"] |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    files = {}
    for stem, tensors in contents.items():
        path = aside / f"{stem}.safetensors"
        save_file({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": digest(path)}
        sync(path)
    meta = {
        "format": FORMAT,
        "clock": asdict(clock),
        "score": score,
        "players": scalars,
        "versions": {"organza": __version__, "torch": torch.__version__},
        "files": files,
    }
    path = aside / "meta.json"
    path.write_text(json.dumps(meta, indent=2))
    sync(path)
    sync(aside)


def player_tensors(game: Game) -> Tensors:
    """Every weight and buffer of every player, and their averages where they have one."""
    tensors: Tensors = {}
    for name, player in game.players.items():
        tensors |= {f"{name}.network.{key}": value for key, value in player.network.state_dict().items()}
        if player.averaged is not player.network:
            tensors |= {f"{name}.averaged.{key}": value for key, value in player.averaged.state_dict().items()}
    return tensors


def optimizer_state(player: Player) -> tuple[Tensors, dict[str, Any]]:
    """The optimizer's state: its tensors by `<index>.<name>`, and everything else for JSON."""
    state = player.optimizer.state_dict()
    tensors, scalars = {}, {}
    for index, values in state["state"].items():
        for key, value in values.items():
            (tensors if isinstance(value, Tensor) else scalars)[f"{index}.{key}"] = value
    return tensors, {"state": scalars, "rate_scale": player.rate_scale}


def load(path: Path, game: Game, *, is_checked: bool = False) -> Clock:
    """Put a game back to where a checkpoint was taken: weights, averages, optimizers, extras.

    Args:
        path: The folder of the checkpoint.
        game: Changed in place.
        is_checked: `newest` has found it whole just now, so its files need not be hashed again.

    Raises:
        CheckpointError: The files are damaged, or belong to another recipe.
    """
    meta = peek(path) if is_checked else read_meta(path)
    load_players(path, game, is_checked=True)
    load_extras(path, game)
    for name, player in game.players.items():
        saved = meta["players"][name]
        state: dict[int, dict[str, Any]] = {}
        entries: dict[str, Any] = {**tensors_under(path / "optimizers.safetensors", f"{name}."), **saved["state"]}
        for key, value in entries.items():
            index, _, entry = key.partition(".")
            state.setdefault(int(index), {})[entry] = laid_out(value, player.parameters[int(index)])
        # The options of the groups are the recipe's, which may have been changed since.
        player.optimizer.load_state_dict(
            {"state": state, "param_groups": player.optimizer.state_dict()["param_groups"]}
        )
        player.rate_scale = float(saved["rate_scale"])
    return Clock(**meta["clock"])


def laid_out(value: Any, parameter: Tensor) -> Any:
    """Optimizer state in the memory format of its parameter: fused optimizers walk both as one row of numbers."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype, device="cpu", requires_grad=False).copy_(value)
    return value


def load_players(path: Path, game: Game, *, is_checked: bool = False) -> None:
    """Weights and averages only, as for fine-tuning. Arguments as for `load`."""
    if not is_checked:
        read_meta(path)
    for name, player in game.players.items():
        found = tensors_under(path / "players.safetensors", f"{name}.network.")
        restore(player.network, found, f"{name} (network) of {path}")
        if player.averaged is not player.network:  # begins as the network where there was no average
            found = tensors_under(path / "players.safetensors", f"{name}.averaged.") or found
            restore(player.averaged, found, f"{name} (averaged) of {path}")


def load_extras(path: Path, game: Game) -> None:
    """What is saved but not trained, of a checkpoint that was found whole."""
    for name, module in game.extras.items():
        restore(module, tensors_under(path / "extras.safetensors", f"{name}."), f"{name} of {path}")


def restore(module: torch.nn.Module, tensors: Tensors, what: str) -> None:
    """Load a state dict, or say what differs."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"the {what} does not fit this recipe: {str(error).splitlines()[-1].strip()}") from error


def tensors_under(path: Path, prefix: str) -> Tensors:
    """The tensors of a file whose names begin with `prefix`, without it."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key[len(prefix) :]: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error


def read_meta(path: Path) -> dict[str, Any]:
    """The meta.json of a checkpoint whose files are all whole.

    Raises:
        CheckpointError: Something is missing, cut short, altered, or of a newer format.
    """
    try:
        meta = json.loads((path / "meta.json").read_text())
        files, version = meta["files"], meta["format"]
        for name, expected in files.items():
            found = (path / name).stat().st_size
            if found != expected["bytes"]:
                raise CheckpointError(f"{path / name} has {found:,} bytes, not {expected['bytes']:,}: it was cut short")
            if digest(path / name) != expected["sha256"]:
                raise CheckpointError(f"{path / name} was altered: its SHA-256 differs from the one in meta.json")
        if version > FORMAT:
            raise CheckpointError(
                f"{path} has format {version}; this organza ({__version__}) reads up to {FORMAT}: upgrade it"
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error
    return meta


def is_whole(path: Path) -> bool:
    """Whether a checkpoint can be loaded."""
    try:
        read_meta(path)
    except CheckpointError:
        return False
    return True


def listed(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first, whole or not; one that was only moved aside (`.old`) before its successor."""
    found = [path for path in folder.glob("[0-9]*") if path.is_dir() and path.name.removesuffix(".old").isdigit()]
    return sorted(found, key=lambda path: (int(path.stem), path.suffix == ""))


def newest(folder: Path) -> Path | None:
    """The newest checkpoint that is whole, or None."""
    return next((path for path in reversed(listed(folder)) if is_whole(path)), None)


def best(folder: Path) -> Path | None:
    """The checkpoint with the lowest score, the newest of those; None if none was scored.

    The untrained beginning is the best only where there is nothing else: noise can score well by some measures.
    """
    found: list[tuple[bool, float, int, Path]] = []
    for path in listed(folder):
        score = peek(path).get("score")
        if isinstance(score, float | int) and math.isfinite(score):
            found.append((int(path.stem) == 0, score, -int(path.stem), path))
    return min(found)[3] if found else None


def peek(path: Path) -> dict[str, Any]:
    """The meta.json of a checkpoint without checking its files; empty if it cannot be read."""
    try:
        meta = json.loads((path / "meta.json").read_text())
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def prune(folder: Path, *, keep: int, saved: Path, instead_of: Path | None = None) -> None:
    """Remove all but the newest `keep` checkpoints, the best and the one just saved (a damaged one may be newer)."""
    spared = (best(folder), saved)
    others = [path for path in listed(folder) if path != instead_of]
    for path in [*others[: -max(keep, 1)], *([instead_of] if instead_of else [])]:
        if path not in spared:
            shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted save left behind; a checkpoint whose successor never came gets its name back."""
    for path in folder.glob("*.old"):
        if not path.with_suffix("").exists():
            path.rename(path.with_suffix(""))
    for path in [*folder.glob("*.tmp"), *folder.glob("*.old")]:
        shutil.rmtree(path, ignore_errors=True)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
