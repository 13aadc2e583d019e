"""organza compare RUN RUN ..."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

import tyro

from organza.cli.options import parse

DESCRIPTION = """Rank runs by the newest records of each score in their scores.jsonl.

A run's place is one more than the number of runs that are clearly better: by more than twice the standard error of the
difference. Records that differ in anything but the model are not ranked; what differs is named. Exit code 1 if nothing
could be ranked."""


@final
@dataclass(frozen=True, kw_only=True)
class Compare:
    """What `organza compare` takes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN ...")]
    """Run folders, or files of records."""


def main(args: list[str]) -> int:
    """Rank what is alike, and say of the rest why it is not."""
    given = parse(Compare, args, verb="compare", description=DESCRIPTION)
    from rich.console import Console

    from organza.errors import MeasureError, UsageError
    from organza.metrics.record import comparable, read
    from organza.report.scores import WIDTH, overview

    if len(given.runs) < 2:
        raise UsageError(f"comparing needs two runs or more; got {len(given.runs)}")
    if unscored := [path for path in given.runs if path.is_dir() and not (path / "scores.jsonl").exists()]:
        commands = " && ".join(f"organza evaluate {shlex.quote(str(path))}" for path in unscored)
        raise MeasureError(f"no scores yet in {', '.join(map(str, unscored))}. Score first: {commands}")
    groups, refused = comparable([read(path / "scores.jsonl" if path.is_dir() else path) for path in given.runs])
    console = Console() if Console().is_terminal else Console(width=WIDTH)
    if groups:
        console.print(overview(groups))
    for line in refused:
        print(line)
    return 0 if groups else 1
