"""What can go wrong, and who can mend it.

OrganzaError            every error that organza raises on purpose; the command line prints it without a traceback
├── UsageError          an option, a name or a combination that makes no sense: change the command
├── DataError           a data source that cannot be read or does not fit the recipe: change the data
├── MeasureError        samples or features from which a measure cannot be computed: give more or better ones
├── CheckpointError     a run folder or checkpoint that is missing, damaged or of another configuration
├── StorageError        the disk is full or the folder cannot be written: free space or choose another folder
├── DistributedError    another rank died or cannot be reached
└── DivergedError       training met non-finite numbers and could not recover
"""

from __future__ import annotations

import importlib
from types import ModuleType


class OrganzaError(Exception):
    """Base of every error that organza raises on purpose."""


class UsageError(OrganzaError):
    """An option, a name or a combination that makes no sense."""


class DataError(OrganzaError):
    """A data source that cannot be read or does not fit."""


class MeasureError(OrganzaError):
    """Samples or features from which a measure cannot be computed."""


class CheckpointError(OrganzaError):
    """A run folder or checkpoint that is missing, damaged or of another configuration."""


class StorageError(OrganzaError):
    """The disk is full or the folder cannot be written."""


class DistributedError(OrganzaError):
    """Another rank died or cannot be reached."""


class DivergedError(OrganzaError):
    """Training met non-finite numbers and could not recover."""


def cause(error: Exception) -> str:
    """Why something failed: what the system says, without the path, or else the error itself."""
    return getattr(error, "strerror", None) or str(error)


def require(module: str, *, extra: str) -> ModuleType:
    """Import a module that is no part of the core installation.

    Args:
        module: Dotted name of the module.
        extra: Which of organza's extras installs it: `metrics`, `perceptual`.

    Raises:
        UsageError: It is not there, or does not fit what else is installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        package = module.partition(".")[0]
        found = "is not installed" if getattr(error, "name", None) == package else f"cannot be imported ({error})"
        raise UsageError(f'{package} {found}, and is needed here: pip install "organza[{extra}]"') from error
