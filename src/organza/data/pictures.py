"""Folders and zips of images: surveyed, brought to one shape, and held in memory where they fit."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from organza.data.decoded import decoded_bytes, hold
from organza.data.files import Files, open_files
from organza.data.labels import Labels, labels_of, names_of_split
from organza.data.memory import MEMORY_LIMIT
from organza.data.options import DataOptions
from organza.data.scan import MASK, Picture, Scan, load_pixels, looks_like_image, scan
from organza.data.source import Source
from organza.data.spec import ImageSpec
from organza.data.streamed import Decoder, Loader
from organza.data.tiles import tiles
from organza.errors import DataError, OrganzaError

CHANNELS = {"gray": 1, "rgb": 3, "rgba": 4}
SHOWN = 5
SEE_ALL = " To see all run: "
"""Ends errors about files, before the command that lists them."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a folder or zip turned out to hold."""

    files: Files
    scan: Scan
    labels: Labels = field(default_factory=Labels)
    folder: str = ""
    """Where in `files` the images are, for one side of pairs."""
    arguments: str = ""
    """Further options without which another command would see other data."""

    @property
    def path(self) -> Path:
        """The folder or zip that was looked at."""
        return self.files.path / self.folder

    @property
    def command(self) -> str:
        """The command that tells all about it."""
        return f"organza data check {shlex.quote(str(self.files.path))}{self.arguments}"

    def close(self) -> None:
        """Close the files."""
        self.files.close()

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images there are of each (height, width)."""
        return Counter((picture.height, picture.width) for picture in self.scan.pictures)

    @property
    def bad_share(self) -> float:
        """Bad files among those that were to be images."""
        return len(self.scan.bad) / max(1, len(self.scan.bad) + len(self.scan.pictures))


def survey(files: Files, options: DataOptions) -> Survey:
    """Decode everything once and read the labels; refuses nothing but an unreadable dataset.json or a missing split."""
    names = names_of_split(files, options.split)
    result = scan(files, names=names, limit=options.limit, cache=options.cache_folder)
    if not options.labels:
        return Survey(files=files, scan=result)
    # A limit leaves images out, but the classes stay those of the whole.
    good = {picture.name for picture in result.pictures}
    left_out = {name for name in names if looks_like_image(name)} - good - result.bad.keys() - result.ignored.keys()
    every = sorted(good | left_out)
    labels = labels_of(files, every)
    if labels.indices is not None:
        kept = np.array([name in good for name in every], dtype=bool)
        labels = replace(labels, indices=labels.indices[kept])
    return Survey(files=files, scan=result, labels=labels)


def open_pictures(path: Path, *, name: str, options: DataOptions, memory_limit: int = MEMORY_LIMIT) -> Source:
    """A folder or zip of images: in memory if the decoded images take at most `memory_limit` bytes, else streamed."""
    with closed_on_error(open_files(path)) as files:
        return open_survey(survey(files, options), name=name, options=options, memory_limit=memory_limit)


@contextmanager
def closed_on_error(files: Files) -> Iterator[Files]:
    """Close the files if what is inside refuses them."""
    try:
        yield files
    except OrganzaError:
        files.close()
        raise


def open_survey(found: Survey, *, name: str, options: DataOptions, memory_limit: int = MEMORY_LIMIT) -> Source:
    """As `open_pictures`, of a folder or zip that was looked at."""
    refuse(found, options)
    spec = spec_of(found, options)
    decoder = decoder_of(found, spec, options)
    notes, origins = notes_of(found, spec, options), None
    if options.crop == "tiles":
        origins, places = tiles_of(found, spec)
        decoder = decoder.subset(origins, places)
    is_held = decoded_bytes(decoder) <= memory_limit
    source = hold(decoder, name=name, options=options, is_held=is_held, notes=notes)
    source.origins = origins
    return source


def decoder_of(found: Survey, spec: ImageSpec, options: DataOptions, *, load: Loader = load_pixels) -> Decoder:
    """What reads the good images of a survey."""
    names = tuple(picture.name for picture in found.scan.pictures)
    return Decoder(found.files, names, labels=found.labels.indices, spec=spec, crop=options.crop, load=load)


def tiles_of(found: Survey, spec: ImageSpec) -> tuple[np.ndarray, np.ndarray]:
    """As `tiles`, of the images of a survey."""
    return tiles([(picture.height, picture.width) for picture in found.scan.pictures], (spec.height, spec.width))


def refuse(found: Survey, options: DataOptions) -> None:
    """Fail if there is no image, or more bad files than the options allow."""
    where, bad = found.path, found.scan.bad
    command = found.command
    if not found.scan.pictures:
        what = f"{bad_files(bad)} ({first_few(bad)})" if bad else "no image"
        raise DataError(
            f"{where} holds {what}; it needs PNG, JPEG, WEBP, BMP, TIFF or GIF images, or a data file "
            f"(.npz, .npy, idx)." + f"{SEE_ALL}{command}" * bool(bad or found.scan.ignored)
        )
    if options.strict and bad:
        raise DataError(
            f"{where} has {bad_files(bad)} ({first_few(bad)}) and --strict allows none. "
            f"Mend or delete them, or leave out --strict.{SEE_ALL}{command}"
        )
    if found.bad_share > options.max_bad:
        raise DataError(
            f"{where} has {bad_files(bad)} ({first_few(bad)}), {found.bad_share:.1%} of all; at most "
            f"{options.max_bad:.1%} are skipped. Mend or delete them, or accept it with --max-bad "
            f"{min(1.0, np.ceil(found.bad_share * 100) / 100):g}.{SEE_ALL}{command}"
        )


def spec_of(found: Survey, options: DataOptions) -> ImageSpec:
    """The one shape that all images are brought to."""
    pictures = found.scan.pictures
    if options.size is None and len(found.sizes) > 1:
        (first, second), count = found.sizes.most_common(2), len(found.sizes)
        examples = " and ".join(
            f"{next(p.name for p in pictures if (p.height, p.width) == size)} {size_text(size)}"
            for size, _ in (first, second)
        )
        raise DataError(
            f"{found.path} holds {len(pictures):,} images of {count:,} sizes (for example {examples}); one size is "
            f"needed. Add --resize {suggest_size(pictures)}, and --crop tiles to cut them at their own scale; to see "
            f"what that gives run: {found.command} --resize {suggest_size(pictures)}"
        )
    height, width = options.size or next(iter(found.sizes))
    channels = _channels_of(pictures, options)
    bits = 16 if channels == 1 and all(picture.bits == 16 for picture in pictures) else 8
    return ImageSpec(classes=found.labels.classes, channels=channels, height=height, width=width, bits=bits)


def _channels_of(pictures: Sequence[Picture], options: DataOptions) -> int:
    if options.channels != "auto":
        return CHANNELS[options.channels]
    if all(picture.channels == 1 for picture in pictures):
        return 1
    return 4 if sum(picture.channels == 4 for picture in pictures) > len(pictures) / 2 else 3


def notes_of(found: Survey, spec: ImageSpec, options: DataOptions) -> tuple[str, ...]:
    """What was skipped, converted or cut, in sentences."""
    pictures, notes = found.scan.pictures, list(found.labels.notes)
    if found.scan.bad:
        notes.append(f"{bad_files(found.scan.bad)} skipped: {first_few(found.scan.bad)}.")
    modes = Counter(picture.mode for picture in pictures)
    for mode in ("CMYK", *sorted(mode for mode in modes if "16 bits" in mode)):
        if modes[mode]:
            notes.append(f"{modes[mode]:,} images of mode {mode} are converted to 8-bit colour.")
    if alpha := sum(picture.channels == 4 for picture in pictures) if spec.channels < 4 else 0:
        notes.append(f"{alpha:,} images have an alpha channel; it is dropped, transparency shows white.")
    if deep := sum(picture.bits == 16 for picture in pictures) if spec.bits == 8 else 0:
        notes.append(f"{deep:,} gray images of 16 bits are reduced to 8.")
    masks = sum(MASK.fullmatch(PurePosixPath(picture.name).stem) is not None for picture in pictures)
    if 0 < masks < len(pictures):
        notes.append(f"{masks:,} images are called NAME_mask; if they show holes to be filled add --pairs masks.")
    missing = spec.num_classes - len(np.unique(found.labels.indices)) if found.labels.indices is not None else 0
    if missing:
        notes.append(f"{missing:,} of {spec.num_classes:,} classes {'has' if missing == 1 else 'have'} no image.")
    if options.crop == "tiles":
        notes.append(f"{len(pictures):,} images are cut into {len(tiles_of(found, spec)[0]):,} tiles.")
    return tuple(notes)


def bad_files(bad: dict[str, str]) -> str:
    """How many bad files there are, as `1 bad file` or `2 bad files`."""
    return f"{len(bad):,} bad file{'' if len(bad) == 1 else 's'}"


def first_few(reasons: dict[str, str]) -> str:
    """The first names with their reasons, on one line."""
    shown = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:SHOWN])
    return f"{shown}; and {len(reasons) - SHOWN:,} more" if len(reasons) > SHOWN else shown


def size_text(size: tuple[int, int]) -> str:
    """(height, width) as `width x height`, as --resize takes it."""
    return f"{size[1]}x{size[0]}"


def suggest_size(pictures: Sequence[Picture]) -> int:
    """A power of two that most images reach with their short side, from 16 to 1024."""
    typical = float(np.median([min(picture.height, picture.width) for picture in pictures]))
    return int(min(1024, max(16, 2 ** int(np.log2(typical)))))
