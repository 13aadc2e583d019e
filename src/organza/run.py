"""The run folder: everything a run produces is plain files in one place.

runs/0007-dcgan-mnist/
run.json         recipe with all its fields, data, spec, settings, versions: enough to build it again
metrics.jsonl    one row per `log_every` samples
samples/         grids from fixed latents, named after the samples seen
real.png         real samples in the same layout
tour/            what single codes of the latent do, for families that have such codes
directions/      what organza directions found, by name; projections/: the latents of images of the user's own
checkpoints/     see checkpoint.py
report.html      the page that explains it all
groups.safetensors what the groups of similar samples are found by, where they serve as classes
track.json       what trackers call the run and how far they were told; tensorboard/, wandb/: their files
recipe.py        a copy of the recipe where it came from a file of the user's
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from organza import checkpoint
from organza.data.groups import KEPT
from organza.data.options import DataOptions
from organza.data.spec import Spec, restored
from organza.errors import CheckpointError, StorageError
from organza.game import Game
from organza.metrics.record import Record
from organza.recipe import Found, Recipe, find, with_fields
from organza.recipes import RECIPES
from organza.run_config import FORMAT, describe, differences
from organza.settings import RunSettings

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HARMLESS = re.compile(r"\..*|.*\.(log|out|err)|samples|run\.tmp|recipe\.py|groups\.safetensors")
"""What may lie in the folder of a new run: logs of the command, and what a start leaves that was cut short."""


@final
@dataclass(frozen=True)
class Run:
    """A run folder and what its run.json says."""

    folder: Path
    config: dict[str, Any] = field(repr=False)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.folder / "checkpoints"

    @property
    def quoted(self) -> str:
        """The folder as a shell takes it, for commands that are printed."""
        return shlex.quote(str(self.folder))

    @property
    def found(self) -> Found:
        """The recipe that the run was started with, and where it is found again."""
        saved = self.config["recipe"]
        file = str(self.folder / "recipe.py")
        name = file if saved["name"].endswith(".py") else saved["name"].partition(":")[0]
        recipe = find(name if name in RECIPES else f"{name}:{saved['class']}").recipe
        name = file if name == file else saved["name"]
        fields = {**recipe.added, **saved["fields"]}
        return Found(with_fields(recipe, fields), name, saved["preset"], tuple(saved.get("why", ())))

    @property
    def recipe(self) -> Recipe:
        """The recipe with the fields it was started with, and those that a treatment has changed since."""
        changes = [intervention["fields"] for intervention in self.interventions]
        return with_fields(self.found.recipe, dict(ChainMap(*reversed(changes))))

    @property
    def interventions(self) -> list[dict[str, Any]]:
        """What treatments have changed, in order: samples, fields, reason, since."""
        return self.config.get("interventions", [])

    @property
    def spec(self) -> Spec:
        """What the data promised."""
        saved: dict[str, Any] = dict(self.config["spec"])
        return restored(saved, kind=saved.pop("kind"))

    @property
    def data_options(self) -> DataOptions:
        """How the data was read."""
        saved: dict[str, Any] = {"pairs": "none"} | self.config["data"]["options"]  # older runs know no pairs
        saved["cache"] = Path(saved["cache"]) if saved["cache"] else None
        if saved.get("clusters") and (self.folder / KEPT).exists():
            saved["clusters_of"] = str(self.folder.resolve())
        return DataOptions(**saved)

    @property
    def settings(self) -> RunSettings:
        """How the run was started, with the budget that it has now."""
        saved: dict[str, Any] = {**self.config["settings"], "run": self.folder}
        return RunSettings(**saved)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last line that was cut short is left out."""
        rows = []
        path = self.folder / "metrics.jsonl"
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def checkpoint(self, which: str = "newest") -> Path:
        """The newest whole checkpoint, the best one, or the one whose folder is given.

        Raises:
            CheckpointError: There is none.
        """
        choose = {"newest": checkpoint.newest, "best": checkpoint.best}.get(which)
        path = choose(self.checkpoints) if choose else Path(which)
        if path is not None and not choose and not path.is_dir():
            there = ", ".join(str(one) for one in checkpoint.listed(self.checkpoints)) or "no checkpoints"
            raise CheckpointError(f"no checkpoint {which}: give newest, best or a folder; there are {there}")
        if path is None:
            raise CheckpointError(f"{self.folder} holds no whole checkpoint to take as the {which}")
        return path

    def game(self, *, path: Path | None = None, device: str = "cpu") -> Game:
        """The game with the weights and extras of a checkpoint, the newest whole one by default."""
        from organza.inputs import fed

        chosen = path or checkpoint.newest(self.checkpoints)
        if chosen is None:
            raise CheckpointError(
                f"{self.folder} holds no whole checkpoint yet; start it again with: organza resume {self.quoted}"
            )
        game = self.recipe.build(self.spec)
        checkpoint.load_players(chosen, game, is_checked=path is None)
        checkpoint.load_extras(chosen, game)
        return fed(game.to(device), self)

    def generate(
        self,
        count: int = 64,
        *,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float = 1.0,
        device: str = "cpu",
    ) -> np.ndarray:
        """New samples from the averaged generator of the newest checkpoint.

        Args:
            count: How many.
            seed: Sample i depends on (seed, i) alone.
            label: A class by name or index; None: any.
            truncation: Below 1 trades variety for typicality.
            device: Where to compute.

        Returns:
            uint8 (or uint16) images, (N, H, W, C); for vectors float32, (N, D).
        """
        from organza.generate import generate

        return generate(self, count, seed=seed, label=label, truncation=truncation, device=device).samples

    def evaluate(self, against: str | None = None, *, count: int = 10_000, seed: int = 0) -> list[Record]:
        """Scores against real samples, by default those of the run's own data; see `organza.evaluate`, which can more.

        Args:
            against: Another source of real samples.
            count: Samples of each side, at most.
            seed: Fake i depends on (seed, i) alone.
        """
        from organza.scoring import evaluate

        return evaluate(self, against, count=count, seed=seed)


def open_run(folder: str | Path) -> Run:
    """Open a run folder.

    Raises:
        CheckpointError: There is none, or run.json cannot be read.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "run.json").read_text())
    except FileNotFoundError as error:
        here = sorted(path.parent.name for path in Path("runs").glob("*/run.json"))
        shown = dict.fromkeys([*difflib.get_close_matches(folder.name, here), *here[-5:]])
        hint = f"; there are {', '.join(f'runs/{name}' for name in shown)}" if here else ""
        raise CheckpointError(f"{folder} is not a run folder: it holds no run.json{hint}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {folder / 'run.json'}: {error}") from error
    known = config if isinstance(config, dict) else {}
    if known.get("format", 0) > FORMAT:
        raise CheckpointError(f"{folder} was made by a newer organza (format {config['format']}); upgrade organza")
    if not {"recipe", "data", "spec", "settings"} <= known.keys():
        raise CheckpointError(f"{folder / 'run.json'} is not the description of a run")
    return Run(folder, config)


def create_run(
    *,
    found: Found,
    data: str,
    data_name: str,
    options: DataOptions,
    settings: RunSettings,
    spec: Spec,
    count: int,
    origin: Path | None = None,
    groups: Mapping[str, Tensor] | None = None,
) -> Run:
    """Make a run folder and write run.json into it, or take up the one that is there if it says the same.

    Raises:
        CheckpointError: The folder holds a run of another configuration; the message names what differs.
        StorageError: The folder cannot be made.
    """
    config = describe(found=found, data=data, options=options, settings=settings, spec=spec, count=count)
    config["origin"] = str(origin.resolve()) if origin else None
    name = found.name.rpartition(":")[2] if ":" in found.name else Path(found.name).stem
    folder = settings.run or next_folder(Path("runs"), f"{name}-{data_name}")
    if (folder / "run.json").exists():
        run = open_run(folder)
        if apart := differences(run.config, config):
            raise CheckpointError(
                f"{run.folder} was started differently: {', '.join(apart)}. Go on unchanged with: "
                f"organza resume {run.quoted}; or begin anew in another folder, or from its weights with: "
                f"organza finetune {run.quoted}"
            )
        return run
    foreign = [path for path in sorted(folder.glob("*")) if not HARMLESS.fullmatch(path.name)]
    if foreign:
        raise StorageError(
            f"{folder} holds what belongs to no run, such as {foreign[0].name}: choose an empty or a new folder with "
            "--run DIR"
        )
    try:
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        if found.name.endswith(".py"):
            shutil.copyfile(found.name, folder / "recipe.py")
        if groups:
            save_file(dict(groups), folder / KEPT)
        write_json(folder / "run.json", config)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot write the run folder {folder}: {error}. Choose another with --run DIR") from error
    return Run(folder, config)


def next_folder(parent: Path, name: str) -> Path:
    """The next free `NNNN-name` below `parent`; it is made at once, so that two runs never share it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:60] or "run"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = max((int(path.name[:4]) for path in parent.glob("[0-9][0-9][0-9][0-9]-*")), default=0) + 1
        while True:
            folder = parent / f"{number:04d}-{name}"
            if not list(parent.glob(f"{number:04d}-*")):
                try:
                    folder.mkdir()
                except FileExistsError:
                    pass
                else:
                    return folder
            number += 1
    except OSError as error:
        raise StorageError(
            f"cannot make a run folder below {parent.resolve()}: {error}. Choose one with --run DIR"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write aside and rename, so that a reader never sees half a file."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(value, indent=2))
    os.replace(aside, path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process from training in a run folder; where the system has no such locks, do nothing.

    Raises:
        CheckpointError: Another process trains there.
        StorageError: The lock file cannot be written.
    """
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise StorageError(f"cannot write {folder / '.lock'}: {error}. Make the run folder writable") from error
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"{folder} is in use by another process, and two would spoil it. Wait until that one has ended, stop "
                "it, or choose another folder with --run DIR"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield


def truncate_rows(folder: Path, samples: int) -> None:
    """Drop the rows of metrics.jsonl and the sample grids from after a checkpoint that a run goes on from."""
    path = folder / "metrics.jsonl"
    try:
        if path.exists():
            rows = Run(folder, {}).rows()
            aside = path.with_suffix(".tmp")
            aside.write_text("".join(json.dumps(row) + "\n" for row in rows if row.get("samples", 0) <= samples))
            os.replace(aside, path)
        for picture in (folder / "samples").glob("*.png"):
            if picture.stem.isdigit() and int(picture.stem) > samples:
                picture.unlink()
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error}. Free some space, then run: organza resume {shlex.quote(str(folder))}"
        ) from error


def launched_before() -> Path | None:
    """The run folder that this torchrun launch made before it restarted, or None on the first start."""
    launch = os.environ.get("TORCHELASTIC_RUN_ID")
    if launch is None or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) == 0:
        return None
    for path in sorted(Path("runs").glob("*/run.json"), reverse=True):
        with suppress(CheckpointError):
            if open_run(path.parent).config.get("launch") == launch:
                return path.parent
    return None
