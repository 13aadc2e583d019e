"""Writes checkpoints in child processes and kills each one at a random moment. Prints what is left after each kill.

Run by test_faults.py in a process of its own, since forking and test runners do not go together.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from organza import checkpoint
from organza.errors import CheckpointError
from organza.game import Clock
from organza.recipe import find
from worlds import ring


def write_forever(folder: Path, first: int, ready: int) -> None:
    """Save one checkpoint after the other, each with all weights equal to its sample count."""
    game = find("vanilla:tiny").recipe.build(ring().spec)
    for samples in range(first, first + 100_000):
        with torch.no_grad():
            for player in game.players.values():
                for parameter in player.network.parameters():
                    parameter.fill_(samples)
        checkpoint.save(folder, game, Clock(samples=samples))
        if samples == first:
            os.write(ready, b".")


def main() -> None:
    folder, kills, first = Path(sys.argv[1]), int(sys.argv[2]), 1
    torch.set_num_threads(1)
    chance = random.Random(0)
    for _ in range(kills):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            write_forever(folder, first, write_end)
        os.close(write_end)
        os.read(read_end, 1)
        os.close(read_end)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        newest = checkpoint.newest(folder)
        game = find("vanilla:tiny").recipe.build(ring().spec)
        try:
            clock = checkpoint.load(newest, game) if newest else None
        except CheckpointError as error:
            print(f"broken: {error}")
            continue
        values = {float(p.unique()) for player in game.players.values() for p in player.network.parameters()}
        whole = clock is not None and values == {float(clock.samples)} and clock.samples >= first
        leftovers = len(list(folder.glob("*.tmp"))) + len(list(folder.glob("*.old")))
        print(f"{'whole' if whole else 'broken'} {leftovers}")
        first = (clock.samples if clock else 0) + 1


if __name__ == "__main__":
    main()
