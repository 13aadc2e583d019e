"""From typed dataclasses and functions to options: names, types, defaults and docstrings are written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tyro

Result = TypeVar("Result")

CONFIG = (tyro.conf.OmitArgPrefixes,)


def parse(target: Callable[..., Result], args: list[str], *, verb: str, description: str, **values: Any) -> Result:
    """Call `target`, a dataclass or function, with what the arguments say.

    Args:
        target: Its signature and docstrings define the options.
        args: The arguments after the verb.
        verb: For the usage line.
        description: First lines of the help.
        values: `default=...`, as tyro takes it.
    """
    return tyro.cli(target, args=args, prog=f"organza {verb}", description=description, config=CONFIG, **values)
