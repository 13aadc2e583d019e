"""Look at a data source before any training: what is there, what is wrong, and which command mends it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from organza.data.groups import refuse_groups
from organza.data.made import made_of
from organza.data.options import MADE, DataOptions
from organza.data.paired_files import (
    PairSurvey,
    look,
    look_at_both,
    notes_of_pairs,
    refuse_pairs,
    spec_of_pairs,
)
from organza.data.pairs import PairSource, resized
from organza.data.pictures import SEE_ALL, Survey, first_few, notes_of, refuse, size_text, spec_of
from organza.data.registry import open_source, picture_path, refuse_pair_options, unseen_part
from organza.data.source import Source
from organza.data.spec import ImageSpec, Spec
from organza.errors import DataError, OrganzaError, UsageError

PIECE = 1024
SHOWN = 10
SIZES = 4
"""Sizes of images up to which each is listed."""
FEW_IMAGES = 1000
FEWEST = 16
"""Samples below which `auto` trains nothing, unless a batch is asked for."""
MEND = "Mend or delete the bad files listed above, so that nothing is skipped."


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a look at a data source found."""

    source: str
    """The source as it was given."""
    error: str = ""
    """Why training could not open it with these options; empty if it can."""
    spec: Spec | None = None
    """What recipes would be built from; None with an error."""
    count: int = 0
    """Good samples."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Images of each `width x height`."""
    modes: dict[str, int] = field(default_factory=dict)
    """Images of each format and mode, as stored."""
    pairs: str = ""
    """Both sides of image to image; empty for other data."""
    classes: dict[str, int] = field(default_factory=dict)
    """Samples of each class; empty without labels."""
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of samples with equal pixels."""
    bad: dict[str, str] = field(default_factory=dict)
    """Bad files with the reason."""
    ignored: dict[str, str] = field(default_factory=dict)
    """Files passed over with the reason; no fault of the data set."""
    unseen: str = ""
    """What a run would not train on and be judged by; empty if the part asked for is that."""
    notes: tuple[str, ...] = ()
    """What is skipped or converted."""
    advice: tuple[str, ...] = ()
    """What to do, with the exact command."""

    @property
    def ok(self) -> bool:
        """Whether training can start with this source and these options."""
        return not self.error


def check(source: str, options: DataOptions) -> Check:
    """Look at every sample of `source`. Faults of the data are part of the result; none of them raises."""
    found = _check(source, options)
    if not found.ok or found.spec is None or options.split == "test":
        return found
    return replace(found, unseen=_unseen(source, options, found.spec))


def _unseen(source: str, options: DataOptions, spec: Spec) -> str:
    plain = replace(spec, classes=(), grouped=False) if spec.grouped else spec
    part = unseen_part(source, replace(options, clusters=0, clusters_of=None), plain)
    if part is None:
        share = f"more than --hold-out {options.hold_out:g}" if options.hold_out else "--hold-out 0.1"
        return f"none at hand; keep some from training with {share}"
    part.close()
    is_unpaired = isinstance(spec, ImageSpec) and not spec.is_paired
    sides = part.sides.values() if isinstance(part, PairSource) and is_unpaired else [part]
    kept, what = "held out" if options.hold_out else "the test split", "tiles" if options.crop == "tiles" else "samples"
    return f"{' and '.join(f'{len(side):,}' for side in sides)} {what}, {kept}"


def _check(source: str, options: DataOptions) -> Check:
    try:
        path = picture_path(source)
        other = None if options.to is None else picture_path(options.to)
        if path is None or (other is None and options.to is not None):
            return _check_samples(source, open_source(source, options))
        found = look(path, options) if other is None else look_at_both(path, other, options)
        found.close()
        if isinstance(found, PairSurvey):
            return _check_pairs(source, found, options)
        return _check_pictures(source, found, options)
    except OrganzaError as error:
        return Check(source=source, error=str(error))


def _check_pairs(source: str, found: PairSurvey, options: DataOptions) -> Check:
    error, spec, notes = "", None, found.notes
    advice = [MEND] if found.bad else []
    try:
        refuse_pairs(found, options)
        spec = spec_of_pairs(found, options)
        notes = notes_of_pairs(found, spec, options)
        for side, own in zip(found.sides, resized(options, factor=found.factor), strict=True):
            advice += _advise_on_files(side, own)
    except (DataError, UsageError) as failure:
        error = _told(failure, found.bad)
    sizes: dict[str, int] = {}
    modes: Counter[str] = Counter()
    groups: dict[tuple[str, ...], list[str]] = {}
    for side, where in zip(found.sides, found.layout.sides, strict=True):
        sizes |= {f"{where.title} {size_text(size)}": count for size, count in side.sizes.most_common()}
        modes.update(f"{where.title} {each.format} {each.mode}" for each in side.scan.pictures)
        for each in () if found.layout.is_paired else side.scan.pictures:
            groups.setdefault((where.title, each.digest), []).append(f"{where.prefix}{each.name}")
    for one, two in found.pairs:
        groups.setdefault((one.digest, two.digest), []).append(one.name)
    duplicates = tuple(tuple(names) for names in groups.values() if len(names) > 1)
    return Check(
        source=source,
        error=error,
        spec=spec,
        count=found.count,
        sizes=sizes,
        modes=dict(modes.most_common()),
        pairs=f"{found.layout.title}: {_counts(found)}",
        duplicates=duplicates,
        bad=found.bad,
        ignored=found.source.scan.ignored | found.target.scan.ignored,
        notes=notes,
        advice=tuple(dict.fromkeys([*advice, *_advise(found.count, {}, duplicates)])),
    )


def _counts(found: PairSurvey) -> str:
    if found.layout.is_paired:
        lone = f", {len(found.missing):,} without a partner" if found.missing else ""
        return f"{found.count:,} pairs{lone}"
    return " and ".join(f"{len(side.scan.pictures):,}" for side in found.sides) + " images"


def _check_pictures(source: str, found: Survey, options: DataOptions) -> Check:
    error, spec, notes, pairs = "", None, found.labels.notes, ""
    try:
        refuse(found, options)
        spec = spec_of(found, options)
        notes = notes_of(found, spec, options)
        if options.pairs in MADE:
            target, given, _ = made_of(spec, options)
            spec, pairs = replace(target, source=given), f"made of single images: {options.pairs}"
        else:
            refuse_pair_options(source, options)
        if options.clusters and options.clusters_of is None:
            name = found.path.name
            refuse_groups(options.clusters, classes=spec.classes, samples=len(found.scan.pictures), name=name)
    except (DataError, UsageError) as failure:
        error = _told(failure, found.scan.bad)
    pictures, labels = found.scan.pictures, found.labels
    groups: dict[str, list[str]] = {}
    for picture in pictures:
        groups.setdefault(picture.digest, []).append(picture.name)
    classes = _balance(labels.classes, labels.indices)
    duplicates = tuple(tuple(names) for names in groups.values() if len(names) > 1)
    return Check(
        source=source,
        error=error,
        spec=spec,
        count=len(pictures),
        sizes={size_text(size): count for size, count in found.sizes.most_common()},
        modes=dict(Counter(f"{picture.format} {picture.mode}" for picture in pictures).most_common()),
        pairs=pairs,
        classes=classes,
        duplicates=duplicates,
        bad=found.scan.bad,
        ignored=found.scan.ignored,
        notes=notes,
        advice=(
            *([MEND] if found.scan.bad and pictures else []),
            *_advise_on_files(found, options),
            *_advise(len(pictures), classes, duplicates),
        ),
    )


def _check_samples(source: str, opened: Source) -> Check:
    """The same for samples that are open already: arrays, idx files, toys."""
    groups: dict[bytes, list[str]] = {}
    indices: list[np.ndarray] = []
    for start in range(0, len(opened), PIECE):
        part = np.arange(start, min(len(opened), start + PIECE))
        batch = opened.read(part)
        for row, index in enumerate(part):
            sample = b"".join(value[row].numpy().tobytes() for key, value in batch.items() if key != "label")
            groups.setdefault(hashlib.blake2b(sample, digest_size=16).digest(), []).append(f"sample {index}")
        if "label" in batch:
            indices.append(batch["label"].numpy())
    spec, count = opened.spec, len(opened)
    opened.close()
    classes = _balance(spec.classes, np.concatenate(indices) if indices else None)
    duplicates = tuple(tuple(names) for names in groups.values() if len(names) > 1)
    sides = {f"{key} " if spec.has_source else "": image for key, image in spec.images.items()}
    modes = {f"{title}{image.channels} channels of {image.bits} bits": count for title, image in sides.items()}
    is_paired = isinstance(spec, ImageSpec) and spec.is_paired
    return Check(
        source=source,
        spec=spec,
        count=count,
        sizes={f"{title}{size_text((image.height, image.width))}": count for title, image in sides.items()},
        modes=modes or {f"{spec.shape[0]} numbers": count},
        pairs=("paired" if is_paired else "unpaired") if spec.has_source else "",
        classes=classes,
        duplicates=duplicates,
        notes=opened.notes,
        advice=_advise(count, classes, duplicates),
    )


def _told(failure: OrganzaError, bad: dict[str, str]) -> str:
    """An error without what the check lists by itself: the bad files, and where to see them all."""
    return str(failure).partition(SEE_ALL)[0].replace(f" ({first_few(bad)})", "")


def _balance(classes: tuple[str, ...], indices: np.ndarray | None) -> dict[str, int]:
    if indices is None:
        return {}
    counts = np.bincount(indices, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def _advise_on_files(found: Survey, options: DataOptions) -> list[str]:
    advice: list[str] = []
    if options.size is not None:
        small = sum(count for (h, w), count in found.sizes.items() if h < options.size[0] or w < options.size[1])
        if small:
            advice.append(
                f"{small:,} images are smaller than {size_text(options.size)} and are enlarged, which blurs them; "
                "choose a smaller --resize or leave them out."
            )
    return advice


def _advise(count: int, classes: dict[str, int], duplicates: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    advice = []
    if duplicates:
        extra = sum(len(group) - 1 for group in duplicates)
        advice.append(
            f"{extra:,} samples repeat another exactly ({' = '.join(duplicates[0][:3])}); delete the copies, "
            "because a critic learns them by heart first."
        )
    present = {name: number for name, number in classes.items() if number}
    if present and max(present.values()) > 10 * min(present.values()):
        least, most = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
        advice.append(
            f"Class {most} has {present[most]:,} samples and class {least} only {present[least]:,}; add some to the "
            "small classes, or train without labels: --no-labels"
        )
    if 0 < count < FEWEST:
        advice.append(f"{count:,} samples are too few to train on: give {FEWEST} at least, better hundreds.")
    elif 0 < count < FEW_IMAGES:
        advice.append(f"{count:,} samples are few: the model may learn them by heart, which organza audit RUN shows.")
    return tuple(advice)


def render(check: Check) -> str:
    """The check as plain text, for a terminal or a log."""
    found = f"{check.count:,} samples" + ", cannot be used as it is" * (not check.ok)
    lines = [f"{check.source}: {found if check.count else 'cannot be used'}"]
    if check.pairs:
        lines.append(f"  image to image: {_plain(check.pairs)}")
    for key, image in check.spec.images.items() if check.spec else ():
        title = f"{key} used as" if check.pairs else "used as"
        lines.append(f"  {title}: {image.channels} x {image.height} x {image.width}, {image.bits} bits")
    if check.unseen:
        lines.append(f"  unseen: {check.unseen}")
    tables = {"sizes": check.sizes, "stored as": check.modes, "classes": check.classes}
    for title, table in tables.items():
        shown = ", ".join(f"{name}: {number:,}" for name, number in list(table.items())[:SHOWN])
        shown += f", and {len(table) - SHOWN:,} more" * (len(table) > SHOWN)
        if title == "sizes" and len(table) > SIZES:
            shown = _spread(table)
        lines += [f"  {title} ({len(table):,}): {shown}"] * bool(table)
    groups = {" = ".join(group[:3]): f"{len(group)} times" for group in check.duplicates}
    for title, reasons in {"bad files": check.bad, "passed over": check.ignored, "duplicates": groups}.items():
        if reasons:
            lines.append(f"  {title} ({len(reasons):,}):")
            lines += [f"    {_plain(name)}: {_plain(reason)}" for name, reason in list(reasons.items())[:SHOWN]]
            lines += [f"    and {len(reasons) - SHOWN:,} more"] if len(reasons) > SHOWN else []
    lines += [f"  note: {_plain(note)}" for note in check.notes]
    lines += [f"  advice: {_plain(sentence)}" for sentence in check.advice]
    lines += [f"  error: {_plain(check.error)}"] if check.error else []
    return "\n".join(lines)


def _spread(sizes: dict[str, int]) -> str:
    """Smallest, median and largest by area, of each side where there are two."""
    sides: dict[str, list[str]] = {}
    for name, count in sizes.items():
        sides.setdefault(name.rpartition(" ")[0], []).extend([name] * count)
    words = []
    for names in sides.values():
        names.sort(key=lambda name: math.prod(map(int, name.rpartition(" ")[2].split("x"))))
        words.append(f"smallest {names[0]}, median {names[len(names) // 2]}, largest {names[-1]}")
    return "; ".join(words)


def _plain(text: str) -> str:
    """Without control characters, which a hostile file name could bring into the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
