"""MLflow: a store on disk or a server."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

from organza.errors import require
from organza.hooks.trackers.tracker import PROJECT, Part, Tracker
from organza.run_config import flatten


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
