"""Experiment trackers: TensorBoard, Weights & Biases, Trackio and MLflow hear of rows, sample grids and findings.

Each service is a short class; what they share is in `Trackers`. Their packages are imported where they are used. Along
the x axis are samples seen. A service's own environment variables say where it keeps its data, and whether offline.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, final

from PIL import Image

from organza.errors import OrganzaError, UsageError, require
from organza.hooks.background import Background
from organza.hooks.console import say
from organza.run import Run, flatten, write_json

PATIENCE_S = 60
"""How long the end of a run waits for a tracker."""
LONGEST_LIST = 32
"""Lists of more numbers than this are not tracked."""
PROJECT = "organza"


@final
@dataclass(frozen=True)
class Part:
    """What a tracker is to follow: a run from its start, or from where it goes on."""

    folder: Path
    config: dict[str, Any]
    """The contents of run.json that may leave the machine."""
    id: str | None
    """What the tracker called the run before; None: it is new to it."""
    samples: int
    """Samples seen so far."""

    @property
    def name(self) -> str:
        """For people."""
        return self.folder.resolve().name


class Tracker(ABC):
    """A service that is told of a run. After `__init__` everything is called from one thread, not the main one."""

    id: str
    """What continues the same run later."""

    @classmethod
    @abstractmethod
    def check(cls) -> None:
        """Raise UsageError if the service cannot be used here; called before anything else is done."""

    @abstractmethod
    def __init__(self, part: Part) -> None:
        """Begin, or go on; the configuration goes in as hyper-parameters."""

    @abstractmethod
    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """The numbers of a row of metrics.jsonl."""

    @abstractmethod
    def image(self, name: str, path: Path, samples: int) -> None:
        """A picture that lies in a PNG file."""

    @abstractmethod
    def finding(self, text: str, samples: int) -> None:
        """Something to read: the doctor's word, a refused step."""

    @abstractmethod
    def close(self) -> None:
        """The run has ended."""


@final
class TensorBoard(Tracker):
    """Event files in RUN/tensorboard, for `tensorboard --logdir RUN`."""

    @classmethod
    def check(cls) -> None:
        """Its package is there."""
        require("tensorboard", extra="tensorboard")
        require("torch.utils.tensorboard", extra="tensorboard")

    def __init__(self, part: Part) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self.id = "tensorboard"
        self.writer = SummaryWriter(
            str(part.folder / self.id), purge_step=part.samples + 1 if part.id else None, flush_secs=10
        )
        if part.id is None:
            # Not add_hparams: it opens a second file, and TensorBoard reads no file any more once it has seen a newer.
            shown = dict.fromkeys(("distance", "health/distance", "real_accuracy", "fake_accuracy"), 0.0)
            for summary in hparams(dict(flatten(simple(part.config))), shown):
                self.write(summary, 0)
            self.writer.add_text("run.json", "```json\n" + json.dumps(part.config, indent=2) + "\n```", 0)

    def write(self, summary: Any, samples: int) -> None:
        """Add a protocol buffer as it is."""
        self.writer._get_file_writer().add_summary(summary, samples)

    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """One curve a number; on disk at once."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, samples)
        self.writer.flush()

    def image(self, name: str, path: Path, samples: int) -> None:
        """The file as it is: nothing is encoded again, and 16 bits stay 16 bits."""
        proto = require("tensorboard.compat.proto.summary_pb2", extra="tensorboard")
        with Image.open(path) as picture:
            (width, height), bands = picture.size, len(picture.getbands())
        size = {"height": height, "width": width, "colorspace": bands}
        png = proto.Summary.Image(**size, encoded_image_string=path.read_bytes())
        self.write(proto.Summary(value=[proto.Summary.Value(tag=name, image=png)]), samples)
        self.writer.flush()

    def finding(self, text: str, samples: int) -> None:
        """In the tab for text."""
        self.writer.add_text("findings", text, samples)
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


@final
class Wandb(Tracker):
    """Weights & Biases. WANDB_MODE=offline keeps everything in RUN/wandb, for `wandb sync`."""

    @classmethod
    def check(cls) -> None:
        """Its package is there, and it will not ask for a key."""
        wandb = require("wandb", extra="wandb")
        if wandb.setup().settings.mode in ("online", "shared") and not wandb.login(prompt=False, verify=False):
            raise UsageError(
                "wandb is not logged in here: run `wandb login` once, or set WANDB_API_KEY; or track without a "
                "network by WANDB_MODE=offline"
            )

    def __init__(self, part: Part) -> None:
        self.id = part.id or secrets.token_hex(4)
        self.wandb = require("wandb", extra="wandb")
        self.run = self.wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self.id,
            name=part.name,
            dir=os.environ.get("WANDB_DIR", str(part.folder)),
            resume="allow" if part.id else None,
            config=part.config,
        )

    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """One step a row."""
        self.run.log(dict(values), step=samples)

    def image(self, name: str, path: Path, samples: int) -> None:
        """One picture a step."""
        self.run.log({name: self.wandb.Image(str(path))}, step=samples)

    def finding(self, text: str, samples: int) -> None:
        """In the history, and as an alert."""
        self.run.log({"finding": text}, step=samples)
        self.run.alert(title=f"{self.run.name}: {text[:60]}", text=text)

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


@final
class Trackio(Tracker):
    """Trackio: a local database, for `trackio show`; TRACKIO_SPACE_ID names a space to use instead."""

    @classmethod
    def check(cls) -> None:
        """Its package is there."""
        require("trackio", extra="trackio")

    def __init__(self, part: Part) -> None:
        self.id = part.id or f"{part.name}-{secrets.token_hex(2)}"
        self.trackio = require("trackio", extra="trackio")
        self.run = self.trackio.init(PROJECT, name=self.id, resume="allow", config=simple(part.config), embed=False)

    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """One step a row; Trackio keeps some names for itself."""
        self.run.log({"steps" if name == "step" else name: value for name, value in values.items()}, step=samples)

    def image(self, name: str, path: Path, samples: int) -> None:
        """One picture a step."""
        self.run.log({name: self.trackio.Image(path)}, step=samples)

    def finding(self, text: str, samples: int) -> None:
        """As an alert."""
        self.run.alert(title=text[:60], text=text, step=samples)

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


@final
class Mlflow(Tracker):
    """MLflow: the store that MLFLOW_TRACKING_URI names, or its default, for `mlflow ui`."""

    @classmethod
    def check(cls) -> None:
        """Its package is there."""
        require("mlflow", extra="mlflow")

    def __init__(self, part: Part) -> None:
        self.entities, self.num_findings = require("mlflow.entities", extra="mlflow"), 0
        self.client = require("mlflow", extra="mlflow").MlflowClient()
        if part.id is not None:
            self.id = part.id
            self.client.update_run(self.id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self.client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self.client.create_experiment(name)
        self.id = self.client.create_run(number, run_name=part.name).info.run_id
        params = [self.entities.Param(key, str(value)[:500]) for key, value in flatten(part.config).items()]
        for start in range(0, len(params), 100):  # as many as it takes at once
            self.client.log_batch(self.id, params=params[start : start + 100])

    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """One batch a row."""
        now = int(time.time() * 1000)
        metrics = [self.entities.Metric(name, value, now, samples) for name, value in values.items()]
        self.client.log_batch(self.id, metrics)

    def image(self, name: str, path: Path, samples: int) -> None:
        """An artifact."""
        self.client.log_artifact(self.id, str(path), name)

    def finding(self, text: str, samples: int) -> None:
        """As a tag."""
        self.client.set_tag(self.id, f"finding.{samples}.{self.num_findings}", text)
        self.num_findings += 1

    def close(self) -> None:
        """Say that the run has ended."""
        self.client.set_terminated(self.id)


TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "trackio": Trackio,
    "mlflow": Mlflow,
}


@final
class Channel:
    """The way to one tracker: in the background, and nothing twice.

    Args:
        name: Of the service.
        tracker: What to tell.
        since: Samples seen before this were told in an earlier part of the run.
    """

    def __init__(self, name: str, tracker: Tracker, *, since: int) -> None:
        self.tracker, self.since = tracker, since
        self.background = Background(name, patience_s=PATIENCE_S)

    def tell(self, samples: int, job: Callable[[Tracker], None]) -> None:
        """Tell the tracker of something that happened after so many samples."""
        if samples >= self.since:
            self.background.add(lambda: job(self.tracker))

    def close(self) -> None:
        """Tell it that the run has ended."""
        self.background.add(self.tracker.close)
        self.background.close()


@final
class Trackers:
    """All trackers of a run; RUN/track.json keeps what they call it and how far they were told.

    A run that goes on continues with what is new. TensorBoard forgets what came after the resume point; the others
    cannot, so they keep what they were told of those samples and are told nothing of them again.
    """

    def __init__(self, run: Run, names: Sequence[str], *, samples: int) -> None:
        self.file, self.lock = run.folder / "track.json", Lock()
        self.known: dict[str, dict[str, Any]] = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.channels: dict[str, Channel] = {}
        self.told: dict[str, Any] = {}
        try:
            for name in names:
                self.start(name, run, samples)
        except BaseException:
            self.close()
            raise

    def start(self, name: str, run: Run, samples: int) -> None:
        """Begin with one service.

        Raises:
            UsageError: It does not start. Where it goes on with a run it is left out instead: nobody may be watching.
        """
        before = self.known.get(name, {})
        settings = {key: value for key, value in run.config["settings"].items() if key != "webhook"}  # may be a secret
        part = Part(run.folder, {**run.config, "settings": settings}, before.get("id"), samples)
        try:
            tracker = TRACKERS[name](part)
        except OrganzaError:
            raise
        except Exception as error:
            if part.id is None:
                raise UsageError(
                    f"{name} does not start: {str(error).rstrip('.')}. Mend that, or leave out --track {name}"
                ) from error
            say(f"{name} cannot go on with {part.id}, and the run goes on without it: {type(error).__name__}: {error}")
            return
        told = samples if name == "tensorboard" else max(samples, before.get("told", 0))
        self.channels[name] = Channel(name, tracker, since=told + 1 if part.id else 0)
        self.known[name] = {"id": tracker.id, "told": told}
        write_json(self.file, self.known)

    def row(self, row: dict[str, Any]) -> None:
        """A row of metrics.jsonl was written."""
        is_same_moment = row["samples"] == self.told.get("samples")
        new = {key: value for key, value in row.items() if not (is_same_moment and self.told.get(key) == value)}
        self.told = row
        values, samples = numbers(new), row["samples"]
        for name, channel in self.channels.items():
            channel.tell(samples, lambda tracker: tracker.scalars(values, samples))
            channel.background.add(lambda name=name: self.remember(name, samples))
        for text in (new[key] for key in ("failed", "stopped") if key in new):
            self.say(text, samples)

    def picture(self, path: Path, samples: int) -> None:
        """A sample grid was written."""
        for channel in self.channels.values():
            channel.tell(samples, lambda tracker: tracker.image("samples", path, samples))

    def finding(self, entry: dict[str, Any]) -> None:
        """The doctor wrote an entry of findings.jsonl."""
        if entry["event"] == "found":
            text = f"{entry['level']}: {entry['title']} since {entry['since']:,} samples. {entry['why']}"
        else:
            text = f"{entry['name']}: over since {entry['samples']:,} samples"
        self.say(text, self.told.get("samples", 0))

    def say(self, text: str, samples: int) -> None:
        """Something to read."""
        for channel in self.channels.values():
            channel.tell(samples, lambda tracker: tracker.finding(text, samples))

    def remember(self, name: str, samples: int) -> None:
        """Note how far a tracker was told."""
        with self.lock:
            self.known[name]["told"] = max(samples, self.known[name]["told"])
            write_json(self.file, self.known)

    def close(self) -> None:
        """The run has ended."""
        for channel in self.channels.values():
            channel.close()


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn of a row: numbers, the non-finite ones from their names, short lists entry by entry."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if (isinstance(value, (int, float)) and key != "samples") or value in ("nan", "inf", "-inf"):
            found[key] = float(value)
        elif isinstance(value, list) and len(value) <= LONGEST_LIST:
            entries = {f"{key}/{index:02d}": entry for index, entry in enumerate(value)}
            found |= numbers(entries)
    return found


def simple(config: dict[str, Any]) -> dict[str, Any]:
    """The same with lists as text: not every service takes them."""
    return {
        key: simple(value) if isinstance(value, dict) else str(value) if isinstance(value, list) else value
        for key, value in config.items()
    }


def check(names: Sequence[str]) -> None:
    """Raise UsageError, with what to install, unless all these services can be used here."""
    for name in names:
        TRACKERS[name].check()
