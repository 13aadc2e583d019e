"""organza resume RUN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, final

from organza.cli.options import RunFolder, parse

DESCRIPTION = """Go on with a run from its newest checkpoint, bit for bit as if it had never stopped.

With a larger budget also a run that is finished goes on; schedules, which are shares of the budget, go back to
where it stands in the new one: step sizes may rise again, and what begins with pretraining may return to it."""


@final
@dataclass(frozen=True, kw_only=True)
class Resume:
    """What `organza resume` takes; everything else is the run's own."""

    run: RunFolder
    """The run folder."""
    samples: Optional[int] = None
    """A larger budget in samples, those already seen included."""
    epochs: Optional[float] = None
    """The same in passes over the data."""
    minutes: Optional[float] = None
    """The same in minutes, for a run whose budget is in minutes."""
    pause_at: Optional[int] = None
    """End after so many samples as an interruption would."""
    device: Optional[str] = None
    """Another device than before."""
    devices: Optional[int] = None
    """Another number of processes than before; the batch must be divisible by it."""
    micro_batch: Optional[int] = None
    """Another number of samples per forward pass."""


def main(args: list[str]) -> int:
    """Resume, in this process or in several."""
    given = parse(Resume, args, verb="resume", description=DESCRIPTION)
    from organza.cli.launch import launch, needs_launch
    from organza.run import open_run

    run = open_run(given.run)
    changed: dict[str, Any] = {"pause_at": given.pause_at}
    for name in ("device", "devices", "micro_batch"):
        if getattr(given, name) is not None:
            changed[name] = getattr(given, name)
    settings = replace(run.settings, **changed)
    if needs_launch(settings.devices):
        return launch(settings.devices, ["resume", *args])
    from organza.doctor.visit import exit_code, visit
    from organza.session import resume

    more = {unit: getattr(given, unit) for unit in ("samples", "epochs", "minutes")}
    return exit_code(visit(resume(run, settings=settings, **more)))
