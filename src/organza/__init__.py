"""organza: train, watch, judge, explore and ship generative adversarial networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from organza.data import DataOptions as DataOptions
    from organza.game import Batch as Batch
    from organza.game import Clock as Clock
    from organza.game import Game as Game
    from organza.game import Loss as Loss
    from organza.game import Player as Player
    from organza.game import Report as Report
    from organza.game import Request as Request
    from organza.game import Stop as Stop
    from organza.game import Turn as Turn
    from organza.recipe import Recipe as Recipe
    from organza.recipe import find as find
    from organza.run import Run as Run
    from organza.run import open_run as open  # noqa: F401
    from organza.scoring import evaluate as evaluate
    from organza.session import finetune as finetune
    from organza.session import resume as resume
    from organza.session import train as train
    from organza.settings import RunSettings as RunSettings

_HOMES = {
    "train": "session",
    "resume": "session",
    "finetune": "session",
    "evaluate": "scoring",
    "open": "run:open_run",
    "Run": "run",
    "RunSettings": "settings",
    "DataOptions": "data.options",
    "Recipe": "recipe",
    "find": "recipe",
    "Game": "game",
    "Player": "game",
    "Turn": "game",
    "Loss": "game",
    "Batch": "game",
    "Clock": "game",
    "Request": "game",
    "Report": "game",
    "Stop": "game",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that `organza --help` need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'organza' has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(f"organza.{module}"), attribute or name)


def __dir__() -> list[str]:
    """For completion in a shell or notebook."""
    return [*__all__, "__version__"]
