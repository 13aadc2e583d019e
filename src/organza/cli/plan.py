"""organza plan [RECIPE[:PRESET]] --data SRC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from organza.cli.options import parse
from organza.data.options import DataOptions
from organza.settings import DEFAULT_RECIPE, RunSettings

DESCRIPTION = """Estimate parameters, memory and time before training: organza plan [RECIPE[:PRESET]] [options]

A few real steps are taken on this machine and thrown away."""


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `organza plan` takes: the same as `organza train`."""

    data: str = "mnist"
    """The data source."""
    settings: RunSettings = field(default_factory=RunSettings)
    options: DataOptions = field(default_factory=DataOptions)


def main(args: list[str]) -> int:
    """Measure and print."""
    name = args.pop(0) if args and not args[0].startswith("-") else None
    if name is None and ("-h" in args or "--help" in args):
        parse(Plan, args, verb="plan", description=DESCRIPTION)
    from dataclasses import make_dataclass

    from organza.planning import estimate
    from organza.recipe import find

    recipe = find(name or DEFAULT_RECIPE).recipe
    kind = make_dataclass("Plan", [("recipe", type(recipe), recipe)], bases=(Plan,), frozen=True, kw_only=True)
    given: Any = parse(kind, args, verb="plan", description=DESCRIPTION)
    print(estimate(given.recipe, data=given.data, settings=given.settings, options=given.options))
    return 0
