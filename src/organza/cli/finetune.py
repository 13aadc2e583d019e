"""organza finetune RUN [options]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from organza.cli.options import OptionsGroup, RunFolder, SettingsGroup, both_in, parse, with_fields
from organza.data.options import DataOptions
from organza.errors import UsageError
from organza.settings import RunSettings

DESCRIPTION = """Begin a new run from the weights of another: new clock, new optimizers, other data if given.

The options of its recipe, such as --generator-lr, are those of the run unless given; they are listed by:
organza finetune RUN --help. Of the same data the samples that the run has not seen stay unseen."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """What `organza finetune` takes."""

    origin: RunFolder
    """The run folder to begin from."""
    data: Optional[str] = None
    """Source to train on; default: the same as before. It must have the same channels and classes; without --resize,
    images are brought to the size that the run makes."""
    settings: SettingsGroup = field(default_factory=RunSettings)
    options: OptionsGroup = field(default_factory=DataOptions)


def main(args: list[str]) -> int:
    """Fine-tune, in this process or in several."""
    recipe, kind = None, Finetune
    if args and not args[0].startswith("-"):
        from organza.run import open_run

        recipe = open_run(args[0]).recipe
        if both_in(Finetune, recipe):  # a recipe of the user's own, which goes on as it is
            recipe = None
        else:
            kind = with_fields(Finetune, recipe)
    elif args and not {"-h", "--help"} & set(args):
        raise UsageError(f"name the run first: organza finetune RUN {args[0]} ...")
    given: Any = parse(kind, args, verb="finetune", description=DESCRIPTION)
    from organza.cli.launch import launch, needs_launch

    if needs_launch(given.settings.devices):
        return launch(given.settings.devices, ["finetune", *args])
    from organza.doctor.visit import exit_code, visit
    from organza.session import finetune

    changes: dict[str, Any] = {
        "recipe": given.recipe if recipe else None,
        "options": given.options if given.data is not None or given.options != DataOptions() else None,
    }
    return exit_code(visit(finetune(given.origin, data=given.data, settings=given.settings, **changes)))
