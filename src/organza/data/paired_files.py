"""Folders and zips of image pairs: both sides surveyed, partners found, and brought to one shape each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from organza.data.decoded import decoded_bytes, hold
from organza.data.files import open_files
from organza.data.layouts import Layout, Side, arguments_of, between, find_layout, halves, masked, partners
from organza.data.memory import MEMORY_LIMIT
from organza.data.options import DataOptions
from organza.data.pairs import PairSource, relation, resized
from organza.data.pictures import (
    SEE_ALL,
    Survey,
    bad_files,
    closed_on_error,
    decoder_of,
    first_few,
    notes_of,
    refuse,
    size_text,
    spec_of,
    suggest_size,
    survey,
    tiles_of,
)
from organza.data.scan import Picture, scan
from organza.data.spec import ImageSpec
from organza.data.tiles import WHOLE
from organza.errors import DataError, OrganzaError, UsageError


@dataclass(frozen=True, kw_only=True)
class PairSurvey:
    """What both sides turned out to hold."""

    layout: Layout
    source: Survey
    """Good images; of pairs, those of which both are good, in one order."""
    target: Survey
    missing: dict[str, str]
    """Files that have no partner, with the reason."""
    bad: dict[str, str]
    """Bad files of both sides, and what has no partner."""
    notes: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[Survey, Survey]:
        """Both."""
        return self.source, self.target

    @property
    def pairs(self) -> list[tuple[Picture, Picture]]:
        """The images that belong together; none if they are unpaired."""
        if not self.layout.is_paired:
            return []
        return list(zip(self.source.scan.pictures, self.target.scan.pictures, strict=True))

    @property
    def count(self) -> int:
        """Pairs, or images of the longer side."""
        return max(len(side.scan.pictures) for side in self.sides)

    @property
    def relations(self) -> Counter[int]:
        """How many pairs there are of each `relation` of their sizes."""
        return Counter(relation((a.height, a.width), (b.height, b.width)) for a, b in self.pairs)

    @property
    def factor(self) -> int:
        """The `relation` that all pairs have; 0 if they differ."""
        return next(iter(self.relations)) if len(self.relations) == 1 else 0

    @property
    def swapped(self) -> PairSurvey:
        """The same in the other direction."""
        return replace(self, layout=self.layout.swapped, source=self.target, target=self.source)

    def close(self) -> None:
        """Close the files of both sides."""
        for side in self.sides:
            side.files.close()


def look(path: Path, options: DataOptions) -> Survey | PairSurvey:
    """Decode all images of a folder or zip once: single images, or pairs where the options or the folders say so."""
    with closed_on_error(open_files(path)) as files:
        layout = None
        if options.pairs == "masks":
            layout = masked(files, options)
        elif options.pairs == "auto":
            layout = find_layout(files, options)
        if layout is not None:
            return _directed(survey_pairs(layout, options), options)
        is_asked = options.pairs == "side-by-side"
        found = survey(files, replace(options, labels=options.labels and not is_asked))
        if is_asked or (options.pairs == "auto" and are_double(found)):
            return _directed(survey_halves(found, options), options)
        return found


def look_at_both(path: Path, other: Path, options: DataOptions) -> PairSurvey:
    """Decode all images of two folders or zips once, as the sides of pairs."""
    with closed_on_error(open_files(path)) as files, closed_on_error(open_files(other)) as others:
        return _directed(survey_pairs(between(files, others, options), options), options)


def _directed(found: PairSurvey, options: DataOptions) -> PairSurvey:
    return found.swapped if options.direction == "BtoA" else found


def are_double(found: Survey) -> bool:
    """Whether all images are exactly twice as wide as high and in one folder, as if two stood side by side."""
    pictures = found.scan.pictures
    folders = {picture.name.rpartition("/")[0] for picture in pictures}
    return len(pictures) > 1 and len(folders) == 1 and all(each.width == 2 * each.height for each in pictures)


def survey_halves(found: Survey, options: DataOptions) -> PairSurvey:
    """Both halves of the images of a survey."""
    notes = ()
    if options.pairs == "auto":
        notes = (
            "All images are exactly twice as wide as high, so they are taken for two side by side; for single images "
            "add --pairs none.",
        )
    layout = halves(found.files, is_paired=options.paired != "no", notes=notes)
    odd = {each.name: f"its width of {each.width} has no two halves" for each in found.scan.pictures if each.width % 2}
    pictures = tuple(replace(each, width=each.width // 2) for each in found.scan.pictures if each.name not in odd)
    bad = found.scan.bad | odd
    right = Survey(
        files=found.files, scan=replace(found.scan, pictures=pictures, bad={}), arguments=arguments_of(options)
    )
    left = right if layout.is_paired else replace(right, scan=replace(right.scan, bad=bad))
    return PairSurvey(layout=layout, source=left, target=right, missing={}, bad=bad, notes=notes)


def survey_pairs(layout: Layout, options: DataOptions) -> PairSurvey:
    """Decode the images of both sides once and find the partners; refuses only what has no pair at all."""
    if not layout.is_paired:
        source, target = (_survey_side(side, side.names, options) for side in layout.sides)
        bad = {name: reason for side in (source, target) for name, reason in side.scan.bad.items()}
        return PairSurvey(layout=layout, source=source, target=target, missing={}, bad=bad, notes=layout.notes)
    found = partners(layout)
    pairs, missing = found.pairs[: options.limit], found.missing
    if len(pairs) < len(found.pairs):
        missing = {}  # of a part, which is no fault of the whole
    every = replace(options, limit=None)
    source, target = (
        _survey_side(side, list(dict.fromkeys(pair[index] for pair in pairs)), every)
        for index, side in enumerate(layout.sides)
    )
    good = [{picture.name: picture for picture in side.scan.pictures} for side in (source, target)]
    unequal = misfits(pairs, *good) if layout.masks else {}
    bad = missing | source.scan.bad | target.scan.bad | unequal
    good[0] = {name: picture for name, picture in good[0].items() if name not in unequal}
    whole = [pair for pair in pairs if all(name in known for name, known in zip(pair, good, strict=True))]
    source, target = (
        replace(side, scan=replace(side.scan, bad={}, pictures=tuple(known[pair[index]] for pair in whole)))
        for index, (side, known) in enumerate(zip((source, target), good, strict=True))
    )
    if layout.masks:  # which become images with an alpha channel
        holed = (replace(mask, channels=4, bits=8) for mask in source.scan.pictures)
        source = replace(source, scan=replace(source.scan, pictures=tuple(holed)))
    notes = (*layout.notes, *found.notes)
    return PairSurvey(layout=layout, source=source, target=target, missing=missing, bad=bad, notes=notes)


def misfits(
    pairs: Sequence[tuple[str, str]], masks: Mapping[str, Picture], images: Mapping[str, Picture]
) -> dict[str, str]:
    """The masks that are not as large as their images, and what is wrong with each."""
    both = ((masks.get(mask), images.get(image)) for mask, image in pairs)
    return {
        mask.name: f"a mask of {mask.width}x{mask.height} pixels for an image of {image.width}x{image.height}"
        for mask, image in both
        if mask is not None and image is not None and (mask.width, mask.height) != (image.width, image.height)
    }


def _survey_side(side: Side, names: list[str], options: DataOptions) -> Survey:
    """Decode the files `names` of a side; what is bad elsewhere in its folder or zip is none of its concern."""
    found = scan(side.files, names=names, limit=options.limit, cache=options.cache_folder)
    bad, ignored = (
        {f"{side.prefix}{name}": reason for name, reason in reasons.items() if name.startswith(side.folder)}
        for reasons in (found.bad, found.ignored)
    )
    found = replace(found, bad=bad, ignored=ignored)
    return Survey(files=side.files, scan=found, folder=side.folder, arguments=arguments_of(options))


def refuse_pairs(found: PairSurvey, options: DataOptions) -> None:
    """Fail where too much is bad or has no partner, or a domain is one image only, or the options do not suit pairs."""
    if options.clusters:
        raise UsageError("--clusters makes classes of single images, and these are pairs; leave it out.")
    share = len(found.missing) / max(1, found.count + len(found.bad))
    if found.missing and (options.strict or share > options.max_bad):
        raise DataError(
            f"{found.source.files.path} holds {found.count:,} whole pairs and {bad_files(found.missing)} "
            f"({first_few(found.missing)}). Add the missing images or delete the others; or accept it with "
            f"--max-bad {min(1.0, np.ceil(share * 100) / 100):g}"
            f"{'' if found.layout.masks else '; or take the images as unpaired: --paired no'}.{SEE_ALL}"
            f"{found.source.command}"
        )
    if found.layout.is_paired:
        refuse(replace(found.source, folder="", scan=replace(found.source.scan, bad=found.bad)), options)
        return
    for side, title in zip(found.sides, (side.title for side in found.layout.sides), strict=True):
        refuse(side, options)
        if len(side.scan.pictures) < 2 and options.split == "train":
            raise DataError(
                f"{title} holds a single image; a domain needs two at least, and hundreds to learn anything. Add "
                f"images to it, then run: {side.command}"
            )


def spec_of_pairs(found: PairSurvey, options: DataOptions) -> ImageSpec:
    """The shapes that the images of both sides are brought to."""
    is_tiled = options.crop == "tiles"
    if found.layout.is_paired and ((is_tiled and not found.factor) or (options.size is None and found.relations[0])):
        why = (
            "tiles of both sides must fit, and the sizes of the pairs differ"
            if is_tiled and not found.relations[0]
            else unlike(found)
        )
        mend = "leave out --crop tiles and bring" if is_tiled else "bring"
        raise DataError(
            f"{found.source.files.path}: {why}. Mend them, or {mend} all images to one size with --resize "
            f"{suggest_size(found.source.scan.pictures)}. To see what that gives run: {found.source.command} --resize "
            f"{suggest_size(found.source.scan.pictures)}"
        )
    source, target = (
        spec_of(side, own if where.channels == "auto" else replace(own, channels=where.channels))
        for side, where, own in zip(found.sides, found.layout.sides, resized(options, factor=found.factor), strict=True)
    )
    return replace(target, source=source, is_paired=found.layout.is_paired)


def unlike(found: PairSurvey) -> str:
    """Which pairs have sides whose sizes do not fit together, in words."""
    pairs = [(a, b) for a, b in found.pairs if not relation((a.height, a.width), (b.height, b.width))]
    shown = ", ".join(
        f"{a.name} {size_text((a.height, a.width))} and {b.name} {size_text((b.height, b.width))}" for a, b in pairs[:2]
    )
    return f"{len(pairs):,} of {found.count:,} pairs have sizes that differ by no whole factor (for example {shown})"


def notes_of_pairs(found: PairSurvey, spec: ImageSpec, options: DataOptions) -> tuple[str, ...]:
    """What was skipped or converted, in sentences."""
    notes = list(found.notes)
    if found.bad and found.layout.is_paired:
        notes.append(f"{bad_files(found.bad)} skipped, each with its partner: {first_few(found.bad)}.")
    for side, where, image in zip(found.sides, found.layout.sides, spec.images.values(), strict=True):
        notes += [f"{where.title}: {note}" for note in notes_of(side, image, options)]
    if options.size is not None and found.relations[0]:
        notes.append(f"{unlike(found)}; each is cropped by itself, so what is in them may not coincide.")
    return tuple(notes)


def open_pairs(found: PairSurvey, *, name: str, options: DataOptions, memory_limit: int = MEMORY_LIMIT) -> PairSource:
    """Both sides: in memory if all decoded images take at most `memory_limit` bytes, else streamed."""
    try:
        refuse_pairs(found, options)
        spec = spec_of_pairs(found, options)
    except OrganzaError:
        found.close()
        raise
    sides = list(zip(found.sides, spec.images.values(), strict=True))
    loads = [where.load for where in found.layout.sides]
    decoders = [decoder_of(side, own, options, load=load) for (side, own), load in zip(sides, loads, strict=True)]
    origins: list[np.ndarray | None] = [None, None]
    if options.crop == "tiles":
        cuts = [tiles_of(*side) for side in sides]
        if spec.is_paired:  # those of the smaller side decide
            least = min(sides, key=lambda side: side[1].height)
            pictures, places = tiles_of(*least)
            factors = [own.height // least[1].height for _, own in sides]
            cuts = [(pictures, np.where(places == WHOLE, WHOLE, places * factor)) for factor in factors]
        decoders = [decoder.subset(*cut) for decoder, cut in zip(decoders, cuts, strict=True)]
        origins = [pictures for pictures, _ in cuts]
    is_held = sum(map(decoded_bytes, decoders)) <= memory_limit
    own = replace(options, workers=-(-options.workers // 2))
    source, target = (hold(decoder, name=name, options=own, is_held=is_held) for decoder in decoders)
    notes = notes_of_pairs(found, spec, options)
    source.origins, target.origins = origins
    return PairSource(source, target, name=name, is_paired=spec.is_paired, notes=notes)
