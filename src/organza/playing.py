"""A run that is open, from its newest checkpoint to its report: restored, played, concluded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from organza import __version__, checkpoint, devices, distributed
from organza.assemble import build
from organza.budgets import budget_of, more_of, since_extended
from organza.data.source import Source
from organza.doctor.catalogue import diagnose
from organza.doctor.history import History
from organza.doctor.visit import cure, summary
from organza.errors import CheckpointError, DivergedError, StorageError
from organza.game import Batch, Clock, Game, Hook, Request, Stop
from organza.hooks.console import say
from organza.hooks.crew import Crew
from organza.hooks.evaluation import verdict
from organza.hooks.signals import Signals
from organza.inputs import at_most, fed, grid_labels
from organza.recipe import Recipe
from organza.report import write_report
from organza.run import Run, locked, truncate_rows
from organza.settings import RunSettings
from organza.trainer import Budget, Guard
from organza.trainer import train as play
from organza.treatment import prescribe, prescribed


def lock(run: Run) -> AbstractContextManager[None]:
    """No other process may train the run meanwhile; held by the first rank."""
    return locked(run.folder) if distributed.is_main() else nullcontext()


def newest_for_all(run: Run) -> Path | None:
    """The newest whole checkpoint as rank 0 sees it, on every rank; None if there never was one.

    Raises:
        CheckpointError: There are checkpoints, but none can be read.
    """
    found = ""
    if distributed.is_main():
        listed, newest = checkpoint.listed(run.checkpoints), checkpoint.newest(run.checkpoints)
        if listed and newest is None:
            raise CheckpointError(
                f"{run.checkpoints} holds checkpoints, but none that organza {__version__} can read. Nothing was "
                "changed: put a whole one back, or begin anew in another folder"
            )
        if newest is not None and newest != listed[-1]:
            say(f"{listed[-1]} is damaged; going on from {newest}")
        found = str(newest or "")
    found = distributed.broadcast_text(found)
    return Path(found) if found else None


def carry_out(
    run: Run,
    game: Game,
    recipe: Recipe,
    source: Source,
    settings: RunSettings,
    *,
    device: str,
    signals: Signals,
    hooks: Sequence[Hook] = (),
    is_treated: bool = False,
) -> Run:
    """Restore what there is, play, and write the report; `is_treated`: the doctor sent it back."""
    world, clock = distributed.world(), Clock()
    newest = newest_for_all(run)
    if newest is not None:
        clock = checkpoint.load(newest, game, is_checked=True)
    budget = budget_of(settings, recipe, len(source))
    if is_finished(run, clock, budget, settings):
        if distributed.is_main():
            say(
                f"{run.folder} is already finished after {clock.samples:,} samples; for more: "
                f"{more_of(run)}; to begin anew from its weights: organza finetune {run.quoted}"
            )
        source.close()
        distributed.stop()
        return run
    fed(game.to(device), run, source)
    if distributed.is_main():
        (run.folder / "report.html").unlink(missing_ok=True)  # it says that the run is over
        if newest is not None and not is_treated:
            last = max((row.get("samples", 0) for row in run.rows()), default=0)
            lost = f"; what came after, up to {last:,}, had not been saved" if last > clock.samples else ""
            say(f"going on from {clock.samples:,} samples{lost}")
        truncate_rows(run.folder, clock.samples)
    if settings.compile:
        from organza.compiling import compile_game

        first = next(source.batches(recipe.batch, seed=settings.seed, device=device))
        compile_game(game, first, replace(clock, step=0))

    def recover() -> Clock:
        path = newest_for_all(run)
        if path is None:
            raise DivergedError(f"training diverged and {run.folder} holds no whole checkpoint to go back to")
        return checkpoint.load(path, game, is_checked=True)

    def batches(start: int) -> Iterator[Batch]:
        return source.batches(
            recipe.batch, start=start, seed=settings.seed, rank=distributed.rank(), world=world, device=device
        )

    source.read(np.zeros(1, dtype=int))  # decodes, on all ranks at once and before any clock runs
    with Crew(run, game, source, batches, settings, budget=budget, clock=clock, device=device) as crew:
        if newest is None:
            crew.begin()
        else:
            crew.saver.saved_at = clock.samples
        crew.started()
        clock, stop = play(
            game,
            crew.stream,
            budget=budget,
            clock=clock,
            seed=settings.seed,
            hooks=[*crew.hooks, *hooks, signals],
            micro_batch=settings.micro_batch,
            precision=devices.precision(settings.precision, device),
            guard=Guard(recover=recover),
        )
        crew.end(clock, stop)
    if settings.doctor == "treat" and (asked := prescribed(stop)):
        run = prescribe(run, asked)
        if distributed.is_main():
            words = ", ".join(f"{name} = {value}" for name, value in asked.change.items())
            say(f"doctor: back to {run.interventions[-1]['samples']:,} samples with {words}")
        game = build(run.recipe, source, settings, weights=None)
        where = {"device": device, "signals": signals, "hooks": hooks}
        return carry_out(run, game, run.recipe, source, settings, **where, is_treated=True)
    if distributed.is_main():
        conclude(run, source, game, clock, stop)
    source.close()
    distributed.stop()
    signals.raise_if_received()
    return run


def is_finished(run: Run, clock: Clock, budget: Budget, settings: RunSettings) -> bool:
    """Whether the budget is used up, or the run was stopped early for good, and its report is written."""
    ends = [row["stopped"] for row in since_extended(run.rows()) if "stopped" in row]
    is_over = budget.progress(clock.samples, 60 * clock.minutes) >= 1
    is_over = is_over or ends[-1:] == [verdict(settings.best_by, settings.patience)]
    return is_over and (run.folder / "report.html").exists()


def conclude(run: Run, source: Source, game: Game, clock: Clock, stop: Stop | None) -> None:
    """The report of a finished run, or how to go on with one that was stopped."""
    history = History(run.rows(), run.config)
    findings = diagnose(history)
    if findings or run.settings.doctor != "off":
        say(f"doctor:   {summary(findings, history)}" + (f"; see: organza doctor {run.quoted}" if findings else ""))
    if stop is not None and stop.is_final:
        say(f"finished early ({stop.reason}) after {clock.samples:,} samples")
    elif stop is not None:
        say(f"stopped ({stop.reason}) after {clock.samples:,} samples; go on with: organza resume {run.quoted}")
        if not findings:  # else the report shows what was found
            return
    count = at_most(game, 16)
    request = Request(count, seed=1, labels=grid_labels(game, source.spec, count))
    try:
        path = write_report(
            run.folder,
            config=run.config,
            rows=run.rows(),
            spec=source.spec,
            source=source,
            fakes=game.generate(request),
            given=game.inputs(request) if game.inputs else None,
            reverses=game.reverses,
            more=more_of(run),
            findings=[(finding, cure(finding, run)) for finding in findings],
        )
    except OSError as error:
        raise StorageError(f"cannot write the report into {run.folder}: {error}. The run itself is complete") from error
    say(f"report:   {path}")
    if source.spec.has_source:
        say(f"apply:    organza apply {run.quoted} IN OUT" + "; back: --reverse" * game.reverses)
    else:
        say(f"generate: organza generate {run.quoted} --count 64 --out samples.png")
    if stop is None or stop.is_final:
        say(f"longer:   {more_of(run)}")
