"""organza finetune RUN --data SRC."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Optional, final

import tyro

from organza.cli.options import OptionsGroup, SettingsGroup, parse
from organza.data.options import DataOptions
from organza.settings import RunSettings

DESCRIPTION = "Begin a new run from the weights of another: new clock, new optimizers, other data if given."


@final
@dataclass(frozen=True, kw_only=True)
class Finetune:
    """What `organza finetune` takes."""

    origin: Annotated[Path, tyro.conf.Positional]
    """The run folder to begin from."""
    data: Optional[str] = None
    """Source to train on; default: the same as before. It must have the same channels and classes; without --resize,
    images are brought to the size that the run makes."""
    settings: SettingsGroup = field(default_factory=RunSettings)
    options: OptionsGroup = field(default_factory=DataOptions)


def main(args: list[str]) -> int:
    """Fine-tune, in this process or in several."""
    given = parse(Finetune, args, verb="finetune", description=DESCRIPTION)
    from organza.cli.launch import launch, needs_launch

    if needs_launch(given.settings.devices):
        return launch(given.settings.devices, ["finetune", *args])
    from organza.doctor.visit import exit_code, visit
    from organza.session import finetune

    options = given.options if given.data is not None or given.options != DataOptions() else None
    return exit_code(visit(finetune(given.origin, data=given.data, settings=given.settings, options=options)))
