"""A score is a record, not a number: what was measured, of what, against what, how, and with which uncertainty."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

from organza.errors import MeasureError, StorageError, cause


@final
@dataclass(frozen=True, kw_only=True)
class Record:
    """One measurement with its whole provenance: a line of scores.jsonl."""

    name: str
    """By the naming rule: FID, KID and IS only with the 2015 Inception network."""
    measure: str
    """Which measure it is, whatever the network: `frechet`, `kernel`, ..."""
    value: float
    higher_is_better: bool | None
    """None: neither; the nearer to its floor the better."""
    standard_error: float | None
    """Standard deviation of the value, or None where it was not estimated."""
    method: str
    """How the standard error was found."""
    floor: float | None
    """The same measure real against real: the best that can be expected."""
    floor_method: str
    """Which real samples were compared for the floor."""
    n_floor: int
    """Samples on each side of the floor; `n_fake` unless there is too little data."""
    note: str
    """What to beware of, in a sentence; may be empty."""
    details: dict[str, Any]
    """What the value was condensed from, such as the histogram of classes."""

    target: str
    """The run folder, or the source of the samples."""
    checkpoint: str
    """Which checkpoint of the run; empty for samples from files."""
    weights: str
    """Raw or averaged, and the half-life of the average in samples; empty for samples from files."""
    seed: int | None
    """Latent i depends on (seed, i); None for samples from files."""
    truncation: float
    labels: str
    """Where the classes of the fakes come from."""

    extractor: str
    """Name of the network that the features are of; empty for points."""
    extractor_sha256: str
    layer: str
    feature_dim: int
    resize: str
    quantise: str
    range: str
    colour: str
    dtype: str
    """Of the extractor."""
    tf32: bool
    batch_size: int
    """Of the extractor."""
    device: str
    """Of the extractor."""
    statistics_dtype: str
    """Of what is computed from the features."""

    n_real: int
    n_fake: int
    reference: str
    """The source of the real samples."""
    reference_sha256: str
    """Of the real samples that were read."""
    split: str
    """train or test."""
    mirrored: bool
    """Whether real samples were doubled by mirroring."""
    parameters: dict[str, Any]
    """k, subsets, degree and the like."""

    organza: str
    torch: str
    command: str
    created: str

    def as_json(self) -> str:
        """One line of JSON; infinity and NaN, which JSON lacks, as null."""
        return json.dumps(finite(asdict(self)), allow_nan=False)

    @staticmethod
    def from_json(line: str) -> Record:
        """The record of such a line.

        Raises:
            MeasureError: It is none, or one of another version.
        """
        try:
            values = json.loads(line)
            names = {one.name for one in fields(Record)}
            if not isinstance(values, dict) or values.keys() != names:
                found = values.keys() if isinstance(values, dict) else set()
                raise MeasureError(
                    f"not a record of this organza: it lacks {sorted(names - found) or 'nothing'} and has "
                    f"{sorted(found - names) or 'nothing'} besides. Score again with: organza evaluate"
                )
        except ValueError as error:
            raise MeasureError(f"not a record but {line[:60]!r}: {error}. Remove the line") from error
        if values["value"] is None:
            values["value"] = math.nan
        return Record(**values)


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


OF_THE_MODEL = ("target", "checkpoint", "weights", "labels")
"""Which model made the samples; whether it takes labels belongs to the model."""
OF_THE_OUTCOME = ("value", "standard_error", "floor", "note", "details", "command", "created")
"""What was found, and when."""
CONSEQUENCES = ("n_floor", "reference_sha256")
"""What differs where data or counts do, and is told only where nothing else differs."""


def unlike(a: Record, b: Record) -> list[str]:
    """The fields that forbid to compare two records: all that differ, but those of the model and of the outcome."""
    ignored = {*OF_THE_MODEL, *OF_THE_OUTCOME}
    return [
        one.name for one in fields(Record) if one.name not in ignored and getattr(a, one.name) != getattr(b, one.name)
    ]


def append(path: Path, records: Sequence[Record]) -> None:
    """Add records to a file of them.

    Raises:
        StorageError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{record.as_json()}\n" for record in records))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}. Choose another file with --out FILE") from error


def read(path: Path) -> list[Record]:
    """The records of a file, the oldest first.

    Raises:
        MeasureError: There is none, or it holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MeasureError(
            f"{path} cannot be read ({cause(error)}). Score first: organza evaluate {shlex.quote(str(path.parent))}"
        ) from error
    return [Record.from_json(line) for line in lines if line.strip()]


def comparable(files: Sequence[Sequence[Record]]) -> tuple[dict[str, list[Record]], list[str]]:
    """The newest record of each score from each of some files, where all are alike, and why others are not.

    Where the newest ones differ, older ones that are alike do: the newest of the first file for which every other file
    has a record that is alike.

    Returns:
        Records by score, and a sentence for each score that cannot be compared.
    """
    groups: dict[str, list[Record]] = {}
    refused: dict[str, list[str]] = {}
    real = dict.fromkeys(short(records[-1].reference) for records in files if records)
    how = (
        f"score all of them against the same data, not {', '.join(real)}: organza evaluate RUN --against SOURCE"
        if len(real) > 1
        else "score all of them by the same organza evaluate RUN"
    )
    for name in dict.fromkeys(record.name for records in files for record in records):
        sides = [[record for record in reversed(records) if record.name == name] for records in files]
        if not all(sides):
            refused.setdefault(f"not every run has this score; {how}", []).append(name)
            continue
        for first in sides[0]:
            alike = [[record for record in side if not unlike(first, record)] for side in sides]
            if all(alike):
                groups[name] = [side[0] for side in alike]
                break
        else:
            newest = [side[0] for side in sides]
            fields = dict.fromkeys(field for other in newest[1:] for field in unlike(newest[0], other))
            fields = [field for field in fields if field not in CONSEQUENCES] or list(fields)
            told = ", ".join(
                f"{field} ({', '.join(dict.fromkeys(short(getattr(record, field)) for record in newest))})"
                for field in fields
            )
            count = " --count N" * bool({"n_real", "n_fake"} & {*fields})
            refused.setdefault(f"not comparable, for these differ: {told}; {how}{count}", []).append(name)
    return groups, [f"{', '.join(names)}: {why}" for why, names in refused.items()]


def short(value: Any) -> str:
    """A value that fits into a line."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
