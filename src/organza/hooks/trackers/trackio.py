"""Trackio: a local database or a space."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import final

from organza.errors import require
from organza.hooks.trackers.tracker import PROJECT, Part, Tracker, simple


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
