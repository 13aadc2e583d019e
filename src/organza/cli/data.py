"""organza data check SRC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, final

import tyro

from organza.cli.options import OptionsGroup, parse
from organza.data.options import DataOptions

DESCRIPTION = "Look at a data source before training: organza data check SRC. Exit code 1 if it is not fit to train on."


@final
@dataclass(frozen=True, kw_only=True)
class Data:
    """What `organza data` takes."""

    action: Annotated[Literal["check"], tyro.conf.Positional]
    """check: counts, sizes, labels and their balance, duplicates, bad files by name, advice."""
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """A name or a path, as for organza train --data."""
    options: OptionsGroup = field(default_factory=DataOptions)


def main(args: list[str]) -> int:
    """Check a source and print what was found."""
    given = parse(Data, args, verb="data", description=DESCRIPTION)
    from organza.data.check import check, render

    found = check(given.source, given.options)
    print(render(found))
    return 0 if found.ok else 1
