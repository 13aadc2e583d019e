"""What every tracker does, and what it is told of a run at the start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

PROJECT = "organza"
"""What runs are filed under where a service wants a name for that."""


@final
@dataclass(frozen=True)
class Part:
    """What a tracker is to follow: a run from its start, or from where it goes on."""

    folder: Path
    config: dict[str, Any]
    """The contents of run.json that may leave the machine."""
    id: str | None
    """What the tracker called the run before; None: it is new to it."""
    samples: int
    """Samples seen so far."""

    @property
    def name(self) -> str:
        """For people."""
        return self.folder.resolve().name


class Tracker(ABC):
    """A service that is told of a run. After `__init__` everything is called from one thread, not the main one."""

    id: str
    """What continues the same run later."""

    @classmethod
    @abstractmethod
    def check(cls) -> None:
        """Raise UsageError if the service cannot be used here; called before anything else is done."""

    @abstractmethod
    def __init__(self, part: Part) -> None:
        """Begin, or go on; the configuration goes in as hyper-parameters."""

    @abstractmethod
    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        """The numbers of a row of metrics.jsonl."""

    @abstractmethod
    def image(self, name: str, path: Path, samples: int) -> None:
        """A picture that lies in a PNG file."""

    @abstractmethod
    def finding(self, text: str, samples: int) -> None:
        """Something to read: the doctor's word, a refused step."""

    @abstractmethod
    def close(self) -> None:
        """The run has ended."""


def simple(config: dict[str, Any]) -> dict[str, Any]:
    """The same with lists as text: not every service takes them."""
    return {
        key: simple(value) if isinstance(value, dict) else str(value) if isinstance(value, list) else value
        for key, value in config.items()
    }
