"""A treatment: back to the newest healthy checkpoint, with a change to the recipe, on the record.

The change is kept in run.json beside the fields that the run began with, with the sample count from which it holds:
started again with the same fields and changed at the same counts, the run repeats itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from organza import checkpoint, distributed
from organza.errors import CheckpointError, StorageError
from organza.game import Stop
from organza.run import Run, open_run, write_json


def prescribed(stop: Stop | None) -> Stop | None:
    """The stop of the first rank, on every rank, if it asks for a change; else None."""
    asked = {"reason": stop.reason, "change": stop.change, "since": stop.since} if stop and stop.change else {}
    told = json.loads(distributed.broadcast_text(json.dumps(asked)))
    return Stop(**told) if told else None


def prescribe(run: Run, stop: Stop) -> Run:
    """Put the change on the record and the checkpoints that are not healthy aside; the run as it is now.

    They move to `abandoned/` in the run folder. Called by every rank; the first one acts.
    """
    if distributed.is_main():
        healthy = [path for path in checkpoint.listed(run.checkpoints) if int(path.stem) < stop.since]
        changed = Run(run.folder, {**run.config, "interventions": [*run.interventions, entry(stop, 0)]})
        while healthy and not fits(changed, healthy[-1]):
            healthy.pop()
        samples = int(healthy[-1].stem) if healthy else 0
        try:
            for path in set(checkpoint.listed(run.checkpoints)) - set(healthy):
                path.rename(free_name(run, path.name))
            record = {**run.config, "interventions": [*run.interventions, entry(stop, samples)]}
            write_json(run.folder / "run.json", record)
            with (run.folder / "findings.jsonl").open("a") as file:
                file.write(json.dumps({"event": "treated", **entry(stop, samples)}) + "\n")
        except OSError as error:
            raise StorageError(f"cannot write the treatment into {run.folder}: {error}") from error
    distributed.broadcast_text("")  # the others wait until the folder is as it should be
    return open_run(run.folder)


def entry(stop: Stop, samples: int) -> dict[str, Any]:
    """What run.json keeps of a treatment."""
    return {"samples": samples, "fields": stop.change, "reason": stop.reason, "since": stop.since}


def fits(run: Run, path: Path) -> bool:
    """Whether a checkpoint is whole and its weights suit the recipe as it is now."""
    try:
        checkpoint.load_players(path, run.recipe.build(run.spec))
    except CheckpointError:
        return False
    return True


def free_name(run: Run, name: str) -> Path:
    """Where an abandoned checkpoint goes."""
    folder = run.folder / "abandoned"
    folder.mkdir(exist_ok=True)
    number = next(number for number in range(1, 10_000) if not (folder / f"{name}-{number}").exists())
    return folder / f"{name}-{number}"
