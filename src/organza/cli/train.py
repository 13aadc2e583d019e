"""organza train [RECIPE[:PRESET]] [options]."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass, replace
from typing import Any, final

from organza.cli.options import parse
from organza.data.options import DataOptions
from organza.settings import DEFAULT_MINUTES, DEFAULT_RECIPE, RunSettings

DESCRIPTION = """Train a GAN on a data source: organza train [RECIPE[:PRESET]] [options]

RECIPE is a family (organza recipes), a file of yours or an import path. Its own options, such as
--batch, are listed by: organza train RECIPE --help. The same command on the same --run goes on with it."""


@final
@dataclass(frozen=True, kw_only=True)
class Train:
    """What `organza train` takes, the options of the recipe aside."""

    data: str = "mnist"
    """mnist, fashion-mnist, ring8, grid25, moons, gaussian1d, or a path: folder, .zip, .npz, .npy, idx."""
    settings: RunSettings = field(default_factory=RunSettings)
    options: DataOptions = field(default_factory=DataOptions)
    dry_run: bool = False
    """Print the resolved configuration and stop."""


def main(args: list[str]) -> int:
    """Train, in this process or in several."""
    name = args.pop(0) if args and not args[0].startswith("-") else None
    if name is None and ("-h" in args or "--help" in args):
        parse(Train, args, verb="train", description=DESCRIPTION)
    from organza.recipe import find

    found = find(name or DEFAULT_RECIPE)
    kind = make_dataclass(
        "Train", [("recipe", type(found.recipe), found.recipe)], bases=(Train,), frozen=True, kw_only=True
    )
    given: Any = parse(kind, args, verb=f"train {name or ''}".strip(), description=DESCRIPTION)
    settings: RunSettings = given.settings
    if name is None and settings.samples is None and settings.epochs is None and settings.minutes is None:
        settings = replace(settings, minutes=DEFAULT_MINUTES)
    found = replace(found, recipe=given.recipe)
    if given.dry_run:
        return show(given.data, settings, given.options, found.recipe)
    from organza.cli.launch import launch, needs_launch

    if needs_launch(settings.devices):
        return launch(settings.devices, ["train", *([name] if name else []), *args])
    from organza.session import start

    start(found, data=given.data, settings=settings, options=given.options)
    return 0


def show(data: str, settings: RunSettings, options: DataOptions, recipe: Any) -> int:
    """Print what would be done."""
    from dataclasses import asdict

    print(f"data = {data!r}")
    for title, part in (("recipe", recipe), ("settings", settings), ("options", options)):
        print(f"[{title}: {type(part).__name__}]")
        for key, value in asdict(part).items():
            print(f"{key} = {value!r}")
    return 0
