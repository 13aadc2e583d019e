"""Floors: the scores of real samples against real ones, kept since they are the same every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from organza import __version__
from organza.errors import MeasureError
from organza.metrics.measures import Computed, Measure, Sample, Score, compute
from organza.pictures import save_aside


def floors(cache: Path, table: dict[str, Measure], keys: Sequence[str], a: Sample, b: Sample) -> dict[str, Computed]:
    """What `compute` says of two sets of real samples; empty if they are too few. A damaged file is made anew."""
    parameters = [[key, table[key].group.parameters] for key in keys]
    digest = hashlib.sha256(json.dumps([__version__, parameters]).encode())
    for part in (a.features, a.probabilities, a.labels, b.features, b.probabilities, b.labels):
        digest.update(b"none" if part is None else np.ascontiguousarray(part).data)
    path = cache / "floors" / f"{digest.hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(path.read_text())
        return {key: (Score(**kept[key][0]), *kept[key][1:]) for key in keys}
    try:
        found = compute(table, keys, a, b)
    except MeasureError:
        return {}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({key: (asdict(score), n_real, n_fake) for key, (score, n_real, n_fake) in found.items()})
        save_aside(path, lambda aside: aside.write_text(text))
    return found
