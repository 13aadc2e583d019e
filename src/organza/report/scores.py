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
            "higher" if one.higher_is_better else "lower",
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


def ranking(name: str, records: Sequence[Record]) -> Table:
    """Runs by one score, the best first."""
    best_first = sorted(records, key=lambda one: one.value, reverse=records[0].higher_is_better)
    direction = "higher" if records[0].higher_is_better else "lower"
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=f"{name}: {direction} is better")
    found.title_justify = "left"
    for title in ("", "run", "checkpoint", "value", "±", "floor"):
        found.add_column(title, justify="left" if title in ("", "run") else "right", overflow="fold")
    for place, one in enumerate(best_first, start=1):
        values = (number(one.value), number(one.standard_error), number(one.floor))
        found.add_row(str(place), Path(one.target).name, one.checkpoint, *values)
    return found
