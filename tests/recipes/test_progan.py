"""Growing by the clock: the schedule, its state over restarts and longer budgets, and what the losses consist of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from organza import checkpoint
from organza.data.spec import VectorSpec
from organza.errors import DataError, UsageError
from organza.game import Clock, Game, Request, Stop
from organza.nets.growing import GrowingGenerator
from organza.recipe import find
from organza.recipes.progan import ProGAN, growth
from organza.trainer import Budget, draw, take, train
from worlds import shapes

WORLD = shapes()
LEVELS = 3  # 4, 8 and 16 pixels


def build(**fields: object) -> Game:
    torch.manual_seed(0)
    game = find("progan:tiny", **fields).recipe.build(WORLD.spec)
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    return game


def generator(game: Game) -> GrowingGenerator:
    network = game.players["generator"].network
    assert isinstance(network, GrowingGenerator)
    return network


def play(game: Game, clock: Clock, *, until: float, total: int = 320) -> Clock:
    return train(
        game,
        lambda start: WORLD.batches(16, start=start, seed=0),
        budget=Budget(samples=total),
        clock=clock,
        hooks=[lambda report: Stop("enough") if report.clock.progress >= until else None],
    )[0]


def state(game: Game) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in checkpoint.player_tensors(game).items()}


@pytest.mark.parametrize(
    ("progress", "level"),
    [(0.0, 0), (0.2, 0), (0.25, 0), (0.3, 0.4), (0.375, 1), (0.49, 1), (0.5, 1), (0.55, 1.4), (0.625, 2), (1.0, 2)],
)
def test_each_level_is_faded_in_and_then_stays_for_its_time(progress: float, level: float) -> None:
    assert growth(LEVELS, growing=0.5, fade=0.5)(Clock(progress=progress)) == pytest.approx(level)


def test_the_level_never_falls_and_ends_at_full_size() -> None:
    for growing, fade in [(0.5, 0.5), (0.9, 1.0), (0.3, 0.0), (0.99, 0.01), (0.0, 0.5)]:
        found = [growth(5, growing=growing, fade=fade)(Clock(progress=at / 997)) for at in range(998)]
        assert found == sorted(found)
        assert (found[0], found[-1]) == ((0, 4) if growing else (4, 4))


def test_without_growth_or_fade_there_are_whole_levels_only() -> None:
    assert {growth(4, growing=0.6, fade=0.0)(Clock(progress=at / 97)) for at in range(97)} == {0, 1, 2, 3}
    game = build(growing=0.0)
    play(game, Clock(), until=0.05)
    assert float(generator(game).level) == LEVELS - 1


@pytest.mark.parametrize("until", [0.3, 0.4, 0.55])
def test_a_run_goes_on_bit_equally_from_within_a_fade_and_between_fades(until: float, tmp_path: Path) -> None:
    whole, first, second = (build(growing=0.5) for _ in range(3))
    play(whole, Clock(), until=1)
    clock = play(first, Clock(), until=until)
    path = checkpoint.save(tmp_path, first, clock)
    clock = checkpoint.load(path, second)
    made, again = (game.generate(Request(3))["image"] for game in (first, second))
    assert torch.equal(made, again)
    play(second, clock, until=1)
    expected, found = state(whole), state(second)
    assert not [key for key in expected if not torch.equal(expected[key], found[key])]


def test_samples_show_the_level_of_the_moment_in_full_size() -> None:
    game, clock = build(growing=0.5), Clock()
    for until, level, side in [(0.2, 0, 4), (0.45, 1, 2), (1.0, 2, 1)]:
        clock = play(game, clock, until=until)
        averaged = game.players["generator"].averaged
        assert float(averaged.level) == float(generator(game).level) == level
        image = game.generate(Request(4))["image"]
        blocks = image.unfold(2, side, side).unfold(3, side, side)
        assert image.shape == (4, 1, 16, 16)
        assert torch.equal(blocks, blocks[..., :1, :1].expand_as(blocks))


def test_a_longer_budget_does_not_shrink_the_images() -> None:
    game = build()
    clock = play(game, Clock(), until=1)
    play(game, replace(clock, progress=0.2), until=0.3, total=10 * clock.samples)
    assert float(generator(game).level) == LEVELS - 1


def test_parameters_of_levels_to_come_wait_without_optimizer_state_and_do_not_move() -> None:
    game = build()
    before = state(game)
    play(game, Clock(), until=0.2)
    after = state(game)
    for name, player in game.players.items():
        waiting = [key for key, value in player.network.named_parameters() if value not in player.optimizer.state]
        assert {key.split(".")[1] for key in waiting} == {"1", "2"}
        for key, _ in player.network.named_parameters():
            same = torch.equal(before[f"{name}.network.{key}"], after[f"{name}.network.{key}"])
            assert same == (key in waiting), key


@pytest.mark.parametrize("progress", [0.3, 1.0])
@pytest.mark.parametrize("loss", ["relativistic", "wasserstein"])
def test_micro_batches_give_the_gradient_of_the_batch_in_every_phase(progress: float, loss: str) -> None:
    paper = {"gradient_penalty": 10.0, "drift": 1e-3} if loss == "wasserstein" else {}
    game, batch = build(minibatch_std=0, loss=loss, **paper), next(WORLD.batches(16))
    for turn in game.turns:
        noisy, gradients = batch | draw(game, batch, 5), []
        for micro_batch in (16, 5):
            saved = [p.clone() for p in turn.player.parameters]
            take(turn, noisy, Clock(progress=progress), micro_batch=micro_batch)
            gradients.append(torch.cat([p.grad.flatten() for p in turn.player.parameters if p.grad is not None]))
            torch._foreach_copy_(turn.player.parameters, saved)
        whole, parts = gradients
        assert float((whole - parts).norm() / whole.norm()) < 1e-5, turn.name


def test_the_terms_of_the_paper_are_the_wasserstein_loss_its_penalty_and_the_drift() -> None:
    fields = {"loss": "wasserstein", "r1": 0.0, "penalty_every": 1, "drift": 1e-3, "minibatch_std": 0}
    batch, found = next(WORLD.batches(16)), []
    for slope in (1.0, 750.0):
        game = build(gradient_penalty=10.0, slope=slope, **fields)
        found.append(take(game.turns[0], batch | draw(game, batch, 5), Clock(progress=1.0)).loss)
    terms, watch = found[0].terms, found[0].watch
    assert terms.keys() == {"wasserstein", "gradient_penalty", "drift"}
    assert float(terms["wasserstein"]) == pytest.approx(float((watch["fake_score"] - watch["real_score"]).mean()))
    assert float(terms["drift"]) == pytest.approx(1e-3 * float(watch["real_score"].square().mean()))
    # lambda / slope^2 (norm - slope)^2 goes to lambda where the slope is far above the norms of a new critic.
    assert float(found[1].terms["gradient_penalty"]) == pytest.approx(10, rel=0.05)


def test_what_contradicts_itself_or_cannot_grow_is_refused() -> None:
    with pytest.raises(UsageError, match=r"wasserstein.*gradient_penalty"):
        ProGAN(loss="wasserstein")
    with pytest.raises(UsageError, match="growing"):
        ProGAN(growing=1.0)
    with pytest.raises(UsageError, match="fade"):
        ProGAN(fade=1.5)
    with pytest.raises(DataError, match="image"):
        ProGAN().build(VectorSpec(size=2))
