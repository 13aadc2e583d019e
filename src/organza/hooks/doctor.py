"""The doctor beside a run: examines it now and then, says what is wrong, and keeps a record in findings.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from organza import pictures
from organza.data.source import Source, encode
from organza.data.spec import ImageSpec
from organza.doctor.catalogue import diagnose
from organza.doctor.examine import Examiner, relative_step
from organza.doctor.exhibit import WITHOUT_PICTURE
from organza.doctor.finding import Finding
from organza.doctor.history import History, Row
from organza.doctor.visit import exhibit_path
from organza.errors import StorageError
from organza.game import Report, Stop
from organza.hooks.console import say
from organza.inputs import unseen
from organza.metrics.extractors import load_extractor
from organza.run import Run
from organza.settings import DoctorMode

TREATMENTS = 3
"""Changes that a run may go through."""
CLASSIFIERS = {"mnist": "digits", "fashion-mnist": "fashion"}
SURE = 0.5
"""Probability from which on a class counts."""
LEAST = 10
"""Examinations that are spread over a whole run in any case, as far as it has so many rows."""


@final
class Doctor:
    """A hook; `measure` and `heed` belong to the recorder of the same run.

    Args:
        run: The run folder, for findings.jsonl.
        config: The contents of run.json.
        rows: The rows of metrics.jsonl so far.
        examiner: What takes the measurements.
        mode: What an error leads to.
        every: Samples between examinations; a tenth of the run at most.
        share: Of the training time that others than those ten may take.
    """

    def __init__(
        self,
        run: Path,
        config: dict[str, Any],
        rows: list[Row],
        examiner: Examiner,
        *,
        mode: DoctorMode,
        every: int,
        share: float,
    ) -> None:
        self.path, self.config, self.rows, self.examiner = run / "findings.jsonl", config, rows, examiner
        self.mode, self.every, self.share = mode, every, share
        self.began, self.spent_s = time.monotonic(), 0.0
        self.due, self.overdue = 0, 0.0
        self.weights: dict[str, list[Tensor]] = {}
        self.weighed_at = 0
        self.steps: Row = {}
        self.present: dict[str, Finding] = {}
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        """Told of each entry of findings.jsonl."""

    def __call__(self, report: Report) -> Stop | None:
        """After each step: see how far it moved the weights if that was asked for, and end a run that is ill."""
        if self.weights and report.clock.step > self.weighed_at:
            players = report.game.players
            self.steps = {f"health/step/{name}": relative_step(w, players[name]) for name, w in self.weights.items()}
            self.weights = {}
        grave = next((finding for finding in self.present.values() if finding.level == "error"), None)
        if grave is None or self.mode not in ("stop", "treat"):
            return None
        if self.mode == "stop":
            return Stop(f"doctor: {grave.title}")
        if not grave.change.fields or len(self.config.get("interventions", ())) >= TREATMENTS:
            return None
        return Stop(f"doctor: {grave.title}", change=grave.change.fields, since=grave.since)

    def measure(self, report: Report) -> Row:
        """The columns of an examination, if one is due and there is time for it."""
        now, clock = time.monotonic(), report.clock
        is_costly = self.spent_s > self.share * (now - self.began)
        if report.failed or (clock.progress < self.overdue and (is_costly or clock.samples < self.due)):
            return {}
        self.due = (clock.samples // self.every + 1) * self.every
        self.overdue = min((int(clock.progress * LEAST) + 1) / LEAST, 1.0)
        row = self.examiner(report.game, report.clock) | self.steps
        self.weights = {
            name: [parameter.detach().clone() for parameter in player.parameters]
            for name, player in report.game.players.items()
        }
        self.weighed_at = report.clock.step
        self.spent_s += time.monotonic() - now
        row["health/cost"] = round(self.spent_s / max(time.monotonic() - self.began, 1e-9), 4)
        return row

    def heed(self, row: Row) -> None:
        """Look at the history with its new row; say what has come and what has gone."""
        began = time.monotonic()
        self.rows.append(row)
        if not (row.get("failed") or "health/spread" in row):
            return
        found = {finding.name: finding for finding in diagnose(History(self.rows, self.config))}
        for name, finding in found.items():
            if name not in self.present:
                self.write({"event": "found", **finding.as_json(), **self.show(name, int(row["samples"]))})
                say(f"doctor: {finding.line()}")
                if self.mode == "treat" and finding.level == "error" and not finding.change.fields:
                    say("doctor: no field of this recipe treats that, so training goes on as it is")
        for name, finding in self.present.items():
            if name not in found:
                self.write({"event": "recovered", "name": name, "samples": row["samples"]})
                say(f"doctor: {finding.title}: over since {row['samples']:,} samples")
        self.present = found
        self.spent_s += time.monotonic() - began

    def show(self, illness: str, samples: int) -> dict[str, str]:
        """Draw what shows the illness into findings/, if the samples of an examination are at hand."""
        exhibit = self.examiner.exhibit
        if exhibit is None or illness in WITHOUT_PICTURE:
            return {}
        path = exhibit_path(self.path.parent, illness, samples)
        try:
            path.parent.mkdir(exist_ok=True)
            pictures.save_png(exhibit.picture(illness), path, metadata={})
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error}") from error
        return {"picture": str(path.relative_to(self.path.parent))}

    def write(self, entry: dict[str, Any]) -> None:
        """Append to findings.jsonl and tell the listeners."""
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error}") from error
        for listener in self.listeners:
            listener(entry)


def examiner(run: Run, source: Source, *, device: str) -> Examiner:
    """What examines the game of a run: with its unseen data, and a classifier of its classes where there is one."""
    return Examiner(source, unseen(run), batch=run.recipe.batch, device=device, classify=classifier_of(source, device))


def classifier_of(source: Source, device: str) -> Callable[[Tensor], Tensor] | None:
    """Tells the classes of images, -1 where it is not sure, of data that organza has a classifier for; else None."""
    spec, name = source.spec, CLASSIFIERS.get(source.name)
    if name is None or not isinstance(spec, ImageSpec) or not spec.num_classes or spec.grouped:
        return None
    extractor = load_extractor(name, device=device)

    def classify(images: Tensor) -> Tensor:
        probabilities = np.asarray(extractor(encode(images.nan_to_num(), spec)).probabilities)
        return torch.from_numpy(np.where(probabilities.max(1) > SURE, probabilities.argmax(1), -1))

    return classify
