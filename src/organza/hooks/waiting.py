"""How long training waits for its data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, final

from organza.game import Batch, Report
from organza.trainer import Data


@final
class Waiting:
    """A data stream that measures the time until each batch is there."""

    def __init__(self, data: Data) -> None:
        self.data, self.waited_s, self.since = data, 0.0, time.monotonic()

    def __call__(self, start: int) -> Iterator[Batch]:
        """The stream from a position on."""
        batches = self.data(start)
        while True:
            began = time.monotonic()
            batch = next(batches)
            self.waited_s += time.monotonic() - began
            yield batch

    def share(self, report: Report) -> dict[str, Any]:
        """The share of the time since the last call that was spent waiting, as a column of metrics.jsonl."""
        now = time.monotonic()
        share = self.waited_s / max(now - self.since, 1e-9)
        self.waited_s, self.since = 0.0, now
        return {"data_wait": round(share, 4)}
