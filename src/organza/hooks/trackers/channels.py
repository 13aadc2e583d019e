"""The way from a run to its trackers: in the background, nothing twice, and on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, final

from organza.errors import OrganzaError, UsageError
from organza.hooks.background import Background
from organza.hooks.console import say
from organza.hooks.trackers.mlflow import Mlflow
from organza.hooks.trackers.tensorboard import TensorBoard
from organza.hooks.trackers.tracker import Part, Tracker
from organza.hooks.trackers.trackio import Trackio
from organza.hooks.trackers.wandb import Wandb
from organza.run import Run, write_json

PATIENCE_S = 60
"""How long the end of a run waits for a tracker."""
LONGEST_LIST = 32
"""Lists of more numbers than this are not tracked."""
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


def check(names: Sequence[str]) -> None:
    """Raise UsageError, with what to install, unless all these services can be used here."""
    for name in names:
        TRACKERS[name].check()
