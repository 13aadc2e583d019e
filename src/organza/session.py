"""How runs begin, go on and lead to others: what `organza.train` and the command line call. `playing` does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from organza import checkpoint, distributed
from organza.assemble import asked, build, decided, open_data, prepare, refuse_others
from organza.budgets import UNITS, extend, larger
from organza.data import DataOptions
from organza.data.groups import Grouped
from organza.data.options import MADE
from organza.data.registry import absolute
from organza.data.spec import ImageSpec
from organza.errors import CheckpointError
from organza.game import Hook
from organza.hooks.console import say
from organza.hooks.evaluation import check_measure
from organza.hooks.signals import Signals
from organza.inputs import lacks_unseen
from organza.playing import carry_out, lock
from organza.recipe import Found, Recipe, find, named
from organza.run import Run, create_run, launched_before, open_run
from organza.settings import DEFAULT_RECIPE, RunSettings


def train(
    recipe: str | Recipe = DEFAULT_RECIPE,
    *,
    data: str = "mnist",
    samples: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    run: str | Path | None = None,
    settings: RunSettings | None = None,
    options: DataOptions | None = None,
    hooks: Sequence[Hook] = (),
) -> Run:
    """Train a GAN and return its run. The same call on the same folder goes on where it stopped.

    Args:
        recipe: `family`, `family:preset`, a file, an import path, or a recipe object with its fields set.
        data: Source string: a name, a folder, an archive; see `organza.data`.
        samples: Budget in real samples.
        epochs: Budget in passes over the data.
        minutes: Budget in minutes of training. At most one budget; without one the recipe's own length.
        seed: Determines weights, data order and noise.
        run: Run folder; by default the next free one below ./runs.
        settings: Everything else about the run.
        options: How to read the data.
        hooks: Called after each step, after the built-in ones.

    Raises:
        OrganzaError: With what was found, what is needed and how to mend it.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. The step was finished and the run saved first.
    """
    given = {"samples": samples, "epochs": epochs, "minutes": minutes, "seed": seed, "run": Path(run) if run else None}
    settings = replace(settings or RunSettings(), **{key: value for key, value in given.items() if value is not None})
    found = find(recipe) if isinstance(recipe, str) else named(recipe)
    return start(found, data=data, settings=settings, options=options or DataOptions(), hooks=hooks)


def start(
    found: Found,
    *,
    data: str,
    settings: RunSettings,
    options: DataOptions,
    hooks: Sequence[Hook] = (),
    origin: Run | None = None,
    notes: Sequence[str] = (),
) -> Run:
    """Open the data, make or take up the run folder, and train.

    Args:
        found: The recipe.
        data: Source string.
        settings: As for `train`, like the next two.
        options: How to read the data.
        hooks: Called after each step.
        origin: A run whose weights to begin from.
        notes: What to tell the user first.
    """
    weights = checkpoint.newest(origin.checkpoints) if origin else None
    if origin and weights is None:
        raise CheckpointError(f"{origin.folder} holds no whole checkpoint to begin from")
    with Signals() as signals:
        device = prepare(settings)
        for note in notes if distributed.is_main() else ():
            say(note)
        options = asked(found, options)
        source = open_data(data, options)
        found, source, options = decided(found, data, source, settings, options, device=device)
        with distributed.main_first():
            found.recipe.fetch(offline=options.offline)
        try:
            game = build(found.recipe, source, settings, weights=weights, labels=options.labels)
        except CheckpointError:
            if origin:
                refuse_others(origin, source, found.recipe, options)
            raise
        check_measure(settings.best_by, data, source, options, game)
        is_new = not (settings.run and (settings.run / "run.json").exists())
        if is_new and options.split == "train" and distributed.is_main() and lacks_unseen(data, options, source.spec):
            say("No images are held out, so pictures and scores are of what the run trains on; better: --hold-out 0.1")
        folder = ""
        if distributed.is_main():
            settings = replace(settings, run=settings.run or launched_before())
            run = create_run(
                found=found,
                data=data,
                data_name=source.name,
                options=options,
                settings=settings,
                spec=source.spec,
                count=len(source),
                origin=weights,
                groups=source.fitted if isinstance(source, Grouped) else None,
            )
            folder = str(run.folder)
        run, recipe = open_run(distributed.broadcast_text(folder)), found.recipe
        if run.interventions:
            recipe = run.recipe
            game = build(recipe, source, settings, weights=weights)
        with lock(run):
            return carry_out(run, game, recipe, source, settings, device=device, signals=signals, hooks=hooks)


def resume(
    run: str | Path | Run,
    *,
    samples: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    settings: RunSettings | None = None,
    hooks: Sequence[Hook] = (),
) -> Run:
    """Go on with a run from its newest checkpoint, bit for bit as if it had never stopped.

    Args:
        run: The run folder.
        samples: A larger budget, what was used up included; also for a run that is finished.
        epochs: The same in passes over the data.
        minutes: The same in minutes, for a run whose budget is in minutes.
        settings: Another machine, cadence or pause; budget, seed and recipe are the run's own.
        hooks: As for `train`.

    Raises:
        CheckpointError: There is no such run, another process trains it, or its data has changed.
        UsageError: The budget is less than the run's, or in another unit.
        KeyboardInterrupt: As for `train`.
    """
    run = open_run(run.folder if isinstance(run, Run) else run)  # it may have got a larger budget since
    started, more = run.settings, RunSettings(samples=samples, epochs=epochs, minutes=minutes)
    own = {name: getattr(started, name) for name in ("samples", "epochs", "minutes", "seed", "precision", "compile")}
    settings = replace(settings or started, run=run.folder, **own)
    with Signals() as signals:
        device = prepare(settings)
        if count := run.config["data"].get("count"):
            larger(run, more, count=count)  # to refuse a budget before anything is computed
        source = open_data(run.config["data"]["source"], run.data_options)
        count = count or len(source)
        if (source.spec, len(source)) != (run.spec, count):
            raise CheckpointError(
                f"the data of {run.folder} has changed: it was {count:,} samples of {run.spec}, now it is "
                f"{len(source):,} of {source.spec}. Put it back as it was, or begin a new run from these weights with: "
                f"organza finetune {run.quoted}"
            )
        recipe = run.recipe
        with distributed.main_first():
            recipe.fetch(offline=run.data_options.offline)
        origin = run.config.get("origin")
        weights = Path(origin) if origin and checkpoint.is_whole(Path(origin)) else None
        game = build(recipe, source, settings, weights=weights)
        with lock(run):
            run = extend(run, more, count=count)
            settings = replace(settings, **{unit: getattr(run.settings, unit) for unit in UNITS})
            return carry_out(run, game, recipe, source, settings, device=device, signals=signals, hooks=hooks)


def finetune(
    run: str | Path | Run,
    *,
    data: str | None = None,
    recipe: Recipe | None = None,
    settings: RunSettings | None = None,
    options: DataOptions | None = None,
    hooks: Sequence[Hook] = (),
) -> Run:
    """A new run that begins with another's weights: new clock, new optimizers, other data if given.

    Args:
        run: The run to begin from.
        data: Source string; None: the same data. It must have the same channels and classes. Where the classes of the
            run are groups of similar samples, so are those of the new one, whatever labels there are.
        recipe: The run's own with other step sizes, budget shares and the like; networks must be as they were.
        settings: Budget and everything else of the new run.
        options: How to read the data; None: as before. Without a size, images are brought to that of the run; of the
            same data the same samples are held out.
        hooks: As for `train`.
    """
    old = run if isinstance(run, Run) else open_run(run)
    before, spec = old.data_options, old.spec
    options = options or before
    if isinstance(spec, ImageSpec) and options.size is None:
        options = replace(options, resize=f"{spec.width}x{spec.height}")
    if before.pairs in MADE and options.pairs == "auto" and options.to is None:  # undone alike
        made = {key: getattr(before, key) for key in ("pairs", "scale", "wear", "holes")}
        plain = DataOptions()
        options = replace(options, **{key: made[key] for key in made if getattr(options, key) == getattr(plain, key)})
    is_same = data is None or absolute(data) == old.config["data"]["source"]
    is_whole = options.split == before.split == "train" and options.limit == before.limit  # else others would be kept
    notes: list[str] = []
    if is_same and is_whole and before.hold_out and not options.hold_out:
        options = replace(options, hold_out=before.hold_out)
        notes.append(f"What {old.folder} has not seen stays unseen: --hold-out {before.hold_out:g}")
    is_same_grouping = options.clusters in (0, before.clusters) and options.clusters_of in (None, before.clusters_of)
    if old.spec.grouped and is_same_grouping:  # the same groups for other data
        origin = before.clusters_of or (None if is_same and is_whole else old.config["data"]["source"])
        labels = options.labels and not is_same
        options = replace(options, labels=labels, clusters=before.clusters, clusters_of=origin)
    return start(
        replace(old.found, recipe=recipe or old.recipe, why=()),
        data=data or old.config["data"]["source"],
        settings=settings or RunSettings(),
        options=options,
        hooks=hooks,
        origin=old,
        notes=notes,
    )
