"""The budget of a run, and a larger one for a run that has one: on the record in run.json.

Schedules are shares of the budget, so with a larger one they go back to where the samples seen stand in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from organza import distributed
from organza.errors import StorageError, UsageError
from organza.recipe import Recipe
from organza.run import Run, open_run, write_json
from organza.settings import RunSettings
from organza.trainer import Budget

UNITS = ("samples", "epochs", "minutes")
EXTENDED = "extended"
"""Entry of the row of metrics.jsonl at which a run got a larger budget."""


def budget_of(settings: RunSettings, recipe: Recipe, count: int) -> Budget:
    """The run's budget, or the recipe's own length, in samples or minutes; `count`: samples in the data."""
    if settings.minutes is not None:
        return Budget(minutes=settings.minutes)
    if settings.samples is not None:
        return Budget(samples=settings.samples)
    return Budget(samples=max(1, round((settings.epochs or recipe.length) * count)))


def larger(run: Run, settings: RunSettings, *, count: int) -> Budget | None:
    """The budget that these settings name for a run, if it is more than it has.

    Raises:
        UsageError: It is less, or minutes where the run counts samples, or the other way round.
    """
    if not any(getattr(settings, unit) for unit in UNITS):
        return None
    before, now = (budget_of(each, run.recipe, count) for each in (run.settings, settings))
    unit = "minutes" if before.minutes else "samples"
    had, wanted = getattr(before, unit), getattr(now, unit)
    if wanted is None:
        too = "minutes" if before.minutes else "samples or epochs"
        raise UsageError(f"the budget of {run.folder} is {had:,.12g} {unit}, so a larger one must be in {too}, too")
    if wanted < had:
        raise UsageError(
            f"{run.folder} has a budget of {had:,.12g} {unit} already, which cannot be cut to {wanted:,.12g}"
        )
    return now if wanted > had else None


def extend(run: Run, settings: RunSettings, *, count: int) -> Run:
    """Give a run the larger budget that these settings name, if they name one; the run as it is then.

    Called by every rank, while nobody else can change the run; the first one acts. The last row of metrics.jsonl is
    repeated with an entry `extended`: an early end before it no longer counts, nor does it for `--patience`.

    Raises:
        UsageError: As for `larger`.
    """
    run = open_run(run.folder)
    if larger(run, settings, count=count) and distributed.is_main():
        given = {unit: getattr(settings, unit) for unit in UNITS}
        had = {unit: getattr(run.settings, unit) for unit in UNITS}
        rows = run.rows()
        entry = {"samples": rows[-1]["samples"] if rows else 0, "from": had, "to": given}
        config = {**run.config, "settings": run.config["settings"] | given}
        config["extensions"] = [*run.config.get("extensions", []), entry]
        try:
            if rows:
                same = {key: rows[-1][key] for key in ("samples", "step", "epoch", "time_s", "progress")}
                with (run.folder / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps(same | {EXTENDED: entry}) + "\n")
            write_json(run.folder / "run.json", config)
        except OSError as error:
            raise StorageError(f"cannot write into {run.folder}: {error}. Make it writable") from error
    distributed.broadcast_text("")  # the others wait until it is written
    return open_run(run.folder)


def since_extended(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The rows of metrics.jsonl that were written since the run got its newest budget."""
    marks = [index for index, row in enumerate(rows) if EXTENDED in row]
    return rows[marks[-1] :] if marks else rows


def more_of(run: Run) -> str:
    """A command that lets it go on for as long again."""
    unit = next((unit for unit in UNITS if getattr(run.settings, unit)), "epochs")
    had, rows = getattr(run.settings, unit) or run.recipe.length, run.rows()
    seen = rows[-1][{"samples": "samples", "epochs": "epoch"}[unit]] if rows and unit != "minutes" else 0  # a last step
    return f"organza resume {run.quoted} --{unit} {had + max(had, math.ceil(seen * 1e4) / 1e4):.12g}"
