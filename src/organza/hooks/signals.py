"""SIGINT and SIGTERM: finish the step, save, and leave; or just leave."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, final

from organza.game import Report, Stop


@final
class Signals:
    """While it is entered, the first signal asks the run to end after the step; a second Ctrl-C ends it at once.

    Args:
        is_patient: Else the first signal ends it at once, for there is nothing to save.
    """

    def __init__(self, *, is_patient: bool = True) -> None:
        self.is_patient = is_patient
        self.received: signal.Signals | None = None
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal. Under torchrun the launcher repeats it, so only a lone process can be cut short."""
        if not self.is_patient:
            raise KeyboardInterrupt(*[number] * (number != signal.SIGINT))
        again = self.received is not None and number == signal.SIGINT and "RANK" not in os.environ
        self.received = signal.Signals(number)
        if again:
            raise KeyboardInterrupt
        os.write(2, b"\nstopping after this step; press Ctrl-C again to leave without saving\n")

    def __call__(self, report: Report) -> Stop | None:
        """The hook: stop if a signal has come."""
        return Stop(self.received.name) if self.received else None

    def raise_if_received(self) -> None:
        """Interrupt what called, now that all is saved; the command line makes the signal its exit code."""
        if self.received:
            raise KeyboardInterrupt(self.received)
