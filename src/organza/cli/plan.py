"""organza plan [RECIPE[:PRESET]] --data SRC."""

from __future__ import annotations

from dataclasses import dataclass

from organza.cli.options import RecipeOptions, parse_with_recipe

DESCRIPTION = """Estimate parameters, memory and time before training: organza plan [RECIPE[:PRESET]] [options]

A short real run is made on this machine and thrown away."""


@dataclass(frozen=True, kw_only=True)
class Plan(RecipeOptions):
    """What `organza plan` takes: the same as `organza train`."""


def main(args: list[str]) -> int:
    """Measure and print."""
    given, found, settings = parse_with_recipe(Plan, args, verb="plan", description=DESCRIPTION)
    from organza.assemble import foresee
    from organza.planning import estimate

    found, options = foresee(found, given.data, settings, given.options)
    for line in estimate(found.recipe, data=given.data, settings=settings, options=options):
        print(line, flush=True)
    return 0
