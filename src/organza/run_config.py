"""What run.json says of a run, and where two of them differ."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from organza import __version__, checkpoint, devices
from organza.data.options import DataOptions
from organza.data.registry import absolute
from organza.data.spec import Spec
from organza.recipe import Found
from organza.settings import RunSettings

FORMAT = 1
CHANGEABLE = (
    *("name", "preset", "why", "run", "pause_at", "keep", "device", "devices", "micro_batch"),
    *("checkpoint_every", "sample_every", "log_every", "offline", "workers", "cache"),
    *("doctor", "doctor_every", "doctor_share", "track", "webhook", "evaluate_every", "patience"),
)
"""Entries of run.json that may differ when a run goes on: they do not change what is computed."""
PAIRING = ("to", "pairs", "paired", "direction")
ADDED = ("file_sha256", "count", "best_by", "clusters", "clusters_of", "hold_out", "grouped", *PAIRING)
"""Entries that older run.json lack."""


def describe(
    *, found: Found, data: str, options: DataOptions, settings: RunSettings, spec: Spec, count: int
) -> dict[str, Any]:
    """The contents of run.json."""
    recipe, is_file = found.recipe, found.name.endswith(".py")
    device = devices.choose(settings.device)
    precision = devices.precision(settings.precision, device)
    config = {
        "format": FORMAT,
        "recipe": {
            "name": found.name,
            "preset": found.preset,
            "class": type(recipe).__name__,
            "file_sha256": checkpoint.digest(Path(found.name)) if is_file else None,
            "fields": asdict(recipe),
            "why": found.why,
        },
        "data": {
            "source": absolute(data),
            "count": count,
            "options": asdict(options) | {"to": options.to and absolute(options.to)},
        },
        "spec": {"kind": spec.key, **asdict(spec)},
        "settings": {key: value for key, value in asdict(settings).items() if key not in ("run", "pause_at")},
        "chosen": {"device": device, "precision": str(precision).removeprefix("torch.")},
        "versions": {"organza": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "launch": os.environ.get("TORCHELASTIC_RUN_ID"),
    }
    return json.loads(json.dumps(config, default=str))


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What keeps a run from going on with another configuration: entry, value in the run, value now."""
    found = []
    sections = ("recipe", "data", "spec", "settings", "origin")
    before, now = (flatten({name: entries.get(name) for name in sections}) for entries in (before, now))
    is_other_family = before.get("recipe.class") != now.get("recipe.class")  # whose fields would fill a page
    for key in sorted(before.keys() | now.keys()):
        name = key.split(".")[-1]
        is_compared = name not in CHANGEABLE and (name not in ADDED or key in before)
        is_compared = is_compared and not (is_other_family and key.startswith("recipe.fields."))
        if is_compared and before.get(key) != now.get(key):
            found.append(f"{name} ({before.get(key)!r} in the run, {now.get(key)!r} now)")
    return found


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        flat |= flatten(entry, f"{prefix}{key}.") if isinstance(entry, dict) else {f"{prefix}{key}": entry}
    return flat
