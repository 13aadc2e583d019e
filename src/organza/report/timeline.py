"""Rows of metrics.jsonl to numbers that can be trusted: non-finite values out, undone stretches out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def number(value: object) -> float | None:
    """The value as a finite number; None for everything else, such as null, text or "nan"."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def timeline(rows: Sequence[Row]) -> list[Row]:
    """Rows with a sample count, ascending; rows of the same moment are one.

    Where a run went back to a checkpoint, what it undid is left out.
    """
    kept: list[Row] = []
    for row in rows:
        seen = number(row.get("samples")) if isinstance(row, dict) else None
        if seen is None:
            continue
        while kept and kept[-1]["samples"] > seen:
            kept.pop()
        same = kept.pop() if kept and kept[-1]["samples"] == seen else {}
        kept.append({**same, **row})
    return kept


def column(rows: Sequence[Row], key: str) -> list[float | None]:
    """One number per row, None where it is missing or not finite."""
    return [number(row.get(key)) for row in rows]


def last(rows: Sequence[Row], key: str) -> float | None:
    """The newest finite number under a key."""
    return next((value for value in reversed(column(rows, key)) if value is not None), None)


def ending(rows: Sequence[Row], key: str) -> float | None:
    """The mean over the last fifth of the run, by samples seen."""
    if not rows:
        return None
    since = 0.8 * rows[-1]["samples"]
    values = [value for row in rows if row["samples"] >= since and (value := number(row.get(key))) is not None]
    return sum(values) / len(values) if values else None


def keys(rows: Sequence[Row], prefix: str) -> list[str]:
    """The keys that begin with `prefix`, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row if isinstance(key, str) and key.startswith(prefix)))


def human(value: float | None, *, digits: int = 3) -> str:
    """A number for people: 0.693, 1,043, 1.2e-07; a dash for None."""
    if value is None:
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """Seconds as `96 s`, `12 min 5 s` or `3 h 20 min`."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
