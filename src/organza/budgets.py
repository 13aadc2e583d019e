"""The budget of a run, and a larger one for a run that has one: on the record in run.json.

Schedules are shares of the budget, so with a larger one they go back to where the samples seen stand in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from organza import checkpoint, distributed
from organza.errors import StorageError, UsageError
from organza.game import Clock
from organza.recipe import Recipe
from organza.run import Run, open_run, write_json
from organza.settings import RunSettings
from organza.trainer import Budget

UNITS = ("samples", "epochs", "minutes")


def budget_of(settings: RunSettings, recipe: Recipe, count: int) -> Budget:
    """The run's budget, or the recipe's own length, in samples or minutes; `count`: samples in the data."""
    if settings.minutes is not None:
        return Budget(minutes=settings.minutes)
    if settings.samples is not None:
        return Budget(samples=settings.samples)
    return Budget(samples=max(1, round((settings.epochs or recipe.length) * count)))


def extend(run: Run, settings: RunSettings, *, count: int) -> Run:
    """Give a run the budget that these settings name, if they name one; the run as it is then.

    Called by every rank; the first one acts.

    Raises:
        UsageError: It is less, or minutes where the run counts samples, or the other way round.
    """
    given = {unit: getattr(settings, unit) for unit in UNITS}
    if not any(given.values()):
        return run
    before, now = (budget_of(each, run.recipe, count) for each in (run.settings, settings))
    unit = "minutes" if before.minutes else "samples"
    had, wanted = getattr(before, unit), getattr(now, unit)
    if wanted is None:
        also = " or epochs" if unit == "samples" else ""
        raise UsageError(f"the budget of {run.folder} is {had:g} {unit}, so a larger one must be in {unit}{also}, too")
    if wanted < had:
        raise UsageError(f"{run.folder} has a budget of {had:,g} {unit} already, which cannot be cut to {wanted:,g}")
    if wanted > had and distributed.is_main():
        newest = checkpoint.newest(run.checkpoints)
        entry = {"samples": int(newest.stem) if newest else 0, "from": had, "to": wanted, "unit": unit}
        config = {**run.config, "settings": run.config["settings"] | given, "extensions": [*extensions(run), entry]}
        try:
            write_json(run.folder / "run.json", config)
        except OSError as error:
            raise StorageError(f"cannot write {run.folder / 'run.json'}: {error}") from error
    distributed.broadcast_text("")  # the others wait until it is written
    return open_run(run.folder)


def extensions(run: Run) -> list[dict[str, Any]]:
    """The larger budgets it was given, in order: samples of the checkpoint that it went on from, from, to, unit."""
    return run.config.get("extensions", [])


def in_todays_budget(clock: Clock, run: Run) -> Clock:
    """The clock of a checkpoint with the share that is used up of the budget as it is now."""
    for more in extensions(run):
        if clock.samples <= more["samples"]:
            clock = replace(clock, progress=clock.progress * more["from"] / more["to"])
    return clock


def more_of(run: Run) -> str:
    """A command that lets it go on for as long again."""
    unit = next((unit for unit in UNITS if getattr(run.settings, unit)), "epochs")
    had = getattr(run.settings, unit) or run.recipe.length
    return f"organza resume {run.quoted} --{unit} {2 * had:.12g}"
