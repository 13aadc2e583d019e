"""The engine: order, who moves, equivalences, refusal of non-finite numbers, budgets and hooks."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from organza import checkpoint
from organza.compiling import gradients
from organza.errors import DivergedError, UsageError
from organza.game import Batch, Clock, Game, Hook, Loss, Player, Report, Request, Stop, Turn
from organza.trainer import Budget, Data, Guard, draw, split, step, take, train

Build = Callable[..., Game]


def state(game: Game) -> dict[str, Tensor]:
    """Everything that training may change: weights, averages, buffers, extras, moments."""
    tensors = checkpoint.player_tensors(game)
    for name, module in game.extras.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, player in game.players.items():
        tensors |= {f"{name}.optimizer.{key}": value for key, value in checkpoint.optimizer_state(player)[0].items()}
    return {key: value.clone() for key, value in tensors.items()}


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    assert first.keys() == second.keys()
    return [key for key in first if not torch.equal(first[key], second[key])]


def played(game: Game, data: Data, samples: int = 60, **options: Any) -> dict[str, Tensor]:
    train(game, data, budget=Budget(samples=samples), **options)
    return state(game)


def collecting(into: list[Report]) -> Hook:
    def hook(report: Report) -> None:
        into.append(report)

    return hook


def spoiled(data: Data, positions: range) -> Data:
    """The data with NaN at these positions of the stream."""

    def stream(start: int) -> Iterator[Batch]:
        for batch in data(start):
            bad = torch.isin(batch["position"], torch.tensor(positions))
            yield batch | {"x": batch["x"].masked_fill(bad[:, None], float("nan"))}

    return stream


def logging_game(log: list[tuple[str, int, list[int]]], *windows: dict[str, Any]) -> Game:
    """Turns that note (name, step, positions in the stream), all of one player."""
    player = Player(network := nn.Linear(2, 1), torch.optim.SGD(network.parameters(), 0.1))

    def loss(name: str) -> Callable[[Batch, Clock], Loss]:
        def noted(batch: Batch, clock: Clock) -> Loss:
            log.append((name, clock.step, batch["position"].tolist()))
            return Loss({"mean": network(batch["x"]).mean()})

        return noted

    turns = [Turn(name, player, loss(name), **window) for name, window in zip("abc", windows, strict=False)]
    return Game({"only": player}, turns, generate=lambda request: {})


def test_turns_come_in_order_when_they_are_due(toy_data: Data) -> None:
    log: list[tuple[str, int, list[int]]] = []
    game = logging_game(log, {"every": 2}, {"begin": 0.25, "end": 0.75}, {})
    clock, stop = train(game, toy_data, budget=Budget(samples=24))
    assert "".join(name for name, *_ in log) == "ac" + "bc" + "abc" + "c"
    assert [turn_step for _, turn_step, _ in log] == [0, 0, 1, 1, 2, 2, 2, 3]
    assert (clock, stop) == (Clock(step=4, samples=24, progress=1.0), None)


def test_a_turn_of_the_same_noise_sees_the_very_batch_of_the_update_before_it(toy_data: Data) -> None:
    seen: list[Batch] = []
    network = nn.Linear(2, 1)
    player = Player(network, torch.optim.SGD(network.parameters(), 0.1))

    def loss(batch: Batch, clock: Clock) -> Loss:
        seen.append(batch)
        return Loss({"x": network(batch["x"]).mean()})

    turns = [Turn("a", player, loss, repeats=2), Turn("b", player, loss, same_noise=True), Turn("c", player, loss)]
    game = Game({"p": player}, turns, lambda request: {}, draw=lambda n: {"z": torch.randn(n)})
    step(game, toy_data(0), Clock(), seed=0)
    assert all(seen[2][key] is seen[1][key] for key in seen[1])
    assert len({tuple(batch["z"].tolist()) for batch in seen}) == 3


def test_repeats_draw_a_fresh_batch_each_and_every_sample_counts_once(toy_data: Data) -> None:
    log: list[tuple[str, int, list[int]]] = []
    clock, _ = train(logging_game(log, {"repeats": 3}, {}), toy_data, budget=Budget(samples=30))
    assert [positions[0] for _, _, positions in log] == [0, 6, 12, 0, 18, 24, 30, 18]
    assert clock.samples == 36


def test_exactly_the_parameters_that_the_optimizer_owns_get_a_gradient_and_move(toy_data: Data) -> None:
    backbone, head, other = nn.Linear(2, 4), nn.Linear(4, 1), nn.Linear(2, 2)
    network = nn.Sequential(backbone, head)
    critic = Player(network, torch.optim.SGD(head.parameters(), 0.1))
    generator = Player(other, torch.optim.SGD(other.parameters(), 0.1))
    turn = Turn("critic", critic, lambda batch, clock: Loss({"mean": network(other(batch["x"])).mean()}))
    game = Game({"critic": critic, "generator": generator}, [turn], generate=lambda request: {})
    before = copy.deepcopy([backbone.state_dict(), other.state_dict(), head.state_dict()])
    train(game, toy_data, budget=Budget(samples=12))
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert all(parameter.grad is None for part in (backbone, other) for parameter in part.parameters())
    assert not any(parameter.requires_grad for part in (backbone, head, other) for parameter in part.parameters())
    for part, old in zip((backbone, other, head), before, strict=True):
        assert all(torch.equal(value, old[key]) for key, value in part.state_dict().items()) == (part is not head)


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 6, 100])
def test_micro_batches_add_up_to_the_whole_batch_even_with_a_ragged_last_part(
    micro_batch: int, toy_game: Build, toy_data: Data
) -> None:
    reports: list[Report] = []
    whole, parts = toy_game(adam=False), toy_game(adam=False)
    played(whole, toy_data, hooks=[collecting(reports)])
    played(parts, toy_data, hooks=[collecting(reports)], micro_batch=micro_batch)
    for key, value in checkpoint.player_tensors(whole).items():
        torch.testing.assert_close(checkpoint.player_tensors(parts)[key], value, rtol=1e-5, atol=1e-6)
    expected, found = reports[0].losses["critic"], reports[10].losses["critic"]
    assert expected.terms.keys() == found.terms.keys() == {"cross_entropy", "r1"}
    for name, term in expected.terms.items():
        torch.testing.assert_close(found.terms[name], term)
    assert found.watch["real_score"].shape == (6, 1)
    torch.testing.assert_close(found.watch["fake_score"], expected.watch["fake_score"])


@pytest.mark.parametrize(("micro_batch", "sizes"), [(16, [16]), (15, [8, 8]), (7, [6, 5, 5]), (1, [1] * 16)])
def test_the_parts_of_a_batch_are_even(micro_batch: int, sizes: list[int]) -> None:
    batch = {"x": torch.arange(32).view(16, 2), "label": torch.arange(16)}
    parts = list(split(batch, micro_batch))
    assert [len(part["label"]) for part in parts] == sizes
    assert all(torch.equal(torch.cat([part[key] for part in parts]), value) for key, value in batch.items())


def test_noise_does_not_depend_on_the_micro_batch_and_differs_from_turn_to_turn(
    toy_game: Build, toy_data: Data
) -> None:
    def latents(micro_batch: int | None) -> list[Tensor]:
        game, seen = toy_game(repeats=2), []

        def noting(turn: Turn) -> Turn:
            def loss(batch: Batch, clock: Clock) -> Loss:
                seen.append(batch["latent"])
                return turn.loss(batch, clock)

            return Turn(turn.name, turn.player, loss, repeats=turn.repeats)

        game.turns = [noting(turn) for turn in game.turns]
        train(game, toy_data, budget=Budget(samples=24), micro_batch=micro_batch)
        return list(torch.cat(seen).split(6))

    whole, parts = latents(None), latents(4)
    assert len(whole) == 6
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(whole, 2))


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_seed_others(
    toy_game: Build, toy_data: Data
) -> None:
    first = played(toy_game(dropout=0.5), toy_data, seed=3)
    torch.manual_seed(99)
    assert not differing(first, played(toy_game(dropout=0.5), toy_data, seed=3))
    assert differing(first, played(toy_game(dropout=0.5), toy_data, seed=4))


def test_hooks_that_draw_random_numbers_change_nothing(toy_game: Build, toy_data: Data) -> None:
    def meddling(report: Report) -> None:
        torch.manual_seed(report.clock.samples + 5)
        torch.rand(100)
        report.game.generate(Request(3))

    expected = played(toy_game(dropout=0.5), toy_data)
    assert not differing(expected, played(toy_game(dropout=0.5), toy_data, hooks=[meddling]))


def test_stopped_and_continued_equals_whole_bit_for_bit(toy_game: Build, toy_data: Data) -> None:
    whole, game, clock = played(toy_game(repeats=2, dropout=0.5), toy_data), toy_game(repeats=2, dropout=0.5), None
    for _ in range(2):
        clock, stop = train(
            game,
            toy_data,
            budget=Budget(samples=60),
            clock=clock,
            hooks=[lambda r: Stop("half") if r.clock.samples == 24 else None],
        )
    assert stop is None
    assert not differing(whole, state(game))


def test_long_gradients_are_shortened_to_the_clip(toy_data: Data) -> None:
    network = nn.Linear(2, 1, bias=False)
    player = Player(network, torch.optim.SGD(network.parameters(), 1.0), clip=0.5)
    before, batch = network.weight.detach().clone(), next(toy_data(0))
    turn = Turn("only", player, lambda batch, clock: Loss({"far": 100 * network(batch["x"]).mean()}))
    network.requires_grad_(False)
    taken = take(turn, batch, Clock())
    assert (network.weight - before).norm().item() == pytest.approx(0.5, rel=1e-5)
    assert taken.grad_norm.item() == pytest.approx(100 * batch["x"].mean(0).norm().item(), rel=1e-5)


def test_the_rate_of_a_turn_is_the_schedules_at_this_clock(toy_data: Data) -> None:
    network, rates = nn.Linear(2, 1), []
    player = Player(network, torch.optim.SGD(network.parameters(), 1.0), lr=lambda clock: 1 - clock.progress)
    game = Game(
        {"only": player},
        [Turn("only", player, lambda batch, clock: Loss({"mean": network(batch["x"]).mean()}))],
        generate=lambda request: {},
    )
    train(
        game,
        toy_data,
        budget=Budget(samples=24),
        hooks=[lambda r: rates.append(player.optimizer.param_groups[0]["lr"])],
    )
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_under_bf16_networks_compute_in_bf16_and_weights_and_losses_stay_in_float32(
    toy_game: Build, toy_data: Data
) -> None:
    game, reports, seen = toy_game(), [], []
    game.players["generator"].network.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    final = played(game, toy_data, samples=12, precision=torch.bfloat16, hooks=[collecting(reports)])
    assert set(seen) == {torch.bfloat16}
    assert {value.dtype for value in final.values()} == {torch.float32}
    assert {term.dtype for loss in reports[0].losses.values() for term in loss.terms.values()} == {torch.float32}


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch norm"])
def test_a_non_finite_loss_changes_nothing_but_the_position_in_the_data(
    norm: bool, toy_game: Build, toy_data: Data
) -> None:
    game, reports = toy_game(norm=norm), []
    clock, _ = train(game, toy_data, budget=Budget(samples=24))
    before = state(game)
    train(game, spoiled(toy_data, range(24, 30)), budget=Budget(samples=30), clock=clock, hooks=[collecting(reports)])
    assert not differing(before, state(game))
    (report,) = reports
    assert (report.clock.step, report.clock.samples) == (4, 30)
    assert list(report.losses) == ["critic"], "the generator's turn is not taken"
    assert report.failed is not None
    assert "'critic'" in report.failed
    assert "cross_entropy = nan" in report.failed


def test_a_buffer_that_a_loss_puts_anew_is_put_back_as_well(toy_game: Build, toy_data: Data) -> None:
    game = toy_game()
    history = game.extras["history"]
    history.see = lambda value: setattr(history, "mean", history.mean.lerp(value.detach().mean(), 0.1))
    train(game, spoiled(toy_data, range(6)), budget=Budget(samples=6))
    assert history.mean.item() == 0.0


def test_a_non_finite_gradient_of_a_finite_loss_is_refused(toy_data: Data) -> None:
    network = nn.Linear(2, 1)
    player = Player(network, torch.optim.Adam(network.parameters(), 0.1))
    turn = Turn("only", player, lambda batch, clock: Loss({"root": (network.weight.sum() * 0).sqrt()}))
    game, before = Game({"only": player}, [turn], generate=lambda request: {}), copy.deepcopy(network.state_dict())
    network.requires_grad_(False)
    report = step(game, toy_data(0), Clock(), seed=0)
    assert report.failed == "turn 'only' refused: root = 0, gradient norm nan"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not player.optimizer.state
    assert report.clock == Clock(step=0, samples=6)


def test_a_few_bad_batches_are_skipped(toy_game: Build, toy_data: Data) -> None:
    reports: list[Report] = []
    clock, stop = train(
        toy_game(),
        spoiled(toy_data, range(12, 30)),
        budget=Budget(samples=60),
        guard=Guard(skip=3),
        hooks=[collecting(reports)],
    )
    assert [report.failed is not None for report in reports] == [False] * 2 + [True] * 3 + [False] * 5
    assert (clock.step, clock.samples, stop) == (7, 60, None)


def test_a_divergence_is_rolled_back_at_half_the_rate_each_time_and_then_diagnosed(
    toy_game: Build, toy_data: Data, tmp_path: Path
) -> None:
    game, calls, scales = toy_game(), [], []

    def save_once(report: Report) -> None:
        if report.clock.samples == 12:
            checkpoint.save(tmp_path, game, report.clock)

    def recover() -> Clock:
        calls.append(1)
        return checkpoint.load(checkpoint.newest(tmp_path), game)

    def note(report: Report) -> None:
        if report.clock.samples == 18:
            scales.append(game.players["critic"].rate_scale)

    with pytest.raises(DivergedError, match="'critic' refused: cross_entropy = nan, r1 = ") as error:
        train(
            game,
            spoiled(toy_data, range(30, 10_000)),
            budget=Budget(samples=600),
            guard=Guard(skip=1, rollbacks=2, recover=recover),
            hooks=[save_once, note],
        )
    assert len(calls) == 2
    assert scales == [1.0, 0.5, 0.25]
    assert "2 rollbacks" in str(error.value)
    assert "all weights are finite" in str(error.value)


def test_without_a_way_back_a_divergence_is_diagnosed_at_once(toy_game: Build, toy_data: Data) -> None:
    game = toy_game()
    with torch.no_grad():
        next(game.players["generator"].network.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match="the weights of generator are not finite"):
        train(game, toy_data, budget=Budget(samples=600), guard=Guard(skip=0))


def test_a_budget_needs_exactly_one_positive_measure() -> None:
    for wrong in ({}, {"samples": 1, "minutes": 1.0}, {"samples": 0}, {"minutes": -1.0}):
        with pytest.raises(UsageError, match="exactly one of samples and minutes"):
            Budget(**wrong)
    assert Budget(samples=8).progress(4, 1e9) == 0.5
    assert Budget(samples=8).progress(9, 0) == 1.0
    assert Budget(minutes=2).progress(10**9, 30) == 0.25


def test_a_budget_in_minutes_ends_and_its_progress_never_falls(toy_game: Build, toy_data: Data) -> None:
    seen: list[float] = []
    clock, stop = train(
        toy_game(),
        toy_data,
        budget=Budget(minutes=0.004),
        clock=Clock(minutes=0.002),
        hooks=[lambda report: seen.append(report.clock.progress)],
    )
    assert seen == sorted(seen)
    assert seen[0] >= 0.5
    assert (clock.progress, stop) == (1.0, None)


def test_a_used_up_budget_takes_no_step(toy_game: Build, toy_data: Data) -> None:
    game = toy_game()
    before, clock = state(game), Clock(step=3, samples=18)
    assert train(game, toy_data, budget=Budget(samples=18), clock=clock)[0].samples == 18
    assert not differing(before, state(game))


def test_the_first_stop_ends_the_run_after_every_hook_of_the_step_was_called(toy_game: Build, toy_data: Data) -> None:
    counts: list[int] = []

    def stop_at(samples: int, reason: str) -> Hook:
        return lambda report: Stop(reason) if report.clock.samples >= samples else None

    hooks = [stop_at(12, "first"), stop_at(12, "second"), lambda report: counts.append(report.clock.samples)]
    clock, stop = train(toy_game(), toy_data, budget=Budget(samples=600), hooks=hooks)
    assert stop == Stop("first")
    assert counts == [6, 12]
    assert clock.samples == 12


def test_a_report_tells_what_was_drawn_and_carries_no_graph(toy_game: Build, toy_data: Data) -> None:
    reports: list[Report] = []
    game = toy_game(repeats=3)
    train(game, toy_data, budget=Budget(samples=18), hooks=[collecting(reports)])
    (report,) = reports
    assert (report.drawn, report.clock.samples, report.game, report.failed) == (18, 18, game, None)
    assert set(report.losses) == set(report.grad_norms) == {"critic", "generator"}
    tensors = [value for loss in report.losses.values() for value in (*loss.terms.values(), *loss.watch.values())]
    assert not any(value.requires_grad for value in tensors)


@pytest.mark.parametrize("index", [0, 1], ids=["critic", "generator"])
def test_the_gradient_that_compiling_checks_is_the_turns_own_and_nothing_moves(
    index: int, toy_game: Build, toy_data: Data
) -> None:
    game, batch = toy_game(), next(toy_data(0))
    before, turn = state(game), game.turns[index]
    found = gradients(game, turn.name, batch, Clock())
    assert not differing(before, state(game))
    take(turn, batch | draw(game, batch, 0), Clock())
    torch.testing.assert_close(found, torch.cat([parameter.grad.flatten() for parameter in turn.player.parameters]))


@pytest.mark.parametrize("micro_batch", [None, 5, 2])
def test_after_an_update_a_turn_hears_the_means_of_the_whole_batch(
    toy_game: Callable[..., Game], toy_data: Callable[[int], Iterator[Batch]], micro_batch: int | None
) -> None:
    game, heard = toy_game(), []
    batch = next(toy_data(0)) | draw(game, next(toy_data(0)), 1)
    expected = game.turns[0].loss(batch, Clock()).watch["real_score"].detach().mean()
    turn = replace(game.turns[0], after=heard.append)
    take(turn, batch, Clock(), micro_batch=micro_batch)
    take(
        replace(turn, loss=lambda batch, clock: Loss({"lost": turn.loss(batch, clock).total * math.nan})),
        batch,
        Clock(),
    )
    assert len(heard) == 1  # a refused update is none
    assert float(heard[0]["real_score"]) == pytest.approx(float(expected), abs=1e-6)
