"""What can go wrong, and who can mend it.

OrganzaError            every error that organza raises on purpose; the command line prints it without a traceback
├── UsageError          an option, a name or a combination that makes no sense: change the command
├── DataError           a data source that cannot be read or does not fit the recipe: change the data
├── CheckpointError     a run folder or checkpoint that is missing, damaged or of another configuration
├── StorageError        the disk is full or the folder cannot be written: free space or choose another folder
├── DistributedError    another rank died or cannot be reached
├── DivergedError       training met non-finite numbers and could not recover
└── MissingExtraError   an optional dependency is not installed; the message holds the pip command
"""


class OrganzaError(Exception):
    """Base of every error that organza raises on purpose."""


class UsageError(OrganzaError):
    """An option, a name or a combination that makes no sense."""


class DataError(OrganzaError):
    """A data source that cannot be read or does not fit."""


class CheckpointError(OrganzaError):
    """A run folder or checkpoint that is missing, damaged or of another configuration."""


class StorageError(OrganzaError):
    """The disk is full or the folder cannot be written."""


class DistributedError(OrganzaError):
    """Another rank died or cannot be reached."""


class DivergedError(OrganzaError):
    """Training met non-finite numbers and could not recover."""


class MissingExtraError(OrganzaError):
    """An optional dependency is not installed."""


def require_extra(module: str, extra: str) -> None:
    """Fail with the exact pip command unless `module` can be imported."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingExtraError(f'This needs {module}, which is not installed. Run: pip install "organza[{extra}]"')
