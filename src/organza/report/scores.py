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
FEW = 100
"""Samples of one side below which scores of whole sets are hardly more than chance (our threshold)."""
DIRECTIONS = {True: "higher", False: "lower", None: "near floor"}


def show(records: Sequence[Record], meanings: dict[str, str]) -> None:
    """Print records of one evaluation; `meanings` by measure."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    whole = [one for one in records if not is_beside_truth(one)]
    pairs = [one for one in records if is_beside_truth(one)]
    console.print(origin(records[0]), highlight=False, markup=False)
    if pairs:
        console.print(pairs_heading(pairs[0]), highlight=False, markup=False)
        console.print(pairs_table(pairs, meanings))
    if whole:
        console.print(("\n" if pairs else "") + heading(whole[0]), highlight=False, markup=False)
        console.print(table(whole, meanings))
    for line in remarks(records):
        console.print(line, highlight=False, markup=False)


def is_beside_truth(one: Record) -> bool:
    """Whether a score compares results with their own truths, and has baselines in place of a floor."""
    return "baselines" in one.details


def pairs_heading(one: Record) -> str:
    """What results were compared with."""
    border = f", {one.parameters['border']} pixels left out at each edge" if one.parameters.get("border") else ""
    return f"pairs:   {one.n_fake:,} of {one.reference}, {one.split} split{border}"


def pairs_table(records: Sequence[Record], meanings: dict[str, str]) -> Table:
    """A line per score, with a column for each baseline and the names of those that it beats."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = list(dict.fromkeys(name for one in records for name in one.details["baselines"]))
    for title in ("score", "value", "±", *names, "beats", "better", "what it says"):
        found.add_column(title, justify="right" if title in ("value", "±", *names) else "left", overflow="fold")
    for one in records:
        others = one.details["baselines"]
        cells = [number(others.get(name)) for name in names]
        error, direction = number(one.standard_error), DIRECTIONS[one.higher_is_better]
        found.add_row(one.name, number(one.value), error, *cells, beaten(one), direction, meanings[one.measure])
    return found


def beaten(one: Record) -> str:
    """The baselines that a value is better than."""
    others = one.details["baselines"]
    names = [name for name, other in others.items() if (one.value - other) * (1 if one.higher_is_better else -1) > 0]
    if len(names) == len(others) > 1:
        return "both" if len(names) == 2 else "all"
    return ", ".join(names) or ("none" if others else "–")


def origin(one: Record) -> str:
    """Where the samples come from."""
    of = f" (checkpoint {one.checkpoint}, weights {one.weights}, seed {one.seed})" if one.checkpoint else ""
    return f"samples: {one.target}{of}"


def heading(one: Record) -> str:
    """What they were compared with, in the eyes of which network."""
    eyes = f", in the eyes of {one.extractor}" if one.extractor else ""
    return f"real:    {one.reference}, {one.split} split{eyes}"


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
    methods = dict.fromkeys(one.floor_method for one in records if not is_beside_truth(one))
    lines = []
    if methods:
        lines.append(f"floor: the same measure real against real ({', '.join(methods)}); N: fakes / real samples")
        if (fewest := min(min(one.n_real, one.n_fake) for one in records if not is_beside_truth(one))) < FEW:
            lines.append(f"beware: {fewest:,} samples are too few for the scores that have a floor to mean much")
    if len(methods) < len(dict.fromkeys(one.floor_method for one in records)):
        lines.append(
            "beats: baselines, which need no model, that score worse; a perfect result has errors of 0 and an SSIM of 1"
        )
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
    found.add_column("floor or baselines", justify="right", overflow="fold")
    for name, records in groups.items():
        cells = [f"{value(one)}{place(one, records)}" for one in records]
        found.add_row(name, DIRECTIONS[records[0].higher_is_better], *cells, aim(records[0]))
    return found


def aim(one: Record) -> str:
    """The floor, or the baselines."""
    others = one.details.get("baselines", {})
    return ", ".join(f"{name} {number(other)}" for name, other in others.items()) or number(one.floor)


def value(one: Record) -> str:
    """With its standard error, if it has one."""
    error = one.standard_error
    return number(one.value) + (f" ± {number(error)}" if error is not None else "")


def place(one: Record, records: Sequence[Record]) -> str:
    """One more than the records that are clearly better; empty for scores that only their floor can judge.

    Clearly: by more than twice the standard error of the difference, where errors were estimated.
    """
    if one.higher_is_better is None or not math.isfinite(one.value):
        return ""
    sign, clear = (1 if one.higher_is_better else -1), 0
    for other in records:
        error = math.hypot(one.standard_error or 0.0, other.standard_error or 0.0)
        clear += sign * (other.value - one.value) > 2 * error
    return f"  #{clear + 1}"
