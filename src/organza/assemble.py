"""What a run is put together from: device, data, the recipe decided on, the game; all checked before training."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch.nn import BatchNorm1d, BatchNorm2d

from organza import checkpoint, devices, distributed
from organza.auto import Auto
from organza.data import DataOptions, open_source
from organza.data.check import FEWEST
from organza.data.groups import LEAST, UnevenGroupsError
from organza.data.made import MadePairs
from organza.data.options import HOLED
from organza.data.pictures import CHANNELS
from organza.data.source import Source
from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, UsageError
from organza.game import Game
from organza.hooks.console import say
from organza.hooks.trackers import check
from organza.recipe import Conditional, Found, Recipe, known_classes
from organza.run import Run, open_run
from organza.settings import RunSettings


def prepare(settings: RunSettings) -> str:
    """Device, ranks and the packages of trackers; must come before anything is computed."""
    devices.prepare()
    device = devices.choose(settings.device)
    distributed.start(device)
    if distributed.is_main():
        check(settings.track)
    return device


def open_data(data: str, options: DataOptions) -> Source:
    """Open the source, rank 0 first, and tell the user what was noticed."""
    with distributed.main_first():
        source = open_source(data, options)
    for note in source.notes if distributed.is_main() else ():
        say(note)
    return source


def asked(found: Found, options: DataOptions) -> DataOptions:
    """The options with those that belong to the recipe, where the user gave none; of pairs see `suited`."""
    own = {key: value for key, value in found.data.items() if key != "pairs" and getattr(options, key) is None}
    return replace(options, **own)


def suited(found: Found, source: Source, options: DataOptions) -> tuple[Source, DataOptions]:
    """Pairs made of single images, where the recipe has a way and the user wishes no other.

    Raises:
        DataError: The images do not suit that; or there are single ones only, and the task needs two kinds.
    """
    pairs = found.data.get("pairs", found.recipe.pairs)
    if not pairs or options.pairs != "auto" or source.spec.has_source:
        return source, options
    if pairs == "none":
        source.close()
        raise DataError(
            f"{source.name} holds {'single images' if isinstance(source.spec, ImageSpec) else 'points'}, and to "
            "translate there must be two kinds of images: name the second with --to FOLDER, or give a folder of trainA "
            "and trainB"
        )
    if not isinstance(source.spec, ImageSpec):
        return source, options  # which the recipe refuses
    options = replace(options, pairs=pairs)
    if distributed.is_main():
        say(f"The images are single ones, so pairs are made of them: --pairs {pairs}.")
    try:
        return MadePairs(source, options), options
    except DataError:
        source.close()
        raise


def decided(
    found: Found, data: str, source: Source, settings: RunSettings, options: DataOptions, *, device: str
) -> tuple[Found, Source, DataOptions]:
    """What was given, or what `auto` chooses; where the folder holds a run, that run's own."""
    source, options = suited(found, source, options)
    is_ours = type(found.recipe).__module__.startswith("organza.recipes.")  # a recipe of the user's may want them
    is_of_noise = is_ours and found.recipe.needs_sources == "no"
    if is_of_noise and source.spec.has_source and (options.pairs, options.to) == ("auto", None):
        options = replace(options, pairs="none")  # folders called A and B are classes to it
        source.close()
        source = open_data(data, options)
    try:
        found.check(source.spec, source.name)
        if is_ours:
            found.recipe.check_kind(source.spec)
        refuse_few(found.recipe, source, options)
    except DataError:
        source.close()
        raise
    if not isinstance(found.recipe, Auto):
        return replace(found, recipe=found.recipe.settled(source.spec, source.name)), source, options
    auto, old = found.recipe, None
    if settings.run and (settings.run / "run.json").exists():
        old = open_run(settings.run)
        old = old if old.found.why else None  # else somebody named its recipe
    clusters = old.data_options.clusters if old else auto.groups(source.spec, count=len(source))
    if clusters and not options.clusters:
        with distributed.main_first():  # to its end on every rank, or the others wait
            try:
                in_groups = open_source(data, replace(options, clusters=clusters))
            except UnevenGroupsError as error:
                told = f"auto: no groups as classes: {error.reason}"
            else:
                source.close()
                source, options, told = in_groups, replace(options, clusters=clusters), in_groups.notes[-1]
        if distributed.is_main():
            say(told)
    if old:
        return replace(old.found, recipe=replace(old.found.recipe, **auto.asked)), source, options
    chosen = auto.choose(
        source.spec, count=len(source), device=device, world=distributed.world(), has_holes=options.pairs in HOLED
    )
    recipe = chosen.recipe.settled(source.spec, source.name)
    found = replace(chosen, recipe=recipe, why=(*chosen.why, *found.why))
    for reason in found.why if distributed.is_main() else ():
        say(f"auto: {reason}")
    return found, source, options


def refuse_few(recipe: Recipe, source: Source, options: DataOptions) -> None:
    """Raise if `auto` would have to train on so few samples, and no batch was asked for."""
    count = len(source)
    if not isinstance(recipe, Auto) or recipe.batch or count >= FEWEST:
        return
    raise DataError(
        f"{source.name} holds {count} sample{'s' * (count > 1)}, and a GAN needs {FEWEST} at least and hundreds to "
        f"learn anything: {'leave out --limit' if options.limit else 'give more'}"
        + f"; --batch {count} takes so few all the same"
        * (count > 1)
    )


def foresee(found: Found, data: str, settings: RunSettings, options: DataOptions) -> tuple[Found, DataOptions]:
    """What `start` would train, and how it would read the data.

    Refuses data, batches, trackers and fields that it would refuse; what is to be fetched and the run folder are not
    looked at.
    """
    options = asked(found, options)
    device = devices.choose(settings.device)
    found, source, options = decided(found, data, open_source(data, options), settings, options, device=device)
    with closing(source):
        check(settings.track)
        world = max(settings.devices, distributed.world())
        build(found.recipe, source, settings, weights=None, world=world, labels=options.labels)
    return found, options


def build(
    recipe: Recipe,
    source: Source,
    settings: RunSettings,
    *,
    weights: Path | None,
    world: int = 0,
    labels: bool = True,
) -> Game:
    """The game for this data with its initial weights, or those of a checkpoint that was found whole.

    Args:
        recipe: Builds it.
        source: The data.
        settings: Of the run.
        weights: The checkpoint.
        world: Processes that are to share a batch; 0: those that run now.
        labels: Whether labels of the data were read where there are any.

    Raises:
        OrganzaError: The family cannot learn from such data, or its batch does not suit them or the processes.
    """
    world = world or distributed.world()
    if isinstance(source.spec, recipe.accepts):
        recipe.check_labels(source.spec, count=len(source), labels=labels)
    recipe.check(source.spec)
    if len(source) < 2:
        raise DataError(
            f"{source.name} holds a single sample, and a GAN needs two at least and hundreds to learn anything: give "
            "more, or leave out --limit and --hold-out"
        )
    if recipe.batch > len(source):
        raise UsageError(
            f"a batch of {recipe.batch:,} is larger than the data set ({source.name}: {len(source):,} samples); set "
            f"--batch to {len(source):,} at most"
        )
    if recipe.batch % world:
        raise UsageError(f"a batch of {recipe.batch} cannot be shared by {world} processes; set --batch to a multiple")
    torch.manual_seed(settings.seed)
    game = recipe.build(source.spec)
    refuse_single_samples(game, recipe.batch // world, settings.micro_batch)
    if weights is not None:
        checkpoint.load_players(weights, game, is_checked=True)
    return game


def refuse_single_samples(game: Game, count: int, micro_batch: int | None) -> None:
    """Raise if batch norm would see a single sample in a pass; the trainer splits `count` samples evenly."""
    smallest = count // -(-count // (micro_batch or count))
    has_batch_norm = any(
        isinstance(part, BatchNorm1d | BatchNorm2d) for whole in game.modules() for part in whole.modules()
    )
    if smallest < 2 and has_batch_norm:
        raise UsageError(
            "batch norm needs two samples or more in each pass, and here a pass has a single one: set --micro-batch, "
            "and --batch for each process, to 2 or more, or take a norm of another kind"
        )


def refuse_others(origin: Run, source: Source, recipe: Recipe, options: DataOptions) -> None:
    """Raise if the weights of a run are of another kind of data or other networks: say what differs, and what to do."""
    before, spec, made, given, mends = origin.spec, source.spec, list[str](), list[str](), list[str]()
    if before.shape != spec.shape:
        for side, s in ((made, before), (given, spec)):
            side.append(" x ".join(map(str, s.shape)) if before.key == spec.key else f"{s.key} data")
        mends.append(mend_of_shape(before, spec))
    how: Conditional = getattr(origin.recipe, "conditional", "auto" if origin.recipe.needs_labels else "no")
    told = known_classes(before, how)
    if before.key == spec.key and told != known_classes(spec, how):
        for side, s in ((made, before), (given, spec)):
            names = f"{s.num_classes} class{'es' * (s.num_classes != 1)} ({', '.join(s.classes[:12])})"
            side.append(names if s.classes else "no classes")
        mends.append(mend_of_classes(before, source, options, told=told, is_alike=not mends))
    if mends:
        raise DataError(
            f"{origin.folder} was trained on {' and '.join(made)}, your data has {' and '.join(given)}, so its weights "
            f"do not fit; {' and '.join(mends)}, or begin anew with: organza train"
        )
    old, new = asdict(origin.recipe), asdict(recipe)
    changed = [f"--{key.replace('_', '-')} {new[key]}" for key in new if new[key] != old[key]]
    if changed:
        raise UsageError(
            f"the weights of {origin.folder} do not fit networks made with {', '.join(changed)}: leave out what "
            "changes the networks"
        )


def mend_of_shape(before: Spec, spec: Spec) -> str:
    """What brings samples of one shape to the shape of those before."""
    if not (isinstance(before, ImageSpec) and isinstance(spec, ImageSpec)):
        return "give such data"
    names = {count: name for name, count in CHANNELS.items()}
    mends = [f"--resize {before.width}x{before.height}"] if before.shape[1:] != spec.shape[1:] else []
    if before.channels != spec.channels:
        if not {before.channels, spec.channels} <= names.keys():
            return f"give images of {before.channels} channel{'s' * (before.channels != 1)}"
        mends.append(f"--channels {names[before.channels]}")
    return f"take {' '.join(mends)}"


def mend_of_classes(before: Spec, source: Source, options: DataOptions, *, told: int, is_alike: bool) -> str:
    """What brings data to as many classes as networks are `told`; `is_alike`: nothing else is amiss."""
    if source.spec.grouped and (before.grouped or not told):
        return f"leave out --clusters {options.clusters}"
    if not told:
        return "take --no-labels"
    if not options.labels and not before.grouped and not source.spec.grouped:
        return "leave out --no-labels"
    mend = "give data with the same classes"
    if is_alike and not source.spec.has_source and len(source) >= told * LEAST:
        bare = "" if source.spec.grouped or not source.spec.classes else "--no-labels "
        mend += f" (or take {bare}--clusters {told}, groups of similar samples in their place)"
    return mend
