"""From typed dataclasses to options: names, types, defaults and docstrings are written once."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import docstring_parser
import tyro
from docstring_parser import Docstring

from organza.data.options import DataOptions
from organza.errors import UsageError
from organza.settings import DEFAULT_MINUTES, DEFAULT_RECIPE, RunSettings

if TYPE_CHECKING:
    from organza.recipe import Found, Recipe

Result = TypeVar("Result")

RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
"""The first argument of verbs that take a run."""
CONFIG = (tyro.conf.OmitArgPrefixes,)
SettingsGroup = Annotated[RunSettings, tyro.conf.arg(name="run")]
"""Run settings under the title `run options`."""
OptionsGroup = Annotated[DataOptions, tyro.conf.arg(name="data")]
"""Data options under the title `data options`."""


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What verbs that take a recipe share; the recipe's own fields are added to it."""

    data: str = "mnist"
    """mnist, fashion-mnist, stacked-mnist, ring8, grid25, moons, gaussian1d, or a path: folder, zip, npz, npy, idx. For
    image to image edges-to-digits, gray-to-colour-digits, small-to-digits, digits-to-slanted, or folders of pairs."""
    settings: SettingsGroup = field(default_factory=RunSettings)
    options: OptionsGroup = field(default_factory=DataOptions)


def parse(target: Callable[..., Result], args: list[str], *, verb: str, description: str) -> Result:
    """Build `target`, a dataclass, from the arguments after the verb; its docstrings are the help."""
    return tyro.cli(target, args=args, prog=f"organza {verb}", description=description, config=CONFIG)


def in_whole_lines(kind: type, read: Callable[[type], Docstring] = docstring_parser.parse_from_object) -> Docstring:
    """The docstrings of a class, those of its fields in one line each: tyro would break them where the source does."""
    found = read(kind)
    for entry in found.params:
        entry.description = " ".join((entry.description or "").split())
    return found


docstring_parser.parse_from_object = in_whole_lines  # tyro reads docstrings by it, and has no setting for this


def parse_with_recipe(
    target: type[RecipeOptions], args: list[str], *, verb: str, description: str
) -> tuple[Any, Found, RunSettings]:
    """Build `target` from `[RECIPE[:PRESET]] [options]`, where the recipe's fields are options too.

    Returns:
        The options, the recipe with its fields set, and the run's settings: plain `organza VERB` means two minutes.
    """
    name = args[0] if args and not args[0].startswith("-") else None
    rest = args[1:] if name else args
    if name is None and ("-h" in args or "--help" in args):
        parse(target, rest, verb=verb, description=description)
    from organza.recipe import find

    if name is None:
        refuse_late_recipe(args, target, verb=verb)
    found = find(name or DEFAULT_RECIPE)
    if both := both_in(target, found.recipe):
        raise UsageError(
            f"{type(found.recipe).__name__} has fields that are options of every run: rename {', '.join(both)}"
        )
    kind = with_fields(target, found.recipe)
    if name in (None, "auto"):
        refuse_family_options(rest, known=names(kind, RunSettings, DataOptions, type(found.recipe)), verb=verb)
    given: Any = parse(kind, rest, verb=f"{verb} {name or ''}".strip(), description=description)
    settings: RunSettings = given.settings
    if name is None and settings.samples is None and settings.epochs is None and settings.minutes is None:
        settings = replace(settings, minutes=DEFAULT_MINUTES)
        found = replace(
            found, why=(f"{DEFAULT_MINUTES:g} minutes, since no budget is given; with its start and report two",)
        )
    return given, replace(found, recipe=given.recipe), settings


def both_in(target: type, recipe: Recipe) -> list[str]:
    """Fields of the recipe that are options of the verb or of every run, too."""
    return sorted(names(target, RunSettings, DataOptions) & names(type(recipe)))


def with_fields(target: type, recipe: Recipe) -> type:
    """`target` with an entry `recipe`, by default this one, whose fields are options too."""
    own = [("recipe", type(recipe), recipe)]
    return make_dataclass(target.__name__, own, bases=(target,), frozen=True, kw_only=True)


def names(*kinds: type) -> set[str]:
    """The fields of dataclasses."""
    return {entry.name for kind in kinds for entry in fields(kind)}


def refuse_late_recipe(args: list[str], target: type, *, verb: str) -> None:
    """Raise if a word that is no value of an option names a recipe."""
    from organza.recipe import PLAIN
    from organza.recipes import RECIPES

    kinds = (target, RunSettings, DataOptions)
    flags = {f"--{entry.name.replace('_', '-')}" for kind in kinds for entry in fields(kind) if entry.type == "bool"}
    for index, (before, word) in enumerate(pairwise(args), start=1):
        is_whole = before in flags or before.startswith("--no-") or "=" in before  # an option without a value to come
        if (is_whole or not before.startswith("-")) and word.partition(":")[0] in ("auto", *RECIPES, *PLAIN):
            meant = shlex.join(["organza", verb, word, *args[:index], *args[index + 1 :]])
            raise UsageError(f"{word} names a recipe, and that comes first: {meant}")


def refuse_family_options(args: list[str], *, known: set[str], verb: str) -> None:
    """Raise if an option belongs to a family that the user must name first."""
    from organza.recipes import RECIPES

    for option in (arg.partition("=")[0] for arg in args if arg.startswith("--")):
        field_name = option[2:].removeprefix("no-").replace("-", "_")
        families = [family for family, kind in RECIPES.items() if field_name in names(kind)]
        if field_name not in known and families:
            family = "r3gan:fast" if "r3gan" in families else families[0]
            raise UsageError(
                f"{option} is an option of families, and without one auto chooses its settings itself; name the "
                f"family: organza {verb} {family} {option} ... (organza train --dry-run shows what auto takes)"
            )
