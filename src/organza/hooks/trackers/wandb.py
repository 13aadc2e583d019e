"""Weights & Biases, with or without a network."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import final

from organza.errors import UsageError, require
from organza.hooks.trackers.tracker import PROJECT, Part, Tracker


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
