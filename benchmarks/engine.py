"""The engine against a bare loop: the same networks, turns, precision and data in memory, in turn in one process.

    python benchmarks/engine.py [--blocks 7] [--steps 100]

Prints the median seconds per step of each side and the median of the ratios, block by block.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from collections.abc import Callable

import torch

from organza import devices
from organza.data import DataOptions, open_source
from organza.game import Clock, Game
from organza.recipe import find
from organza.trainer import Budget, train


def bare_loop(game: Game, images: torch.Tensor, batch: int) -> Callable[[int], None]:
    """What one would write by hand: draw, loss, backward, step; no seeds, no guard, no averages, no hooks."""
    count = itertools.count()

    def run(steps: int) -> None:
        for _ in range(steps):
            clock = Clock(step=next(count))
            real = images[torch.randint(len(images), (batch,))].float().mul_(2 / 255).sub_(1)
            seen = {}
            for turn in game.turns:
                if not (turn.same_noise and seen):
                    seen = {"image": real} | game.draw(batch)
                for name, player in game.players.items():
                    player.network.requires_grad_(turn.player is game.players[name])
                turn.player.optimizer.zero_grad()
                turn.loss(seen, clock).total.backward()
                turn.player.optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    devices.prepare()
    source = open_source("mnist", DataOptions())
    images = source.read(slice(None))["image"]  # type: ignore[arg-type]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| recipe | bare ms/step | engine ms/step | ratio |\n|---|---|---|---|")
    for name, fields in (("vanilla:mlp1024", {}), ("dcgan", {"conditional": "no", "halflife": 0.0})):
        recipe = find(name, **fields).recipe
        bare_game = recipe.build(source.spec)
        engine_game = copy.deepcopy(recipe).build(source.spec)
        bare, times = bare_loop(bare_game, images, recipe.batch), {"bare": [], "engine": []}
        bare(10)
        for block in range(options.blocks):
            began = time.perf_counter()
            bare(options.steps)
            times["bare"].append((time.perf_counter() - began) / options.steps)
            began = time.perf_counter()
            train(
                engine_game,
                lambda start, size=recipe.batch: source.batches(size, start=start),
                budget=Budget(samples=(block + 1) * options.steps * recipe.batch),
                clock=Clock(samples=block * options.steps * recipe.batch),
            )
            times["engine"].append((time.perf_counter() - began) / options.steps)
        ratios = [engine / bare_s for engine, bare_s in zip(times["engine"], times["bare"], strict=True)]
        print(
            f"| {name} | {statistics.median(times['bare']) * 1e3:.2f} | {statistics.median(times['engine']) * 1e3:.2f} "
            f"| {statistics.median(ratios):.3f} |"
        )


if __name__ == "__main__":
    main()
