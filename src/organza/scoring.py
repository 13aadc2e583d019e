"""From a run, or samples in files, to records: what `organza.evaluate` and the command line call."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from organza import __version__, devices, distributed
from organza.data.idx import DIGITS, GARMENTS
from organza.data.options import DataOptions
from organza.data.registry import absolute, open_source
from organza.data.source import Source
from organza.data.spec import ImageSpec, Spec
from organza.data.toys import TOYS
from organza.errors import DataError, UsageError
from organza.features import look
from organza.floors import floors
from organza.generate import check_request
from organza.metrics.extractors import Extractor, default_extractor, load_extractor
from organza.metrics.measures import (
    BALLS,
    IMAGES,
    Computed,
    Measure,
    Sample,
    beware,
    called_here,
    compute,
    points,
    title_of,
)
from organza.metrics.record import Record
from organza.pools import Pool, pool_made, pool_of
from organza.reference import Reference, Split, labels_for_all, looked, open_reference
from organza.run import Run, open_run
from organza.truth import PAIRS, WORDS, Truth, fills

CLASSES = {"digits": DIGITS, "fashion": GARMENTS}
"""What the classes of a classifier mean: data whose classes are the same can be checked by it."""


def evaluate(
    target: str | Path | Run,
    against: str | None = None,
    *,
    extractor: str | None = None,
    weights: Path | None = None,
    count: int = 10_000,
    split: Split | None = None,
    seed: int = 0,
    truncation: float = 1.0,
    checkpoint: str = "newest",
    device: str = "auto",
    measures: Sequence[str] | None = None,
    resize: str | None = None,
    offline: bool = False,
) -> list[Record]:
    """Score samples against real ones, each score beside its floor: the same measure real against real.

    Args:
        target: A run or its folder; or samples in a folder of images, a zip, an .npz or an .npy file.
        against: Source of the real samples; None: the run's own data.
        extractor: Network that looks at images, a key of `EXTRACTORS`; None: the one that suits the data.
        weights: File of its weights, where they are not in a package.
        count: Samples of each side, at most.
        split: Which part of the real samples; None: the part that the run was trained on, or for a run that makes
            images from images the one that it was not, whose sources it is given.
        seed: Fake i depends on (seed, i) alone.
        truncation: Below 1 trades variety for typicality.
        checkpoint: `newest`, `best` or the folder of one.
        device: auto, cpu, cuda, cuda:N or mps.
        measures: Which, by key; None: all that can be computed.
        resize: Brings images from files to one size, as for training; None: as the run has it.
        offline: Never download.

    Returns:
        A record for each score, in reading order, on the first of several ranks; an empty list on the others.

    Raises:
        OrganzaError: With what was found, what is needed and how to mend it.
    """
    check_request(count, seed, truncation)
    measures = [measures] if isinstance(measures, str) else measures
    if not isinstance(target, Run) and (Path(target) / "run.json").exists():
        target = open_run(target)
    if not isinstance(target, Run) and (seed or truncation != 1):
        raise UsageError(f"{target} holds samples that are made already, so leave out --seed and --truncation")
    if not isinstance(target, Run) and against:
        absolute(str(target))  # refuses a path that is not there before anything is looked at
    device = devices.choose(device)
    options = target.data_options if isinstance(target, Run) else DataOptions()
    options = replace(options, resize=resize or options.resize, offline=offline or options.offline)
    if against:  # single images, whatever the run's own data was
        options = replace(options, to=None, pairs="none", paired="auto", direction="AtoB")
    with ExitStack() as stack:
        reference = open_reference(
            against or own_data(target), replace(options, split=split or options.split, labels=True, clusters=0)
        )
        stack.callback(reference.close)
        held_out = held_out_of(target, reference) if against is None else None
        if held_out and split is None:
            reference = held_out
        judge, note = choose_extractor(reference.source, extractor, weights=weights, device=device, offline=offline)
        truth, beside = None, {}
        reals = reference.pool(count)
        real = looked(reference.cache, reals, judge)
        labels = labels_for_all(real)
        if isinstance(target, Run):
            path = target.checkpoint(checkpoint)
            game = target.game(path=path, device=device)
            labels = labels if game.is_conditional and target.spec.classes == reference.source.spec.classes else None
            given = min(count, len((held_out or reference).source)) if target.spec.has_source else count
            fakes = pool_made(game, target.spec, count=given, seed=seed, truncation=truncation, labels=labels)
            if held_out and held_out.other is not None:
                where = {"cache": held_out.cache, "device": device, "offline": options.offline}
                truth = Truth(
                    held_out.source,
                    held_out.other,
                    count=count,
                    reverses=game.reverses,
                    fills=fills(game, options),
                    **where,
                )
                tell("comparing results with their truths")
                is_wanted = measures is None or not truth.table.keys().isdisjoint(measures)
                beside = truth.judged(game, seed=seed) if is_wanted else {}
            halflife = getattr(game.players.get("generator"), "halflife", None)
            made_by = {
                "target": str(target.folder),
                "checkpoint": path.name,
                "weights": "raw" if halflife is None else f"averaged, half-life {halflife:,.0f}",
                "seed": seed,
                "truncation": truncation,
                "labels": "none" if not game.is_conditional else "uniform" if labels is None else "as the real ones",
            }
        else:
            source = open_source(str(target), options)
            stack.callback(source.close)
            for line in source.notes if distributed.is_main() else ():
                print(line, file=sys.stderr)
            fakes = pool_of(source, start=0, stop=count)
            made_by = {"target": absolute(str(target)), "checkpoint": "", "weights": "", "seed": None}
            made_by |= {"truncation": 1.0, "labels": "from the files" if source.spec.classes else "none"}
        check_alike(fakes.spec, reference.source.spec)
        fake = look(fakes, judge, name="fakes")
        a, b, floor_method = reference.floor(real, judge, count=count, fakes=fakes.count)
        if not distributed.is_main():
            return []
        table = table_of(reference.source)
        if fakes.spec.classes != reference.source.spec.classes:
            fake = replace(fake, labels=None)  # which mean other classes
        pairwise = list(truth.table) if truth else []
        wanted = chosen([*possible_measures(table, judge, fake, reference.source.spec), *pairwise], measures)
        keys = [key for key in wanted if key in table]
        if measures is None and pairwise and min(len(real), len(fake)) <= max(BALLS.values()):
            keys = []  # pairs can still be compared one by one
        few = beware(real, fake) if judge is not None else ""
        if few and measures is None:
            keys.sort(key=lambda key: key != "kernel")
        common = provenance(reference, reals, judge, fakes, made_by)
        common |= {"feature_dim": real.features.shape[1], "floor_method": floor_method}
        tell(f"computing {', '.join(keys)} and their floors")
        values = compute(table, keys, real, fake)
        found = records(table, values, floors(reference.cache, table, keys, a, b), judge, common)
        notes = [(keys[0] if keys else "", note), ("frechet", few)]
        if truth and held_out and beside:
            common |= provenance(held_out, truth.pool, None, fakes, made_by)
            found += beside_truth(truth, {key: beside[key] for key in wanted if key in beside}, common)
            notes.append(("psnr", truth.note))
        return [
            replace(one, note=" ".join(told for key, told in notes if key == one.measure and told)) for one in found
        ]


def tell(line: str) -> None:
    """What is under way, for somebody who waits."""
    if distributed.is_main():
        print(f"{line} ...", file=sys.stderr, flush=True)


def own_data(target: str | Path | Run) -> str:
    """The source that a run was trained on."""
    if isinstance(target, Run):
        return str(target.config["data"]["source"])
    try:
        absolute(str(target))
    except DataError:
        open_run(target)  # which says what runs there are
    raise UsageError(f"{target} is no run folder, so say what to compare it with: --against SRC, for example mnist")


def held_out_of(target: str | Path | Run, reference: Reference) -> Reference | None:
    """The run's own data with the split that it is given sources of and was not trained on; None if there is none."""
    if not isinstance(target, Run) or not target.spec.has_source or target.data_options.split == "test":
        return None
    found = reference if reference.split == "test" else reference.flipped
    return found if found.split == "test" and found.other is not None else None


def choose_extractor(
    source: Source, name: str | None, *, weights: Path | None, device: str, offline: bool
) -> tuple[Extractor | None, str]:
    """The extractor asked for, or the one that suits the data, and what to know of it; None for points."""
    if not isinstance(source.spec, ImageSpec):
        if name is not None:
            raise UsageError(f"{source.name} holds points, which need no extractor; leave out {name}")
        return None, ""
    choice = default_extractor(source.name, source.spec)
    with distributed.main_first():
        judge = load_extractor(name or choice.name, weights=weights, device=device, offline=offline)
    return judge, "" if name else choice.note


def check_alike(fake: Spec, real: Spec) -> None:
    """Refuse samples of another shape than the real ones have."""
    if fake.key == real.key and fake.shape == real.shape:
        return
    mend = "compare them with data of the same kind"
    if isinstance(fake, ImageSpec) and isinstance(real, ImageSpec):
        mend = (
            f"resizing changes scores, so bring both to one size yourself, for example with --resize "
            f"{real.width}x{real.height}"
            if fake.channels == real.channels
            else "convert one side to the channels of the other"
        )
    raise DataError(f"one sample has the shape {fake.shape} and a real one {real.shape}: {mend}")


def table_of(source: Source) -> dict[str, Measure]:
    """The measures for a kind of data."""
    if isinstance(source.spec, ImageSpec):
        return IMAGES
    toy = TOYS.get(source.name)
    return points(toy.modes if toy else None, toy.std if toy else 0.0)


def meanings(records: Sequence[Record]) -> dict[str, str]:
    """What each score of an evaluation says, in words."""
    table = IMAGES | points(np.zeros((0, 0)), 0.0)
    words = {key: one.meaning for key, one in (table | WORDS).items()}
    return {one.measure: words[one.measure] for one in records}


def possible_measures(table: dict[str, Measure], extractor: Extractor | None, fake: Sample, spec: Spec) -> list[str]:
    """Those for which there is all that they need."""
    there = {"features"}
    if extractor is not None and extractor.num_classes:
        there.add("probabilities")
        if fake.labels is not None and CLASSES.get(extractor.name) == spec.classes:
            there.add("labels")
    return [key for key in table if table[key].group.needs in there]


def chosen(possible: list[str], wanted: Sequence[str] | None) -> list[str]:
    """The measures wanted, or all that are possible."""
    if wanted is None:
        return possible
    impossible = [key for key in wanted if key not in possible]
    if impossible or not wanted:
        told = "".join(map(called_here, impossible))
        raise UsageError(
            f"cannot compute {', '.join(impossible) or 'nothing'} here; possible: {', '.join(possible)}{told}"
        )
    return list(wanted)


def provenance(
    reference: Reference, reals: Pool, extractor: Extractor | None, fakes: Pool, made_by: dict[str, Any]
) -> dict[str, Any]:
    """What all records of an evaluation share."""
    looks: dict[str, Any] = {"extractor": "", "extractor_sha256": "", "layer": "the points themselves"}
    looks |= {"resize": "none", "quantise": "none", "range": "as they are", "colour": ""}
    looks |= {"dtype": "float32", "tf32": False, "batch_size": fakes.block, "device": "cpu"}
    if extractor is not None:
        looks = extractor.record()
        looks["batch_size"] = min(extractor.chunk, fakes.block)
        looks["device"] = torch.device(extractor.device).type
    return {
        **made_by,
        **looks,
        "statistics_dtype": "float64",
        "reference": reference.name,
        "reference_sha256": reals.sha256,
        "split": reference.split,
        "mirrored": False,
        "organza": __version__,
        "torch": torch.__version__,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def records(
    table: dict[str, Measure],
    values: dict[str, Computed],
    lowest: dict[str, Computed],
    extractor: Extractor | None,
    common: dict[str, Any],
) -> list[Record]:
    """Values beside floors; a floor that cannot be computed from so few real samples is left out."""
    label, name = (extractor.label, extractor.name) if extractor else ("", "")
    found = []
    for key, (score, n_real, n_fake) in values.items():
        low, measure = lowest.get(key), table[key]
        entries: dict[str, Any] = common | {
            "name": title_of(key, measure, extractor=name, label=label),
            "measure": key,
            "value": score.value,
            "higher_is_better": measure.higher_is_better,
            "standard_error": score.standard_error,
            "method": score.method,
            "floor": low[0].value if low else None,
            "floor_method": common["floor_method"] if low or measure.group.needs == PAIRS else "too few real samples",
            "n_floor": low[2] if low else 0,
            "note": "",
            "details": score.details,
            "n_real": n_real,
            "n_fake": n_fake,
            "parameters": measure.group.parameters,
        }
        found.append(Record(**entries))
    return found


def beside_truth(truth: Truth, values: dict[str, Computed], common: dict[str, Any]) -> list[Record]:
    """Values by pairs, which have baselines in place of floors; `common` as for the other records."""
    common = common | {"layer": "the images themselves", "dtype": "float64", "feature_dim": 0, "floor_method": ""}
    found = records(truth.table, values, {}, None, common)
    if truth.perceptual is None:
        return found
    network = truth.perceptual.network
    eyes = {"extractor": network.name, "extractor_sha256": network.sha256, "layer": ", ".join(network.layers)}
    eyes |= {"dtype": "float32", "device": torch.device(truth.perceptual.device).type}
    return [replace(one, **eyes) if one.measure == "perceptual" else one for one in found]
