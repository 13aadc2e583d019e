"""organza train [RECIPE[:PRESET]] [options]."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from organza.cli.options import RecipeOptions, parse_with_recipe
from organza.data.options import DataOptions
from organza.settings import RunSettings

DESCRIPTION = """Train a GAN on a data source: organza train [RECIPE[:PRESET]] [options]

RECIPE is a family (organza recipes), a file of yours or an import path. Its own options are listed by: organza
train RECIPE --help. Without one, auto chooses family and settings from the data and the machine, and says why.
The same command on the same --run goes on with it."""


@dataclass(frozen=True, kw_only=True)
class Train(RecipeOptions):
    """What `organza train` takes, the options of the recipe aside."""

    dry_run: bool = False
    """Print the resolved configuration and stop."""


def main(args: list[str]) -> int:
    """Train, in this process or in several."""
    given, found, settings = parse_with_recipe(Train, args, verb="train", description=DESCRIPTION)
    if given.dry_run:
        from organza.assemble import foresee

        found, options = foresee(found, given.data, settings, given.options)
        return show(given.data, settings, options, found.recipe)
    from organza.cli.launch import launch, needs_launch

    if needs_launch(settings.devices):
        return launch(settings.devices, ["train", *args])
    from organza.doctor.visit import exit_code, visit
    from organza.session import start

    return exit_code(visit(start(found, data=given.data, settings=settings, options=given.options)))


def show(data: str, settings: RunSettings, options: DataOptions, recipe: Any) -> int:
    """Print what would be done."""
    print(f"data = {data!r}")
    for title, part in (("recipe", recipe), ("settings", settings), ("options", options)):
        print(f"[{title}: {type(part).__name__}]")
        for key, value in asdict(part).items():
            print(f"{key} = {value!r}")
    return 0
