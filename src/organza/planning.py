"""What a run will cost: parameters, memory and time, from a few real steps that are thrown away."""

from __future__ import annotations

import sys
import time

import torch

from organza import devices
from organza.data import DataOptions, open_source
from organza.game import Clock, Game, Player
from organza.hooks.console import clock_face
from organza.recipe import Recipe
from organza.session import budget_of, build
from organza.settings import RunSettings
from organza.trainer import step

WARM_UP, TIMED = 2, 5


def estimate(recipe: Recipe, *, data: str, settings: RunSettings, options: DataOptions) -> str:
    """A table of what training this recipe on this data takes on this machine, as text."""
    devices.prepare()
    device, source = devices.choose(settings.device), open_source(data, options)
    game = build(recipe, source, settings, weights=None).to(device)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    batches, clock, seconds = source.batches(recipe.batch, device=device), Clock(), []
    for _ in range(WARM_UP + TIMED):
        began = time.perf_counter()
        precision = devices.precision(settings.precision, device)
        clock = step(
            game, batches, clock, seed=settings.seed, micro_batch=settings.micro_batch, precision=precision
        ).clock
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    pace = clock.samples / len(seconds) / sorted(seconds[WARM_UP:])[TIMED // 2]
    budget = budget_of(settings, recipe, len(source))
    shape = " x ".join(map(str, source.spec.shape))
    lines = [f"{'data':<12} {len(source):,} samples of {shape}, {source.spec.num_classes} classes"]
    lines += [f"{name:<12} {count(player)}" for name, player in game.players.items()]
    lines += [
        f"{'state':<12} {state_bytes(game) / 2**20:,.0f} MiB of weights, averages and optimizer state",
        f"{'memory':<12} {peak_bytes(device) / 2**20:,.0f} MiB at the peak of a step on {device}",
        f"{'pace':<12} {pace:,.0f} samples/s",
    ]
    if budget.samples:
        lines.append(f"{'time':<12} {clock_face(budget.samples / pace)} for {budget.samples:,} samples")
    else:
        lines.append(f"{'samples':<12} about {pace * 60 * (budget.minutes or 0):,.0f} in {budget.minutes:g} minutes")
    return "\n".join(lines)


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


def peak_bytes(device: str) -> int:
    """Peak memory so far: of the device's allocator on cuda, of this process elsewhere."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
