"""Two ranks equal one, for every family: each turn has the gradient of the whole batch and moves extras alike.

Run by torchrun, this file writes what two ranks compute; the tests compare it with what one computes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_contract import BATCH_STATISTICS_OFF, MOMENTS, PHASES, build, tiny
from torch import Tensor

from organza import distributed
from organza.data.source import Batch
from organza.game import Clock
from organza.hooks.checkpoints import Checkpoints
from organza.recipes import RECIPES
from organza.trainer import Budget, Report, draw, take, train
from worlds import ring, world_for

HERE = Path(__file__)


def turns(name: str) -> dict[str, Tensor]:
    """The gradient of each turn in each phase, flat, and the extras after it; weights stay as they were drawn."""
    augmented = MOMENTS["in an adapting augmentation"] if hasattr(RECIPES[name], "augment_target") else {}
    recipe, world = tiny(name, **BATCH_STATISTICS_OFF.get(name, {}), **augmented), world_for(RECIPES[name])
    game, found = build(recipe, world), {}
    batch = next(world.batches(recipe.batch, rank=distributed.rank(), world=distributed.world()))
    state = [*(p for player in game.players.values() for p in player.network.parameters()), *game.buffers()]
    saved = [value.clone() for value in state]
    for progress, turn in product(PHASES, game.turns):
        at = f"{name}/{progress}/{turn.name}"
        assert take(turn, batch | draw(game, batch, 5), Clock(progress=progress)).failed is None
        gradients = [p.grad.flatten() for p in turn.player.parameters if p.grad is not None]
        found[f"{at}/gradient"] = torch.cat(gradients)
        distributed.broadcast_buffers(game.extras.values())
        for key, module in game.extras.items():
            found |= {
                f"{at}/{key}.{entry}": value.float().contiguous().clone()
                for entry, value in module.state_dict().items()
            }
        with torch.no_grad():
            torch._foreach_copy_(state, saved)
    return found


def saved_late(folder: Path) -> Tensor:
    """The step at which each rank saved by the clock, though the first alone finds it late, from step 20 on."""
    world = ring(64)
    game, saved = tiny("dcgan").build(world.spec), torch.zeros(distributed.world())
    steps = 0
    saver = Checkpoints(folder, world, keep=1, now=lambda: 1e3 if distributed.is_main() and steps >= 20 else 0.0)

    def look(report: Report) -> None:
        nonlocal steps
        steps = report.clock.step
        saver.late(report)
        if saver.saved_at == report.clock.samples:
            saved[distributed.rank()] = steps

    def batches(start: int) -> Iterator[Batch]:
        return world.batches(8, start=start, rank=distributed.rank(), world=distributed.world())

    train(game, batches, budget=Budget(samples=8 * 40), hooks=[look])
    distributed.add_up(saved)
    return saved


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """What two ranks compute."""
    file = tmp_path_factory.mktemp("ranks") / "both.safetensors"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *torchrun, str(HERE), str(file)], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return load_file(file)


@pytest.mark.parametrize("name", RECIPES)
def test_two_ranks_take_the_turns_of_one(name: str, both: dict[str, Tensor]) -> None:
    one = turns(name)
    assert one.keys() == {key for key in both if key.startswith(f"{name}/")}
    for key, value in one.items():
        assert float((both[key] - value).norm()) <= 1e-4 * float(value.norm()), key


def test_ranks_save_by_the_clock_together(both: dict[str, Tensor], tmp_path: Path) -> None:
    assert both["late"].tolist() == [32, 32]  # they ask each other every 16 steps
    assert saved_late(tmp_path).tolist() == [20]


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.start("cpu")
    all_turns = {key: value for name in RECIPES for key, value in turns(name).items()}
    late = saved_late(Path(sys.argv[1]).parent / "checkpoints")
    if distributed.is_main():
        save_file(all_turns | {"late": late}, sys.argv[1])
    distributed.stop()
    distributed.leave(0)
