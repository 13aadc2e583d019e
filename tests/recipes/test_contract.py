"""What every family promises, whatever its paper says: one sweep over `RECIPES` at tiny size."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from test_worlds import LEARNING
from torch import Tensor, nn

import organza
from organza import checkpoint
from organza.data.options import MADE
from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import DataError
from organza.game import Clock, Game, Request
from organza.inference import feed
from organza.recipe import Recipe, find
from organza.recipes import RECIPES
from organza.session import train
from organza.settings import RunSettings
from organza.trainer import Budget, draw, step, take
from organza.trainer import train as play
from worlds import World, inputs, lacking, ring, shapes, twins

WORLDS = {
    "labelled images": shapes(),
    "plain images": shapes(labelled=False),
    "points": ring(),
    "labelled points": ring(labelled=True),
    "paired images": twins(),
    "unpaired images": twins(paired=False),
    "small images": lacking("small"),
    "holed images": lacking("holes"),
}


def is_for(recipe: type[Recipe], world: World) -> bool:
    """Whether a family can learn a world; those with sources are for families that need them."""
    source = world.spec.source if isinstance(world.spec, ImageSpec) else None
    if recipe.needs_sources == "no" or source is None:
        fits = recipe.needs_sources == "no" and source is None
    elif recipe.pairs or world.name in MADE:
        fits = recipe.pairs == world.name
    else:
        fits = world.spec.is_paired or recipe.needs_sources == "any"
    return fits and isinstance(world.spec, recipe.accepts) and (world.spec.num_classes > 1 or not recipe.needs_labels)


CASES = [
    pytest.param(name, world, id=f"{name}-{title}")
    for name, recipe in RECIPES.items()
    for title, world in WORLDS.items()
    if is_for(recipe, world)
]
BATCH_STATISTICS_OFF = {
    "acgan": {"generator_norm": "none"},
    "biggan": {"generator_norm": "none"},
    "cgan": {"generator_norm": "none"},
    "dcgan": {"generator_norm": "none"},
    "fastgan": {"generator_norm": "none"},
    "infogan": {"generator_norm": "none"},
    "lsgan": {"generator_norm": "none"},
    "progan": {"minibatch_std": 0},
    "sngan": {"generator_norm": "none"},
    "stylegan2": {"minibatch_std": 0},
    "stylegan3": {"minibatch_std": 0, "decay": 1.0},
    "wgan": {"generator_norm": "none", "critic_norm": "none"},
    "wgan_gp": {"generator_norm": "none"},
}
"""Fields that switch batch statistics off where a family has them: micro-batches see other ones than the batch."""
PHASES = (0.0, 0.25, 0.5, 0.9)
"""Shares of the budget at which every turn is taken: networks that grow have other parts at each."""

MOMENTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "in a fade": {"fade": 1.0},
    "in pretraining": {"pretrain": 0.8},
    "between penalties": {"penalty_every": 4},
    "between path lengths": {"path_every": 4},
    "in a changing augmentation": {"augment": ("flip", "cutout")},
    "in an adapting augmentation": {"augment": ("flip", "cutout"), "augment_target": 0.01, "generator_lr": 1e-4},
    "in an adapting penalty": {"penalty_target": 0.6},
    "in a moving frame": {"frame": True},
}
"""Where a run is interrupted: fields that put something on the way at that moment, of families that have them all."""

sweep = pytest.mark.parametrize(("name", "world"), CASES)
stops = pytest.mark.parametrize(
    ("name", "world", "moment"),
    [
        pytest.param(*case.values, moment, id=f"{case.id}-{moment}")
        for case in CASES
        for moment, fields in MOMENTS.items()
        if all(hasattr(RECIPES[case.values[0]], field) for field in fields)
        and not ({"augment", "penalty_target"} & fields.keys() and isinstance(case.values[1].spec, VectorSpec))
    ],
)


def tiny(name: str, **fields: Any) -> Recipe:
    return find(f"{name}:tiny", **fields).recipe


def build(recipe: Recipe, world: World) -> Game:
    torch.manual_seed(0)
    game = recipe.build(world.spec)
    if recipe.needs_sources != "no":
        feed(game, inputs(world))
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    return game


def run_for(recipe: Recipe, world: World, samples: int, game: Game, clock: Clock, *, total: int = 144) -> Clock:
    """Play until `samples`, within a budget of `total`."""

    def hook(report: organza.Report) -> organza.Stop | None:
        return organza.Stop("paused") if report.clock.samples >= samples else None

    return play(
        game,
        lambda start: world.batches(recipe.batch, start=start, seed=0),
        budget=Budget(samples=total),
        clock=clock,
        hooks=[hook],
    )[0]


def weights(game: Game) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in checkpoint.player_tensors(game).items()}


def state(game: Game) -> dict[str, Tensor]:
    """All that moves: weights, averages, buffers, extras and the tensors of the optimizers."""
    tensors = weights(game)
    for name, module in game.extras.items():
        tensors |= {f"{name}.{key}": value.clone() for key, value in module.state_dict().items()}
    for name, player in game.players.items():
        moments, numbers = checkpoint.optimizer_state(player)
        tensors |= {f"{name}.optimizer.{key}": value.clone() for key, value in moments.items()}
        tensors |= {f"{name}.optimizer.{key}": torch.tensor(value) for key, value in numbers["state"].items()}
    return tensors


def assert_identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]


@sweep
def test_every_player_moves_and_every_parameter_gets_a_gradient(name: str, world: World) -> None:
    recipe = tiny(name)
    game = build(recipe, world)
    batch = next(world.batches(recipe.batch))
    touched: set[int] = set()
    for progress, turn in product(PHASES, game.turns):
        before = {key: [p.clone() for p in player.network.parameters()] for key, player in game.players.items()}
        assert take(turn, batch | draw(game, batch, 1), Clock(progress=progress)).failed is None
        for key, player in game.players.items():
            moved = [not torch.equal(p, old) for p, old in zip(player.network.parameters(), before[key], strict=True)]
            assert any(moved) == (player is turn.player), f"{key} in turn {turn.name}"
        touched |= {id(p) for p in turn.player.parameters if p.grad is not None}
    for key, player in game.players.items():
        silent = [n for n, p in player.network.named_parameters() if id(p) not in touched]
        assert not silent, f"{key}: no gradient for {silent}"


@sweep
def test_players_share_no_parameter(name: str, world: World) -> None:
    game = build(tiny(name), world)
    seen = [id(p) for player in game.players.values() for p in player.network.parameters()]
    assert len(seen) == len(set(seen))


@sweep
def test_samples_have_the_shape_and_range_of_the_data(name: str, world: World) -> None:
    game = build(tiny(name), world)
    made = game.generate(Request(5, seed=3))
    samples = made[world.spec.key]
    assert samples.shape == (5, *world.spec.shape)
    assert samples.dtype == torch.float32
    if isinstance(world.spec, ImageSpec):
        assert float(samples.abs().max()) <= 1
    if "label" in made:
        assert 0 <= int(made["label"].min()) <= int(made["label"].max()) < world.spec.num_classes


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 2), (4, 5, 7), (1, 3, 200), (2, 64, 1)], ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_images_of_every_size_and_depth_train_and_are_made(name: str, shape: tuple[int, int, int]) -> None:
    recipe = tiny(name, batch=4)
    if recipe.pairs == "small":
        shape = (shape[0], 2 * shape[1], 2 * shape[2])
    spec = ImageSpec(channels=shape[0], height=shape[1], width=shape[2], classes=("even", "odd"))
    samples = {"image": torch.randint(256, (8, *shape), dtype=torch.uint8), "label": torch.arange(8) % 2}
    world = World("noise", spec, samples)
    if recipe.pairs == "holes" and shape[0] not in (1, 3):
        with pytest.raises(DataError, match="add --channels rgb"):
            lacking("holes", images=world)
        return
    if recipe.pairs:
        world = lacking(recipe.pairs, images=world)
    elif recipe.needs_sources != "no":
        sources = {"source": samples["image"].flip(0)}
        world = World("noise", replace(spec, source=replace(spec, classes=())), samples | sources)
    if min(shape[1:]) < recipe.smallest:
        with pytest.raises(DataError, match=f"{recipe.smallest} pixels or more .* --resize"):
            recipe.build(world.spec)
        return
    game = build(recipe, world)
    for progress in PHASES:
        assert step(game, world.batches(4), Clock(progress=progress), seed=1).failed is None
    made = game.generate(Request(3))["image"]
    assert made.shape == (3, *shape)
    assert torch.isfinite(made).all()


@sweep
def test_micro_batches_give_the_gradient_of_the_batch(name: str, world: World) -> None:
    recipe = tiny(name, **BATCH_STATISTICS_OFF.get(name, {}))
    game = build(recipe, world)
    batch = next(world.batches(recipe.batch))
    for turn in game.turns:
        noisy = batch | draw(game, batch, 5)
        gradients = []
        for micro_batch in (recipe.batch, 5):
            state = [*turn.player.parameters, *game.buffers()]
            saved = [value.clone() for value in state]
            take(turn, noisy, Clock(), micro_batch=micro_batch)
            gradients.append(torch.cat([p.grad.flatten() for p in turn.player.parameters if p.grad is not None]))
            with torch.no_grad():
                torch._foreach_copy_(state, saved)
        whole, parts = gradients
        assert float((whole - parts).norm() / whole.norm()) < 1e-4, turn.name


@pytest.mark.parametrize(("name", "world"), [case for case in CASES if hasattr(RECIPES[case.values[0]], "reuse")])
def test_reused_fakes_save_a_pass_and_change_no_gradient(name: str, world: World) -> None:
    recipe = tiny(name, reuse=True)
    game, passes = build(recipe, world), []
    game.players["generator"].network.register_forward_hook(lambda *_: passes.append(1))
    batch = next(world.batches(recipe.batch))
    noisy = batch | draw(game, batch, 5)
    critic, generator = game.turns
    parameters = generator.player.parameters
    take(critic, noisy, Clock())
    before, gradients = [p.clone() for p in parameters], []
    for seen in (noisy, {key: value.clone() for key, value in noisy.items()}):
        take(generator, seen, Clock())
        gradients.append([p.grad.clone() for p in parameters if p.grad is not None])
        with torch.no_grad():
            torch._foreach_copy_(parameters, before)
    assert len(gradients[0]) == len(parameters)
    assert all(torch.equal(shared, anew) for shared, anew in zip(*gradients, strict=True))
    assert len(passes) == 2


@stops
def test_an_interrupted_run_equals_an_uninterrupted_one(name: str, world: World, moment: str, tmp_path: Path) -> None:
    recipe = tiny(name, **MOMENTS[moment])
    whole = build(recipe, world)
    run_for(recipe, world, 144, whole, Clock())
    first = build(recipe, world)
    clock = run_for(recipe, world, 80, first, Clock())
    assert 80 <= clock.samples < 144
    assert_is_on_the_way(moment, recipe, first, clock)
    path = checkpoint.save(tmp_path, first, clock)
    second = build(recipe, world)
    run_for(recipe, world, 144, second, checkpoint.load(path, second))
    assert_identical(state(whole), state(second))


def assert_is_on_the_way(moment: str, recipe: Any, game: Game, clock: Clock) -> None:
    """Whether the run was stopped where the name of the moment says."""
    if moment == "in a fade":
        assert 0 < float(game.players["generator"].network.get_buffer("level")) % 1 < 1
    if moment == "in pretraining":
        assert 0 < clock.progress < recipe.pretrain
    if moment.startswith("between"):
        assert clock.step % 4
    if moment == "in an adapting augmentation":
        assert 0 < float(game.extras["augment"].get_buffer("strength")) < recipe.augment_share
        assert float(game.extras["augment"].get_buffer("confidence")) not in (0.0, recipe.augment_target)
    if moment == "in an adapting penalty":
        assert abs(float(game.extras["tightness"].get_buffer("factor")) - 1) > 1e-4


@sweep
def test_closures_hide_no_state_that_a_checkpoint_would_miss(name: str, world: World) -> None:
    game = build(tiny(name), world)
    known = {id(module) for whole in game.modules() for module in whole.modules()}
    for function in [game.generate, game.draw, *(turn.loss for turn in game.turns)]:
        for cell in cells(function):
            assert not isinstance(cell, list | dict | set | bytearray | np.ndarray | Tensor), f"{cell!r} in {function}"
            assert not isinstance(cell, nn.Module) or id(cell) in known, f"{type(cell).__name__} is not saved"


def cells(function: Callable[..., Any]) -> list[Any]:
    """Everything a closure holds, nested closures included."""
    found: list[Any] = []
    for cell in (function.__closure__ or ()) if isinstance(function, FunctionType) else ():
        value = cell.cell_contents
        found += [value, *cells(value)] if isinstance(value, FunctionType) else [value]
    return found


@sweep
def test_the_same_seed_gives_the_same_weights(name: str, world: World) -> None:
    results = []
    for _ in range(2):
        recipe = tiny(name)
        game = build(recipe, world)
        step(game, world.batches(recipe.batch), Clock(), seed=4)
        results.append(weights(game))
    assert_identical(*results)


def data_for(recipe: type[Recipe]) -> str:
    """The name of data that a family can learn."""
    if recipe.needs_sources != "no" and not recipe.pairs:
        return "edges-to-digits"
    return "ring8" if VectorSpec in recipe.accepts else "mnist"


def test_a_fresh_process_generates_the_same_samples(tmp_path: Path) -> None:
    lines, expected = [], []
    for name in RECIPES:
        run = train(
            tiny(name),
            data=data_for(RECIPES[name]),
            run=tmp_path / name,
            settings=RunSettings(samples=64, device="cpu"),
        )
        expected.append(run.generate(6, seed=11))
        lines.append(f"print(organza.open({str(run.folder)!r}).generate(6, seed=11).tobytes().hex())")
    script = "import organza\n" + "\n".join(lines)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1"
    }  # as in these tests: the number of threads decides the last bits
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert out == [samples.tobytes().hex() for samples in expected]


def test_every_family_has_a_world_to_learn() -> None:
    assert list(dict.fromkeys(name.partition(":")[0] for name, *_ in LEARNING)) == list(RECIPES)


def test_a_file_of_the_users_own_is_a_recipe_too(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(Path(sys.modules[RECIPES["vanilla"].__module__].__file__ or "").read_text())
    run = train(f"{own}:tiny", data="ring8", run=tmp_path / "run", settings=RunSettings(samples=64, device="cpu"))
    own.unlink()
    assert organza.open(run.folder).generate(3).shape == (3, 2)
    assert replace(organza.open(run.folder).recipe, batch=8).batch == 8
