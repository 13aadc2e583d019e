"""What a run will cost: parameters, memory and time, from a run of a few steps that is thrown away.

It is a whole run, in a temporary folder: the doctor examines it, samples are drawn and scored, checkpoints and a report
are written. On a CPU these take more memory than the steps of a small network do. Its budget is so short that it comes
to the end of every schedule, for a network that grows costs most there.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from organza.assemble import build, open_data, prepare
from organza.budgets import budget_of
from organza.data import DataOptions
from organza.game import Game, Player, Report
from organza.hooks.console import clock_face, per_second
from organza.hooks.signals import Signals
from organza.playing import carry_out
from organza.recipe import Recipe, named
from organza.run import create_run
from organza.settings import RunSettings

STEPS = 8
"""Of the run that is thrown away."""
EXAMINED = 4
"""Steps between examinations, which are of two kinds in turn."""


def estimate(recipe: Recipe, *, data: str, settings: RunSettings, options: DataOptions) -> Iterator[str]:
    """A table of what training this recipe on this data takes on this machine: its lines, each once it is known.

    The memory is that of a process that has done nothing before.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came.
    """
    with TemporaryDirectory(prefix="organza-plan-") as folder, Signals(is_patient=False) as signals:
        with redirect_stdout(StringIO()):
            device, source = prepare(settings), open_data(data, options)
            recipe.fetch(offline=options.offline)
            game = build(recipe, source, settings, weights=None)
        shape = " x ".join(map(str, source.spec.shape))
        yield f"{'data':<12} {len(source):,} samples of {shape}, {source.spec.num_classes} classes"
        for name, player in game.players.items():
            yield f"{name:<12} {count(player)}"
        found = named(recipe)
        yield f"measuring {STEPS} steps of {found.name} on {source.name} ..."
        drawn = recipe.batch * (1 + sum(turn.repeats - 1 for turn in game.turns))
        trial = shortened(settings, drawn=drawn, folder=Path(folder) / "run")
        run = create_run(
            found=found,
            data=data,
            data_name=source.name,
            options=options,
            settings=trial,
            spec=source.spec,
            count=len(source),
        )
        seen: list[tuple[int, float]] = []

        def watch(report: Report) -> None:
            seen.append((report.clock.samples, time.perf_counter()))

        with redirect_stdout(StringIO()):
            carry_out(run, game, recipe, source, trial, device=device, signals=signals, hooks=[watch])
    pace, budget = pace_of(seen, examined=trial.doctor_every), budget_of(settings, recipe, len(source))
    yield f"{'state':<12} {state_bytes(game) / 2**20:,.0f} MiB of weights, averages and optimizer state"
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated(device)
        yield f"{'on ' + device:<12} {peak / 2**20:,.0f} MiB of tensors at the peak of a run"
    yield f"{'memory':<12} {peak_bytes() / 2**20:,.0f} MiB at the peak of a run, on the host"
    yield f"{'pace':<12} {per_second(pace)}"
    if budget.samples:
        yield f"{'time':<12} {clock_face(budget.samples / pace)} for {budget.samples:,} samples"
    else:
        yield f"{'samples':<12} about {pace * 60 * (budget.minutes or 0):,.0f} in {budget.minutes:g} minutes"


def shortened(settings: RunSettings, *, drawn: int, folder: Path) -> RunSettings:
    """The settings of a run of a few steps, each of `drawn` samples, that does once or twice whatever a long one does.

    Nobody outside hears of it, and the doctor does not interfere.
    """
    samples, examined = STEPS * drawn, EXAMINED * drawn
    return replace(
        settings,
        run=folder,
        samples=samples,
        epochs=None,
        minutes=None,
        pause_at=None,
        checkpoint_every=samples,
        sample_every=samples,
        evaluate_every=samples if settings.evaluate_every else None,
        patience=None,
        log_every=examined,
        doctor="off" if settings.doctor == "off" else "warn",
        doctor_every=examined,
        doctor_share=1.0,
        track=(),
        webhook=None,
    )


def pace_of(seen: list[tuple[int, float]], *, examined: int) -> float:
    """Samples per second, from the samples and seconds at the end of each step; examinations are not counted."""
    steps = [(old, new) for old, new in itertools.pairwise(seen) if old[0] // examined == new[0] // examined]
    return sum(new[0] - old[0] for old, new in steps) / sum(new[1] - old[1] for old, new in steps)


def count(player: Player) -> str:
    """How many parameters a player has and moves."""
    total = sum(parameter.numel() for parameter in player.network.parameters())
    moved = sum(parameter.numel() for parameter in player.parameters)
    return f"{total:,} parameters" + (f", {moved:,} of them trained" if moved != total else "")


def state_bytes(game: Game) -> int:
    """Bytes of everything that a checkpoint holds."""
    tensors = [value for module in game.modules() for value in module.state_dict().values()]
    for player in game.players.values():
        for state in player.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_bytes() -> int:
    """Peak memory of this process so far."""
    status = Path("/proc/self/status")
    known = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if known:  # Linux, where the number below is never less than the size of the process that started this one
        return int(known[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
