"""Pace of training on an accelerator, and its share of the peak: precision, torch.compile, finite differences.

    python benchmarks/accelerator.py [--data SRC --resize 32] [--recipe auto] [--device cuda] [--batch N] [--seconds 10]

`auto` is what plain `organza train` takes on that device. Each way trains a game of its own and is timed by the clock
in rounds, all ways in turn; medians are printed. Operations are counted by torch over the steps from one penalty to the
next (a multiply-add is two); the peak is that of one large product of matrices in bfloat16 on the same device.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from organza import devices
from organza.auto import Auto
from organza.compiling import compile_game
from organza.data import DataOptions, open_source
from organza.data.source import Source
from organza.errors import OrganzaError
from organza.game import Clock
from organza.recipe import find
from organza.trainer import step

PENALTIES = ("exact", "finite_difference")


class Operations(TorchDispatchMode):
    """Counts those of convolutions and products, of gradients of gradients, too, where torch's own counter gives up."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if counts := flop_registry.get(func._overloadpacket):
            self.count += counts(*args, **(kwargs or {}), out_val=found)
        return found


def trainer(source: Source, recipe: Any, *, device: str, precision: str, compiled: bool) -> Callable[[int], None]:
    """Takes so many steps more of a game of its own, and waits until they are done."""
    torch.manual_seed(0)
    game = recipe.build(source.spec).to(device)
    if compiled:
        compile_game(game, next(source.batches(recipe.batch, device=device)), Clock())
    batches, clock = source.batches(recipe.batch, device=device), Clock()

    def run(steps: int) -> None:
        nonlocal clock
        for _ in range(steps):
            clock = step(game, batches, clock, seed=0, precision=devices.precision(precision, device)).clock
        wait(device)

    return run


def wait(device: str) -> None:
    """Until the device has done all that it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def peak(device: str) -> float:
    """Operations per second of a product of matrices in bfloat16, the best of ten."""
    side = 1024 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(10):
        wait(device)
        began = time.perf_counter()
        torch.mm(a, b)
        wait(device)
        times.append(time.perf_counter() - began)
    return 2 * side**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="stacked-mnist")
    parser.add_argument("--resize")
    parser.add_argument("--recipe", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, help="default: the recipe's")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each way")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    devices.prepare()
    device = devices.choose(options.device)
    source = open_source(options.data, DataOptions(resize=options.resize))
    found = find(options.recipe)
    if isinstance(found.recipe, Auto):
        found = found.recipe.choose(source.spec, count=len(source), device=device)
    recipe: Any = replace(found.recipe, **({"batch": options.batch} if options.batch else {}))
    if not (hasattr(recipe, "penalty") and hasattr(recipe, "penalty_every")):
        parser.error(f"{found.name} has no gradient penalty that comes every few steps; take r3gan, dcgan or lsgan")
    every = recipe.penalty_every
    print(f"{found.name}, batch {recipe.batch}, {source.spec.shape}, {device}, torch {torch.__version__}", flush=True)

    top, operations = peak(device), {}
    print(f"peak {top / 1e12:,.1f} T operations/s", flush=True)
    for penalty in PENALTIES:
        one = replace(recipe, penalty=penalty)
        eager = trainer(source, one, device=device, precision="float32", compiled=False)
        with Operations() as counter:
            eager(every)
        operations[penalty] = counter.count / (every * recipe.batch)
        print(f"{penalty}: {operations[penalty] / 1e9:.3f} G operations per image", flush=True)

    ways: dict[tuple[str, bool, str], Callable[[int], None]] = {}
    for way in itertools.product(("float32", "bf16"), (False, True), PENALTIES):
        precision, compiled, penalty = way
        try:
            other = replace(recipe, penalty=penalty)
            run = trainer(source, other, device=device, precision=precision, compiled=compiled)
            run(2 * every)
        except OrganzaError as error:
            print(f"{way}: {error}", flush=True)
            continue
        ways[way] = run
    times: dict[tuple[str, bool, str], list[float]] = {way: [] for way in ways}
    counts = {}
    for way, run in ways.items():
        began = time.perf_counter()
        run(every)
        share = options.seconds / options.rounds / max(time.perf_counter() - began, 1e-6)
        counts[way] = max(1, round(share)) * every
    for _, (way, run) in itertools.product(range(options.rounds), ways.items()):
        began = time.perf_counter()
        run(counts[way])
        times[way].append((time.perf_counter() - began) / counts[way])
    print("| precision | compiled | penalty | images/s | share of the peak |\n|---|---|---|---|---|")
    for (precision, compiled, penalty), found_s in times.items():
        pace = recipe.batch / statistics.median(found_s)
        yes = "yes" if compiled else "no"
        print(f"| {precision} | {yes} | {penalty} | {pace:,.0f} | {pace * operations[penalty] / top:.1%} |")


if __name__ == "__main__":
    main()
