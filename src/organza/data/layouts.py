"""Where the two sides of image pairs lie: told by the names of folders and files alone, so in zips as well."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Literal

from organza.data.files import Files
from organza.data.labels import SPLITS, common_beginning, common_folder, names_of_split
from organza.data.options import DataOptions
from organza.data.scan import MASK, load_half, load_holed, load_pixels, looks_like_image
from organza.data.streamed import Loader
from organza.errors import DataError

KINDS = (("a", "b"), ("label", "img"), ("lr", "hr"), ("source", "target"))
"""What the folders of both sides are called: CycleGAN, CUT and pix2pix; pix2pixHD; super-resolution; as here."""
SIDE_WORDS = [word for kind in KINDS for word in kind]
BARE_WORDS = {form for word in SIDE_WORDS for form in (word, word.upper(), word.capitalize())} - {"a", "b"}
"""How they are written where they stand alone; folders a and b are as likely to be classes."""
SPLIT_WORDS = [word for words in SPLITS.values() for word in words]
FOLDER = re.compile(rf"(?:({'|'.join(SPLIT_WORDS)})([ _-]?))?({'|'.join(SIDE_WORDS)})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Side:
    """The files of one side."""

    files: Files
    names: list[str]
    title: str
    """What messages call it."""
    folder: str = ""
    """What all names begin with, "" or "a/b/"; it is no part of what partners share."""
    prefix: str = ""
    """What messages put before names, where both sides have the same."""
    load: Loader = load_pixels
    """How a file becomes pixels."""
    channels: Literal["auto", "rgba"] = "auto"
    """What these pixels are, whatever channels are asked for."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Two sides, and whether their images belong together."""

    source: Side
    target: Side
    is_paired: bool
    masks: Mapping[str, str] = field(default_factory=dict)
    """The image that each mask belongs to, where the source is images with holes."""
    notes: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.source, self.target

    @property
    def title(self) -> str:
        """How the layout is called."""
        return f"{self.source.title} to {self.target.title}, {'paired' if self.is_paired else 'unpaired'}"

    @property
    def swapped(self) -> Layout:
        """The same in the other direction."""
        return replace(self, source=self.target, target=self.source)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the name of a folder says about the images in it."""

    side: str
    split: str
    """The word for the split as it stands there, in lower case; "" if there is none."""
    folder: str
    is_one_word: bool
    """Whether split and side are one word, as in trainA."""


@dataclass(frozen=True, kw_only=True)
class Partners:
    """Names that belong together, and the rest with the reason."""

    pairs: list[tuple[str, str]]
    missing: dict[str, str]
    notes: tuple[str, ...] = ()


def find_layout(files: Files, options: DataOptions) -> Layout | None:
    """The sides of a folder or zip whose folders are named after sides; None if they are not.

    Raises:
        DataError: They are, but one is empty, or the split asked for is not there.
    """
    images = [name for name in files.names if looks_like_image(name)]
    root = _root_of(images)
    names: dict[Place, list[str]] = {}
    outside: Counter[str] = Counter()
    for name in images:
        folders = tuple(name[len(root) :].split("/")[:-1])
        place = place_of(folders)
        if place is None:
            outside["/".join(folders[:1]) or "."] += 1
        else:
            names.setdefault(place, []).append(name)
    filled = tuple(f"{place.folder}/" for place in names)
    empty = {place for place in map(place_of, _folders(files.path / root)) if place is not None}
    places = [*names, *(place for place in empty if not any(one.startswith(f"{place.folder}/") for one in filled))]
    for kind in KINDS:
        of_kind = [place for place in places if place.side in kind]
        is_clear = any(place.is_one_word for place in of_kind)
        strangers = outside.total() + sum(len(names.get(place, ())) for place in places if place.side not in kind)
        has_both = {place.side for place in of_kind} == set(kind)
        if of_kind and images and (is_clear or (has_both and not strangers)):
            there = {place: names.get(place, []) for place in of_kind}
            chosen = _choose(files, there, kind=kind, options=options, outside=outside)
            source, target = (_side(files, root, place, listed) for place, listed in chosen)
            notes = _passed_over(outside) if outside else ()
            return _layout(source, target, is_clear=is_clear, kind=kind, options=options, notes=notes)
    return None


@lru_cache(maxsize=4096)
def place_of(folders: tuple[str, ...]) -> Place | None:
    """What the folders that an image lies in, outermost first, say about it."""
    first, second = (*folders, "", "")[:2]
    match = FOLDER.fullmatch(first)
    is_side = match is not None and (match[1] is not None or first in BARE_WORDS)
    if match and is_side and second.lower() not in SPLIT_WORDS:
        split = (match[1] or "").lower()
        return Place(side=match[3].lower(), split=split, folder=first, is_one_word=bool(split))
    for side, split in ((first, second), (second, first)):
        if side in BARE_WORDS and split.lower() in SPLIT_WORDS:
            return Place(side=side.lower(), split=split.lower(), folder=f"{first}/{second}", is_one_word=False)
    return None


def _root_of(images: Sequence[str]) -> str:
    """The folder that holds the folders of both sides, even where only one of them has images."""
    parts = common_folder(images).split("/")[:-1]
    while parts and (place_of((parts[-1],)) or parts[-1].lower() in SPLIT_WORDS):
        parts.pop()
    return "".join(f"{part}/" for part in parts)


def _folders(path: Path) -> list[tuple[str]]:
    """The folders at `path`, empty ones too, where it is a folder that can be read."""
    with suppress(OSError), os.scandir(path) as entries:
        return sorted((entry.name,) for entry in entries if entry.is_dir())
    return []


def _side(files: Files, root: str, place: Place, names: list[str]) -> Side:
    return Side(files=files, names=names, title=f"{root}{place.folder}", folder=f"{root}{place.folder}/")


def _passed_over(outside: Counter[str]) -> tuple[str, ...]:
    folders = ", ".join(list(outside)[:5])
    return (f"Images outside the folders of both sides, which are passed over: {outside.total():,} ({folders}).",)


def _choose(
    files: Files,
    places: dict[Place, list[str]],
    *,
    kind: tuple[str, str],
    options: DataOptions,
    outside: Counter[str],
) -> list[tuple[Place, list[str]]]:
    """The places of both sides, with their names, that belong to the split asked for."""
    words = (*SPLITS[options.split], "") if options.split == "train" else SPLITS["test"]
    present = [{place.side for place, listed in places.items() if listed and place.split == word} for word in words]
    split = words[max(range(len(words)), key=lambda index: len(present[index]))]
    if not any(place.split == split for place in places):
        there = ", ".join(sorted(place.folder for place in places))
        needed = " and ".join(_named(next(iter(places)), side=side, split=options.split) for side in kind)
        mend = "leave out --split test, or hold some out: --hold-out 0.1"
        raise DataError(
            f"{files.path} has no {options.split} images for image to image: it holds {there}, and needs {needed}. "
            f"Make them, {mend if options.split == 'test' else 'or take the others with --split test'}"
        )
    chosen = {place.side: (place, listed) for place, listed in places.items() if place.split == split and listed}
    lacking = [side for side in kind if side not in chosen]
    if lacking:
        like = next((place for place in places if place.side not in lacking), next(iter(places)))
        there, missing = (_named(like, side=side, split=split) for side in (like.side, lacking[0]))
        count = len(chosen[like.side][1]) if like.side in chosen else 0
        mend = f"Put images into {missing}"
        if outside:
            stranger, others = outside.most_common(1)[0]
            move = f"beside it: if they are the other side, move them into {missing}"
            rename = f"in {stranger}: if they are the other side, call it {missing}"
            mend = f"{others:,} are {move if stranger == '.' else rename}. Else put images there"
        raise DataError(
            f"{files.path} holds {count:,} images in {there} and none in {missing}; image to image needs both sides. "
            f"{mend}, or read what is there as single images: organza data check "
            f"{shlex.quote(str(files.path))} --pairs none"
        )
    return [chosen[side] for side in kind]


def _named(like: Place, *, side: str, split: str) -> str:
    """The folder of another side or split, called as `like` is."""
    parts = like.folder.split("/")
    match = FOLDER.fullmatch(parts[0])
    own = match[3] if match else parts[1]
    side = side.upper() if own.isupper() else side
    if like.is_one_word and match:
        return f"{split}{match[2]}{side}"
    if like.split:
        return f"{side}/{split}" if match else f"{split}/{side}"
    return f"{side}/{split}" if split else side


def _layout(
    source: Side,
    target: Side,
    *,
    is_clear: bool,
    kind: tuple[str, str],
    options: DataOptions,
    notes: tuple[str, ...],
) -> Layout:
    shared = len(keys_of(source)[0].keys() & keys_of(target)[0].keys())
    asked = {"yes": True, "no": False}.get(options.paired)
    if asked is not None:
        is_paired = asked
    elif kind == KINDS[0]:
        is_paired = not is_clear and shared > 0
        same = shared == len(source.names) == len(target.names)
        if same and not is_paired:
            notes += (f"All names in {source.title} and {target.title} are the same; for pairs add --paired yes.",)
        if not is_clear and not shared:
            notes += (
                f"{source.title} and {target.title} share no name, so they are two unpaired domains; if they are "
                "classes add --pairs none.",
            )
    else:
        is_paired = True
    return Layout(source=source, target=target, is_paired=is_paired, notes=notes)


def between(files: Files, other: Files, options: DataOptions) -> Layout:
    """The sides that are a folder or zip each."""
    sides = []
    for each in (files, other):
        inside = None
        with suppress(DataError):
            inside = find_layout(each, replace(options, paired="no")) if options.pairs == "auto" else None
        if inside is not None:
            one, two = (shlex.quote(str(each.path / side.title)) for side in (inside.source, inside.target))
            hint = (
                f"name one of them, as in --data {one} --to {two}" if each.path.is_dir() else "unpack it and name one"
            )
            raise DataError(
                f"{each.path} holds both sides itself, {inside.source.title} and {inside.target.title}: leave out "
                f"--to, or {hint}; or, if they are no sides, add --pairs none"
            )
        names = names_of_split(each, options.split)
        folder = common_folder([name for name in names if looks_like_image(name)])
        prefix = f"{each.path.name}/"
        sides.append(Side(files=each, names=names, title=str(each.path), folder=folder, prefix=prefix))
    source, target = sides
    notes = ()
    if options.paired == "auto" and keys_of(source)[0].keys() == keys_of(target)[0].keys():
        notes = ("Both sides hold the same names; for pairs add --paired yes.",)
    return Layout(source=source, target=target, is_paired=options.paired == "yes", notes=notes)


def halves(files: Files, *, is_paired: bool, notes: tuple[str, ...] = ()) -> Layout:
    """The sides that are the left and the right half of each image."""
    left, right = (
        Side(files=files, names=[], title=f"the {title} half", load=partial(load_half, is_right=title == "right"))
        for title in ("left", "right")
    )
    return Layout(source=left, target=right, is_paired=is_paired, notes=notes)


def masked(files: Files, options: DataOptions) -> Layout:
    """The sides that are images with holes, where NAME_mask.png or NAME_mask000.png shows them, and NAME.png whole."""
    images = [name for name in names_of_split(files, options.split) if looks_like_image(name)]
    whole = {_stem(name): name for name in images if not MASK.fullmatch(PurePosixPath(name).stem)}
    masks = [name for name in images if MASK.fullmatch(PurePosixPath(name).stem)]
    of_mask = {name: whole[stem] for name in masks if (stem := MASK.sub(r"\1", _stem(name))) in whole}
    if not of_mask:
        raise DataError(
            f"{files.path} holds {len(masks):,} masks and {len(whole):,} images, of which none belong together; "
            "--pairs masks needs NAME_mask.png (light where a hole is to be) beside NAME.png. Call them so, or leave "
            "out --pairs masks"
        )
    load = partial(load_holed, images=of_mask)
    holed = Side(files=files, names=masks, title="images with holes", load=load, channels="rgba")
    return Layout(
        source=holed,
        target=Side(files=files, names=list(whole.values()), title="whole images"),
        is_paired=True,
        masks=of_mask,
    )


def partners(layout: Layout) -> Partners:
    """Which files of both sides belong together: those of the same name, whatever their suffix.

    Where no two names are equal, what all names of a side begin or end with is left out, as in 0001x4.png.

    Raises:
        DataError: There is no pair at all.
    """
    if layout.masks:
        missing = {name: "a mask without its image" for name in layout.source.names if name not in layout.masks}
        rest = len({*layout.target.names} - {*layout.masks.values()})
        notes = (f"Images without a mask, which are passed over: {rest:,}.",) if rest else ()
        return Partners(pairs=list(layout.masks.items()), missing=missing, notes=notes)
    (source, more), (target, most) = keys_of(layout.source), keys_of(layout.target)
    missing, notes = more | most, ()
    shared = source.keys() & target.keys()
    if not shared:
        source, target = _trimmed(source), _trimmed(target)
        shared = source.keys() & target.keys()
        example = next(iter(sorted(shared)), None)
        if example is not None:
            notes = (f"Pairs are told by the part of the names that differs: {source[example]}, {target[example]}.",)
    if not shared:
        raise DataError(
            f"None of the {len(source):,} images in {layout.source.title} has a partner of the same name among the "
            f"{len(target):,} in {layout.target.title} (they begin with {next(iter(source.values()), 'nothing')} and "
            f"{next(iter(target.values()), 'nothing')}). Give both images of a pair the same name, or take them as "
            "unpaired: --paired no"
        )
    for keys, own, other in ((source, layout.source, layout.target), (target, layout.target, layout.source)):
        alone = [name for key, name in keys.items() if key not in shared]
        missing |= {f"{own.prefix}{name}": f"has no partner in {other.title}" for name in alone}
    pairs = [(name, target[key]) for key, name in source.items() if key in shared]
    return Partners(pairs=pairs, missing=missing, notes=notes)


def keys_of(side: Side) -> tuple[dict[str, str], dict[str, str]]:
    """Names of images by what partners share, in their order, and names that stand for another already."""
    keys: dict[str, str] = {}
    doubles: dict[str, str] = {}
    for name in side.names:
        if looks_like_image(name):
            first = keys.setdefault(_stem(name[len(side.folder) :]), name)
            if first != name:
                doubles[f"{side.prefix}{name}"] = f"has the same name as {first}"
    return keys, doubles


def _stem(name: str) -> str:
    """A name without its suffix, with accents in one form: file systems and archives differ in that."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name).with_suffix("")))


def _trimmed(keys: dict[str, str]) -> dict[str, str]:
    """The same names by the part that differs between them."""
    if len(keys) < 2:
        return keys
    begin = len(common_beginning(keys))
    end = len(common_beginning(key[begin:][::-1] for key in keys))
    return {key[begin : len(key) - end]: name for key, name in keys.items()}


def arguments_of(options: DataOptions) -> str:
    """The options by which another command sees the same pairs."""
    chosen = {name: getattr(options, name) for name in ("to", "pairs", "paired", "direction", "split")}
    given = {name: value for name, value in chosen.items() if value != getattr(DataOptions, name)}
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in given.items())
