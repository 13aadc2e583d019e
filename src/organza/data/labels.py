"""Which files of a folder or zip belong to the split, and their class labels: from sub-folders or dataset.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from organza.data.files import Files
from organza.data.scan import looks_like_image
from organza.errors import DataError

MAX_JSON = 2**28
SPLITS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Class names and one index per file; both empty where there are no labels."""

    classes: tuple[str, ...] = ()
    indices: np.ndarray | None = None
    """(N,), int64."""
    notes: tuple[str, ...] = ()


def common_folder(names: Sequence[str]) -> str:
    """The folder that holds all of `names`: "" or "a/b/"."""
    beginning = common_beginning(names)
    return beginning[: beginning.rfind("/") + 1]


def common_beginning(texts: Iterable[str]) -> str:
    """What all of `texts` begin with."""
    every = set(texts)
    first, last = (min(every), max(every)) if every else ("", "")
    shared = 0
    while shared < len(first) and shared < len(last) and first[shared] == last[shared]:
        shared += 1
    return first[:shared]


def names_of_split(files: Files, split: Literal["train", "test"]) -> list[str]:
    """The names that belong to `split`: all, or one sub-folder where the top level is train/ and test/ (or val/)."""
    images = [name for name in files.names if looks_like_image(name)]
    prefix = common_folder(images)
    tops = {name[len(prefix) :].split("/")[0] if "/" in name[len(prefix) :] else "" for name in images}
    lower = {top.lower(): top for top in tops}
    if tops and lower.keys() <= {*SPLITS["train"], *SPLITS["test"]}:
        for candidate in SPLITS[split]:
            if candidate in lower:
                return [name for name in files.names if name.startswith(f"{prefix}{lower[candidate]}/")]
    if split == "test":
        raise DataError(
            f"{files.path} has no test images: that needs two folders, train/ and test/, at its top. "
            "Make them, leave out --split test, or hold some images out: --hold-out 0.1"
        )
    return files.names


def labels_of(files: Files, names: Sequence[str]) -> Labels:
    """Labels of the images `names`: from dataset.json if there is one, else from the first level of folders."""
    prefix = common_folder(names)
    parents = ["/".join(prefix.split("/")[:depth]) for depth in range(prefix.count("/"), -1, -1)]
    for parent in parents:
        base = f"{parent}/" if parent else ""
        if f"{base}dataset.json" in files.names:
            return _from_json(files, f"{base}dataset.json", base=base, names=names)
    rest = [name[len(prefix) :] for name in names]
    inside = sum("/" in name for name in rest)
    if inside == 0:
        return Labels()
    if inside < len(rest):
        return Labels(
            notes=(
                f"{inside:,} images lie in sub-folders and {len(rest) - inside:,} do not, so no labels were read; "
                "put every image into a class folder to have labels.",
            )
        )
    return _number([name.split("/")[0] for name in rest])


def _number(found: Sequence[str]) -> Labels:
    """Class names, in the order of their numbers if all are numbers, and an index per sample."""
    names = set(found)
    numeric = all(name.isascii() and name.isdigit() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name), name)) if numeric else sorted(names))
    index = {name: number for number, name in enumerate(classes)}
    return Labels(classes=classes, indices=np.array([index[name] for name in found], dtype=np.int64))


def _from_json(files: Files, path: str, *, base: str, names: Sequence[str]) -> Labels:
    """Labels as StyleGAN stores them: {"labels": [[name, class], ...]}, names relative to the file; null for none."""
    where = f"{files.path}: {path}"
    try:
        with files.open(path) as file:
            text = file.read(MAX_JSON + 1)
        if len(text) > MAX_JSON:
            raise ValueError(f"it is larger than {MAX_JSON:,} bytes")
        stored = json.loads(text)
        pairs = stored["labels"] if isinstance(stored, dict) and "labels" in stored else None
        if pairs is None:
            return Labels(notes=(f"{path} holds no labels.",))
        known = {
            str(name).replace("\\", "/"): label for name, label in (pairs.items() if isinstance(pairs, dict) else pairs)
        }
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f'{where} cannot be read ({error}). It needs {{"labels": [["name.png", 0], ...]}}, or use --no-labels.'
        ) from error
    found = [known.get(name[len(base) :]) for name in names]
    for name, label in zip(names, found, strict=True):
        if type(label) is not int or not 0 <= label < 100_000:
            what = "has no label" if label is None else f"has the label {str(label)[:40]}"
            raise DataError(
                f"{where}: {name} {what}; every image needs a whole number from 0. Mend it, or use --no-labels."
            )
    indices = np.array(found, dtype=np.int64)
    return Labels(classes=tuple(str(number) for number in range(int(indices.max(initial=-1)) + 1)), indices=indices)
