"""What the doctor knows about a run: the rows of metrics.jsonl and the contents of run.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, final

from organza.errors import OrganzaError
from organza.recipe import find

Row = dict[str, Any]
WARM_STEPS = 200
"""Before so many steps nobody has learned anything."""
IN_A_ROW = 3
"""Sick examinations that make most illnesses; fewer are a bad day."""


def turns_of(row: Row) -> set[str]:
    """Names of the turns whose losses a row holds."""
    return {key.split("/")[1] for key in row if key.startswith("loss/")}


@final
@dataclass(frozen=True)
class History:
    """A run so far. Everything a detector may look at."""

    rows: Sequence[Row]
    """Of metrics.jsonl, oldest first."""
    config: dict[str, Any]
    """Of run.json."""

    @cached_property
    def exams(self) -> list[Row]:
        """The rows that hold an examination."""
        return [row for row in self.rows if "health/spread" in row]

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The recipe's fields, with what treatments have changed."""
        fields = dict(self.config.get("recipe", {}).get("fields", {}))
        for intervention in self.config.get("interventions", ()):
            fields |= intervention["fields"]
        return fields

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values of the fields in the recipe's preset; empty if it cannot be found any more."""
        recipe = self.config.get("recipe", {})
        try:
            return asdict(find(recipe["name"] + (f":{recipe['preset']}" if recipe.get("preset") else "")).recipe)
        except (OrganzaError, KeyError):
            return {}

    @property
    def is_warm(self) -> bool:
        """Whether the players have had time to learn something: before, any generator makes all samples alike."""
        return self.steps >= WARM_STEPS

    @property
    def steps(self) -> int:
        """Taken; where turns come later, such as a critic's after pretraining, they count from there."""
        played, began = [row for row in self.rows if turns_of(row)], 0
        if played:
            first = next(row for row in played if turns_of(played[-1]) <= turns_of(row))
            began = 0 if first is played[0] else first.get("step", 0)
        return self.rows[-1].get("step", 0) - began if self.rows else 0

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes of the data; none for groups that organza has found."""
        spec = self.config.get("spec", {})
        return () if spec.get("grouped") else spec.get("classes", ())

    def recent(self, key: str, count: int) -> list[float]:
        """The last `count` finite values of a column, oldest first; fewer if there are not so many."""
        values: list[float] = []
        for row in reversed(self.rows):
            value = number(row.get(key))
            if value is not None:
                values.append(value)
                if len(values) == count:
                    break
        return values[::-1]

    def between(self, key: str, period: tuple[int, int]) -> list[float]:
        """The finite values of a column from one sample count to another."""
        rows = (row for row in self.rows if period[0] <= row.get("samples", 0) <= period[1])
        return [value for row in rows if (value := number(row.get(key))) is not None]

    def is_far(self, times: float) -> bool:
        """Whether the newest fakes are so many times as far from the data as real samples from one another."""
        return self.remoteness > times

    @property
    def remoteness(self) -> float:
        """How many times as far the newest fakes are from the data as real samples from one another; 0: not known."""
        distance, floor = self.recent("health/distance", 1), self.recent("health/floor", 1)
        return distance[0] / max(floor[0], 1e-12) if distance and floor else 0.0

    def first(self, key: str) -> float:
        """The first finite value of a column; NaN if there is none."""
        return next((value for row in self.rows if (value := number(row.get(key))) is not None), math.nan)

    def best(self, key: str) -> float:
        """The lowest value of a column; NaN if there is none."""
        return min((value for row in self.rows if (value := number(row.get(key))) is not None), default=math.nan)

    def lasting(
        self, sick: Callable[[Row], bool | None], *, rows: Sequence[Row], times: int = IN_A_ROW
    ) -> tuple[int, int] | None:
        """Since and until when the newest rows are sick without a break, if at least `times` of them are.

        Args:
            sick: Of a row; None where the row cannot tell.
            rows: `self.rows` or `self.exams`.
            times: So many in a row make an illness; fewer are a bad day.

        Returns:
            Samples seen at the first and at the last of them, or None.
        """
        found: list[int] = []
        for row in reversed(rows):
            state = sick(row)
            if state is None:
                continue
            if not state:
                break
            found.append(int(row.get("samples", 0)))
        return (found[-1], found[0]) if len(found) >= times else None


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def mean(values: Sequence[float]) -> float:
    """Their mean; there is at least one."""
    return sum(values) / len(values)


def median(values: Sequence[float]) -> float:
    """The middle one; there is at least one."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
