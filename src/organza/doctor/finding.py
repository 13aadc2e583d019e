"""What the doctor says: an illness by its name, since when, the numbers behind it, and the one change to try."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, final

from organza.data.options import DataOptions
from organza.recipe import find
from organza.settings import RunSettings

Level = Literal["warning", "error"]


@final
@dataclass(frozen=True)
class Evidence:
    """A number beside the threshold that it crossed."""

    name: str
    value: float
    threshold: float
    healthy: str
    """What is usual, in words: "0.8 to 1.2", "below 0.05"."""


@final
@dataclass(frozen=True)
class Change:
    """One change to try: values for fields of the recipe, options of the data or settings of the run."""

    fields: dict[str, Any] = field(default_factory=dict)
    """Recipe fields by name."""
    options: dict[str, Any] = field(default_factory=dict)
    """Fields of `DataOptions` or `RunSettings` by name."""
    recipe: str = ""
    """Another recipe to take instead, with its own fields."""
    advice: str = ""
    """What to do where no option can do it."""

    def words(self) -> str:
        """As one would say it."""
        parts = [f"{name} = {value}" for name, value in {**self.fields, **self.options}.items()]
        taken = f"train the recipe {self.recipe} instead" if self.recipe else ""
        return "; ".join(filter(None, [taken, ("set " + ", ".join(parts)) if parts else "", self.advice]))


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """One illness of a run."""

    name: str
    """Its name in the catalogue."""
    title: str
    """In a few words, for people."""
    level: Level
    since: int
    """Samples seen when it began."""
    until: int
    """Samples seen when it was last present."""
    evidence: tuple[Evidence, ...]
    why: str
    """What the numbers mean, in a sentence or two."""
    change: Change
    """The one thing to try first."""

    def line(self) -> str:
        """For a console: one line."""
        return f"{self.level}: {self.title} since {self.since:,} samples. {self.why} Try: {self.change.words()}"

    def as_json(self) -> dict[str, Any]:
        """For findings.jsonl."""
        return asdict(self)


def command_for(change: Change, config: dict[str, Any]) -> str:
    """The command that trains anew with the change, from the contents of run.json; empty if no option can do it."""
    if not (change.fields or change.options or change.recipe):
        return ""
    recipe, data, settings = config["recipe"], config["data"], config["settings"]
    name = recipe["name"] + (f":{recipe['preset']}" if recipe.get("preset") else "")
    given = {
        **({} if change.recipe else differences(recipe["fields"], asdict(find(name).recipe))),
        **differences(data["options"], asdict(DataOptions())),
        **differences(settings, asdict(RunSettings())),
    }
    words = ["organza", "train", change.recipe or name, "--data", data["source"]]
    for key, value in {**given, **change.fields, **change.options}.items():
        words += option(key, value) if value is not None and key not in ("run", "webhook") else []
    return shlex.join(words)


def differences(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that are not the defaults."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    return {key: value for key, value in values.items() if key in plain and plain[key] != value}


def option(name: str, value: Any) -> list[str]:
    """A field as the command line takes it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, (tuple, list)):
        return [f"--{flag}", *(f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in value)]
    return [f"--{flag}", f"{value:g}" if isinstance(value, float) else str(value)]
