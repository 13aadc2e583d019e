"""The doctor's findings as JSON to an address of the user's: a chat, a pager, a script."""

from __future__ import annotations

import json
from typing import Any, final
from urllib.request import Request, urlopen

from organza import __version__
from organza.hooks.background import Background

TIMEOUT_S = 5


@final
class Webhook:
    """POSTs each entry of findings.jsonl, with the name of the run beside it.

    Args:
        url: Where to; http or https.
        run: The run folder, as the user knows it.
    """

    def __init__(self, url: str, *, run: str) -> None:
        self.url, self.run = url, run
        self.background = Background("webhook", patience_s=2 * TIMEOUT_S)

    def send(self, entry: dict[str, Any]) -> None:
        """Send an entry soon; returns at once."""
        self.background.add(lambda: self.post(entry))

    def post(self, entry: dict[str, Any]) -> None:
        """Send an entry now.

        Raises:
            OSError: Nobody answered in time, or with an error.
        """
        body = json.dumps(as_plain({"run": self.run, **entry}), allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"organza/{__version__}"}
        with urlopen(Request(self.url, data=body, headers=headers, method="POST"), timeout=TIMEOUT_S):
            pass

    def close(self) -> None:
        """Send what is left."""
        self.background.close()


def as_plain(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with non-finite numbers as text, since JSON has none."""
    return json.loads(json.dumps(entry), parse_constant=str)
