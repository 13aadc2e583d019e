"""One source string to an open source: a name from the list, or the path of a folder or file."""

from __future__ import annotations

import difflib
import os
import shlex
import zipfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

from organza.data.arrays import open_array
from organza.data.digit_pairs import open_digit_pairs
from organza.data.groups import KEPT, grouped, kept_groups
from organza.data.idx import IMAGES, find_images, looks_like_idx, open_fashion, open_idx, open_mnist
from organza.data.made import MadePairs
from organza.data.options import MADE, DataOptions
from organza.data.paired_files import PairSurvey, look, look_at_both, open_pairs
from organza.data.pairs import PairSource, fitting, resized
from organza.data.pictures import closed_on_error, open_survey
from organza.data.source import Source
from organza.data.spec import Spec
from organza.data.stacked import StackedMNIST
from organza.data.toys import open_toy
from organza.errors import DataError, OrganzaError, UsageError, cause

SOURCES: dict[str, Callable[[DataOptions], Source]] = {
    "mnist": lambda options: open_mnist("mnist", options=options),
    "fashion-mnist": lambda options: open_fashion("fashion-mnist", options=options),
    "stacked-mnist": lambda options: StackedMNIST("stacked-mnist", options=options),
    "edges-to-digits": lambda options: open_digit_pairs("edges-to-digits", options=options),
    "gray-to-colour-digits": lambda options: open_digit_pairs("gray-to-colour-digits", options=options),
    "small-to-digits": lambda options: open_digit_pairs("small-to-digits", options=options),
    "digits-to-slanted": lambda options: open_digit_pairs("digits-to-slanted", options=options),
    "ring8": lambda options: open_toy("ring8", options=options),
    "grid25": lambda options: open_toy("grid25", options=options),
    "moons": lambda options: open_toy("moons", options=options),
    "gaussian1d": lambda options: open_toy("gaussian1d", options=options),
}
"""The sources that have a name."""
TAKES_FOLDER = "fashion-mnist"


def open_source(source: str, options: DataOptions) -> Source:
    """Open what `source` names: a name of `SOURCES`, `fashion-mnist:FOLDER`, or a path.

    A path may be a folder of images (sub-folders are classes), a folder of idx files, a .zip of images (read in place),
    or an .npz, .npy or idx file; what a file is, its content tells. Folders of pairs, and a second source given by
    `options.to`, open as a `PairSource`.

    Raises:
        DataError: It is none of these, or cannot be read, or does not fit together; the message says what mends it.
        UsageError: The options ask for pairs where there are none, or contradict each other.
    """
    if options.clusters:
        bare = replace(options, clusters=0, clusters_of=None)
        whole = open_source(source, bare)
        if whole.spec.has_source:
            whole.close()
            raise UsageError(f"{source} holds pairs, of which --clusters makes no classes; leave it out.")
        if options.clusters_of is not None and (Path(options.clusters_of) / "run.json").exists():
            return kept_groups(whole, options.clusters, path=Path(options.clusters_of) / KEPT)
        if options.split == "train" and options.clusters_of is None:
            return grouped(whole, options.clusters, like=whole)
        origin = replace(bare, split="train")
        if options.clusters_of is not None:
            origin = replace(origin, limit=None, hold_out=0.0)
        with closing(open_source(options.clusters_of or source, origin)) as like:
            return grouped(whole, options.clusters, like=like, is_own=options.clusters_of is None)
    if options.pairs in MADE:
        images = open_source(source, replace(options, pairs="none"))
        try:
            return MadePairs(images, options)
        except DataError:
            images.close()
            raise
    if options.hold_out:
        whole = open_source(source, replace(options, split="train", hold_out=0.0))
        return whole.part(options.split, hold_out=options.hold_out)
    opened = _open(source, options)
    if not opened.spec.has_source:
        try:
            refuse_pair_options(source, options)
        except UsageError:
            opened.close()
            raise
    return opened


def unseen_part(data: str, options: DataOptions, spec: Spec) -> Source | None:
    """The test split of a source of which the other is trained on, if there is one that is alike."""
    if options.split == "test":
        return None
    try:
        source = open_source(data, replace(options, split="test", offline=True))
    except OrganzaError:
        return None
    return source if source.spec == spec else None


def refuse_pair_options(source: str, options: DataOptions) -> None:
    """Raise UsageError if options ask for pairs; call it where the source turned out to be single images."""
    chosen = {"pairs": options.pairs, "paired": options.paired, "direction": options.direction}
    asked = [f"--{name} {value}" for name, value in chosen.items() if value not in ("auto", "none", "AtoB")]
    if asked:
        raise UsageError(
            f"{source} holds single images and {asked[0]} is for pairs; leave it out, or name what they are to become: "
            "--to SRC"
        )


def _open(source: str, options: DataOptions) -> Source:
    if options.to is not None:
        return open_both(source, options.to, options)
    if source in SOURCES:
        return SOURCES[source](options)
    head, _, folder = source.partition(":")
    if head == TAKES_FOLDER and folder:
        return open_fashion(head, options=options, folder=Path(folder).expanduser())
    path = locate(source)
    kind = kind_of(path)
    name = path.resolve().name if path.is_dir() else path.stem.removesuffix("-ubyte")
    if kind == "idx":
        file = find_images(path, split=options.split) if path.is_dir() else path
        return open_idx(file, options=options, name=name)
    if kind == "array":
        return open_array(path, name=name, options=options)
    found = look(path, options)
    if isinstance(found, PairSurvey):
        return open_pairs(found, name=name, options=options)
    with closed_on_error(found.files):
        return open_survey(found, name=name, options=options)


def open_both(source: str, other: str, options: DataOptions) -> PairSource:
    """Two sources as the sides of pairs: images of the same name, or in arrays and named sources of the same place.

    Raises:
        DataError: One cannot be read or is not single images; or they are to be pairs and do not fit together.
    """
    paths = [picture_path(each) for each in (source, other)]
    if paths[0] and paths[1]:
        name = "-to-".join(path.resolve().name if path.is_dir() else path.stem for path in paths if path)
        return open_pairs(look_at_both(paths[0], paths[1], options), name=name, options=options)
    is_paired = options.paired == "yes"
    if is_paired and any(paths):
        raise DataError(
            f"{source} and {other} cannot be paired: one has files with names, the other samples in an order. Give "
            "folders or zips on both sides, or arrays on both; or take them as unpaired with --paired no"
        )
    bare = replace(options, to=None, pairs="none", paired="auto", direction="AtoB", labels=False)
    own = (bare, bare)
    if is_paired:
        natural = replace(bare, resize=None)
        with closing(open_source(source, natural)) as one, closing(open_source(other, natural)) as two:
            own = resized(bare, factor=fitting(one, two, options))
    sides = [open_source(each, how) for each, how in zip((source, other), own, strict=True)]
    name = "-to-".join(side.name for side in sides)
    first, second = sides if options.direction == "AtoB" else sides[::-1]
    return PairSource(first, second, name=name, is_paired=is_paired)


def picture_path(source: str) -> Path | None:
    """The folder or zip of images that a source is; None if it is something else."""
    if source in SOURCES or source.startswith(f"{TAKES_FOLDER}:"):
        return None
    path = locate(source)
    return path if kind_of(path) == "pictures" else None


def absolute(source: str) -> str:
    """The same source with a path that leads to it from any folder."""
    head, _, folder = source.partition(":")
    if head == TAKES_FOLDER and folder:
        return f"{head}:{Path(folder).expanduser().resolve()}"
    return source if source in SOURCES else str(locate(source).resolve())


def locate(source: str) -> Path:
    """The existing path that `source` is; fails with the names it may have been meant to be."""
    path = Path(source).expanduser() if source else Path("?")
    if os.path.exists(path):
        return path
    beside: dict[str, str] = {}
    with suppress(OSError, ValueError):
        some = islice(path.parent.iterdir(), 10_000)
        beside = {found.name.lower(): str(found) for found in some if not found.name.startswith(".")}
    known = beside | {name: name for name in SOURCES}
    meant = [known[name] for name in difflib.get_close_matches(path.name.lower(), known, n=1)]
    hint = f" Did you mean {meant[0]!r}? Run: organza data check {shlex.quote(meant[0])}." if meant else ""
    raise DataError(
        f"{source!r} is no known data set, and no such path was found ({path.absolute()}).{hint} It needs one of "
        f"{', '.join(SOURCES)}; or the path of a folder of images, or of a .zip, .npz, .npy or idx file."
    )


def kind_of(path: Path) -> Literal["pictures", "array", "idx"]:
    """What is at `path`, told by its content."""
    try:
        if path.is_dir():
            return "idx" if any(IMAGES.search(entry) for entry in os.listdir(path)) else "pictures"
        if not path.is_file():
            raise DataError(f"{path} is neither a file nor a folder. It needs a folder of images or a data file.")
        with path.open("rb") as file:
            head = file.read(8)
        if head.startswith(b"\x93NUMPY") or (path.suffix.lower() == ".npz" and zipfile.is_zipfile(path)):
            return "array"
        if zipfile.is_zipfile(path):
            return "pictures"
        if looks_like_idx(path):
            return "idx"
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({cause(error)}). Make it readable: chmod -R u+rX {path}") from error
    hint = f"For one folder of images run: organza data check {shlex.quote(str(path.parent))}"
    raise DataError(
        f"{path} is a file of no known kind (it begins with {head.hex(' ') or 'nothing'}); it needs to be a zip of "
        f"images, an .npz, an .npy or an idx file. {hint}"
    )
