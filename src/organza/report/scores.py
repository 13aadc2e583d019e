"""Records for a terminal: a table with the floor beside every score, and what was compared with what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from organza.metrics.record import Record
from organza.report.timeline import human

WIDTH = 150
"""Of the table where there is no terminal."""
DIRECTIONS = {True: "higher", False: "lower", None: "at floor"}


def show(records: Sequence[Record], meanings: dict[str, str]) -> None:
    """Print records of one evaluation; `meanings` by measure."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(heading(records[0]), highlight=False, markup=False)
    console.print(table(records, meanings))
    for line in remarks(records):
        console.print(line, highlight=False, markup=False)


def heading(one: Record) -> str:
    """What was compared with what, in the eyes of which network."""
    of = f" (checkpoint {one.checkpoint}, weights {one.weights}, seed {one.seed})" if one.checkpoint else ""
    eyes = f", in the eyes of {one.extractor}" if one.extractor else ""
    return f"samples: {one.target}{of}\nreal:    {one.reference}, {one.split} split{eyes}"


def table(records: Sequence[Record], meanings: dict[str, str]) -> Table:
    """A line per score."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("score", "value", "±", "floor", "N", "better", "what it says"):
        found.add_column(title, justify="right" if title in ("value", "±", "floor", "N") else "left", overflow="fold")
    for one in records:
        found.add_row(
            one.name,
            number(one.value),
            number(one.standard_error),
            number(one.floor) if one.n_floor == one.n_fake else f"{number(one.floor)} (N {one.n_floor:,})",
            f"{one.n_fake:,}" if one.n_fake == one.n_real else f"{one.n_fake:,} / {one.n_real:,}",
            DIRECTIONS[one.higher_is_better],
            meanings[one.measure],
        )
    return found


def number(value: float | None) -> str:
    """Three digits; a dash where there is none."""
    return "–" if value is None else human(value) if math.isfinite(value) else str(value)


def remarks(records: Sequence[Record]) -> list[str]:
    """The floor, the classes, and what to beware of."""
    methods = dict.fromkeys(one.floor_method for one in records)
    lines = [f"floor: the same measure real against real ({', '.join(methods)}); N: fakes / real samples"]
    for one in records:
        if histogram := one.details.get("histogram"):
            lines.append("classes: " + ", ".join(f"{index} {share:.1%}" for index, share in enumerate(histogram)))
        if one.note:
            lines.append(f"note on {one.name}: {one.note}")
    if records[0].split == "train" and records[0].checkpoint:
        lines.append(
            "A generator that copies its training data scores well here: see organza audit, and --split test where "
            "there is one."
        )
    return lines


def overview(groups: dict[str, list[Record]]) -> Table:
    """A line per score and a column per run, each value with its place; `groups` as `comparable` returns them."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    found.add_column("score", overflow="fold")
    found.add_column("better")
    for one in next(iter(groups.values())):
        name = Path(one.target).name + (f"\n{one.checkpoint}" if one.checkpoint else "")
        found.add_column(name, justify="right", overflow="fold")
    found.add_column("floor", justify="right")
    for name, records in groups.items():
        cells = [f"{value(one)}{place(one, records)}" for one in records]
        found.add_row(name, DIRECTIONS[records[0].higher_is_better], *cells, number(records[0].floor))
    return found


def value(one: Record) -> str:
    """With its standard error, if it has one."""
    error = one.standard_error
    return number(one.value) + (f" ± {number(error)}" if error is not None else "")


def place(one: Record, records: Sequence[Record]) -> str:
    """Its place among the records; empty for scores that only their floor can judge."""
    up = one.higher_is_better
    if up is None or not math.isfinite(one.value):
        return ""
    better = sum(other.value > one.value if up else other.value < one.value for other in records)
    return f"  #{better + 1}"
