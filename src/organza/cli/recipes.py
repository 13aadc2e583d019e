"""organza recipes."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import final

from organza.cli.options import parse
from organza.errors import UsageError


@final
@dataclass(frozen=True, kw_only=True)
class Recipes:
    """What `organza recipes` takes."""

    names: bool = False
    """Only the names, one a line."""


TRANSLATE = "cyclegan, srgan, inpaint or pix2pix, by what the data is"


def main(args: list[str]) -> int:
    """Print the families."""
    if args and not args[0].startswith("-"):
        name = shlex.quote(args[0])
        raise UsageError(f"recipes lists them all; what {name} takes is listed by: organza train {name} --help")
    given = parse(Recipes, args, verb="recipes", description="List the families and their presets.")
    from organza.auto import Auto
    from organza.recipe import PLAIN
    from organza.recipes import RECIPES

    known = {"auto": Auto} | RECIPES
    if given.names:
        print("\n".join([*known, *PLAIN]))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("recipe", "makes", "presets", "what it is")
    for name, recipe in known.items():
        module = sys.modules[recipe.__module__]
        about = (module.__doc__ or "").strip().splitlines()[0]
        kinds = ", ".join(kind.key + "s" for kind in recipe.accepts)
        table.add_row(name, kinds, ", ".join(f"{name}:{preset}" for preset in getattr(module, "PRESETS", {})), about)
    for name, (base, implied) in PLAIN.items():
        table.add_row(name, "images", "", f"{base} with --pairs {implied['pairs']}" if base != "auto" else TRANSLATE)
    Console().print(table)
    return 0
