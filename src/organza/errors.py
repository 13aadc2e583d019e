"""What can go wrong, and who can mend it.

OrganzaError            every error that organza raises on purpose; the command line prints it without a traceback
├── UsageError          an option, a name or a combination that makes no sense: change the command
├── DataError           a data source that cannot be read or does not fit the recipe: change the data
├── CheckpointError     a run folder or checkpoint that is missing, damaged or of another configuration
├── StorageError        the disk is full or the folder cannot be written: free space or choose another folder
├── DistributedError    another rank died or cannot be reached
└── DivergedError       training met non-finite numbers and could not recover
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
