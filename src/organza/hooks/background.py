"""Work that may be slow or fail, such as talking to a service, done beside training in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import final

from organza.hooks.console import say


@final
class Background:
    """Does one job after another. A job that fails is reported the first time; the run goes on, and so do later jobs.

    Args:
        name: Who is at work, for messages.
        patience_s: How long `close` waits for what is left to do.
    """

    def __init__(self, name: str, *, patience_s: float) -> None:
        self.name, self.patience_s, self.has_failed = name, patience_s, False
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = Thread(target=self.work, name=name, daemon=True)
        self.thread.start()

    def add(self, job: Callable[[], None]) -> None:
        """Do this when everything before it is done."""
        self.jobs.put(job)

    def work(self) -> None:
        """What the thread does."""
        while (job := self.jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # whatever a foreign library raises must not end the run
                if not self.has_failed:
                    say(f"{self.name} failed, and the run goes on without it: {type(error).__name__}: {error}")
                self.has_failed = True

    def close(self) -> None:
        """Finish what is left to do, as far as patience allows."""
        self.jobs.put(None)
        self.thread.join(self.patience_s)
        if self.thread.is_alive():
            say(f"{self.name} was not done within {self.patience_s:g} s; the last it was told may be missing there")
