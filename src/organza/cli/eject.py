"""organza eject RECIPE."""

from __future__ import annotations

import inspect
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional, final

import tyro

from organza.cli.options import parse
from organza.errors import StorageError, UsageError


@final
@dataclass(frozen=True, kw_only=True)
class Eject:
    """What `organza eject` takes."""

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """A built-in family."""
    out: Optional[Path] = None
    """File to write; default: my_RECIPE.py in the current folder."""


def main(args: list[str]) -> int:
    """Copy the file; it runs as it is."""
    given = parse(Eject, args, verb="eject", description="Copy a recipe into a file of your own, ready to edit.")
    from organza.recipe import find

    if given.recipe in ("auto", "translate"):
        raise UsageError(
            f"{given.recipe} has no networks of its own, it chooses another family; take one: organza eject r3gan"
        )
    found = find(given.recipe)
    recipe, more = type(found.recipe), "".join(f" --{key} {value}" for key, value in found.data.items())
    out = given.out or Path(f"my_{given.recipe.partition(':')[0]}.py")
    if out.exists():
        raise StorageError(f"{out} is there already; choose another file with --out FILE")
    try:
        out.write_text(inspect.getsource(sys.modules[recipe.__module__]))
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}") from error
    prefix = "" if out.is_absolute() else "./"
    print(f"{out} written; edit it and run: organza train {shlex.quote(f'{prefix}{out}')}{more}")
    return 0
