"""The vocabulary: clock, windows of turns, players and their averages, generation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from organza.game import Clock, Game, Loss, Player, Report, Request, Stop, Turn, every
from organza.inference import at_once, evaluating, from_latents, labels, latents


def player(network: nn.Module | None = None, **options: object) -> Player:
    network = network or nn.Linear(2, 1)
    return Player(network, torch.optim.SGD(network.parameters(), 0.1), **options)


def turn(**window: Any) -> Turn:
    return Turn("t", player(), lambda batch, clock: Loss({}), **window)


def called_at(counts: list[int], *, period: int, drawn: int) -> list[int]:
    """The sample counts among `counts` at which a hook of `every(period)` is called."""
    calls: list[int] = []
    hook = every(period, lambda report: calls.append(report.clock.samples))
    for samples in counts:
        hook(Report(Clock(samples=samples), {}, {}, Game({}, [], lambda request: {}), drawn=drawn))
    return calls


def test_a_step_counts_once_and_a_refused_one_only_its_samples() -> None:
    clock = Clock(progress=0.5).tick(32).tick(16, advance=False)
    assert clock == Clock(step=1, samples=48, progress=0.5)


def test_a_loss_is_the_sum_of_its_terms_in_float32() -> None:
    total = Loss({"a": torch.tensor(1.5).bfloat16(), "b": torch.tensor(2.0)}).total
    assert total.dtype == torch.float32
    assert total.item() == 3.5


@pytest.mark.parametrize(
    ("window", "steps"),
    [
        ({}, range(12)),
        ({"every": 4}, [0, 4, 8]),
        ({"begin": 0.25, "end": 0.5}, [3, 4, 5]),
        ({"begin": 0.25, "every": 4}, [4, 8]),
        ({"end": 0.0}, []),
    ],
)
def test_a_turn_is_due_on_every_nth_step_of_its_share_of_the_budget(window: dict[str, Any], steps: list[int]) -> None:
    clocks = [Clock(step, progress=step / 12) for step in range(12)]
    assert [clock.step for clock in clocks if turn(**window).due(clock)] == list(steps)


def test_every_calls_once_for_each_multiple_that_is_passed() -> None:
    assert called_at(list(range(30, 400, 30)), period=100, drawn=30) == [120, 210, 300]


def test_every_calls_once_when_one_step_passes_several_multiples() -> None:
    assert called_at([250, 500, 750], period=100, drawn=250) == [250, 500, 750]


def test_every_behaves_in_a_resumed_run_as_in_the_whole_one() -> None:
    counts = list(range(64, 2_000, 64))
    whole = called_at(counts, period=100, drawn=64)
    for cut in range(1, len(counts)):
        parts = called_at(counts[:cut], period=100, drawn=64) + called_at(counts[cut:], period=100, drawn=64)
        assert parts == whole


def test_every_hands_on_what_the_hook_returns() -> None:
    hook = every(1, lambda report: Stop("enough"))
    assert hook(Report(Clock(samples=1), {}, {}, Game({}, [], lambda request: {}), drawn=1)) == Stop("enough")


def test_without_a_halflife_the_average_is_the_network() -> None:
    subject = player()
    assert subject.averaged is subject.network
    subject.update_average(10, 10)


def test_the_first_updates_of_an_average_have_a_twentieth_of_the_samples_seen_as_their_halflife() -> None:
    subject = player(halflife=1_000.0)
    expected = copy.deepcopy(subject.averaged.weight.detach())
    for update in range(1, 4):
        nn.init.normal_(subject.network.weight)
        subject.update_average(100, 100 * update)
        keep = 0.5 ** (100 / (0.05 * 100 * update))
        expected = keep * expected + (1 - keep) * subject.network.weight.detach()
        torch.testing.assert_close(subject.averaged.weight.detach(), expected)


def test_a_late_average_moves_half_way_in_one_halflife_whatever_the_batch() -> None:
    for batch in (10, 50, 100):
        subject = player(halflife=100.0)
        nn.init.zeros_(subject.averaged.weight)
        nn.init.ones_(subject.network.weight)
        for _ in range(100 // batch):
            subject.update_average(batch, 1_000_000)
        torch.testing.assert_close(subject.averaged.weight, torch.full((1, 2), 0.5), check_device=False)


def test_batch_statistics_are_averaged_with_the_weights_and_other_buffers_copied() -> None:
    subject = player(nn.BatchNorm1d(3), halflife=100.0)
    subject.network.running_mean.fill_(4.0)
    subject.network.running_var.fill_(3.0)
    subject.network.num_batches_tracked.fill_(9)
    subject.update_average(100, 1_000_000)
    torch.testing.assert_close(subject.averaged.running_mean, torch.full((3,), 2.0))
    torch.testing.assert_close(subject.averaged.running_var, torch.full((3,), 2.0))
    assert subject.averaged.num_batches_tracked.item() == 9


def test_an_average_is_in_evaluation_mode_and_never_trained() -> None:
    subject = player(halflife=1.0)
    assert not subject.averaged.training
    assert not any(parameter.requires_grad for parameter in subject.averaged.parameters())


def test_the_rate_is_the_schedules_or_the_groups_own_times_the_scale() -> None:
    network = nn.Linear(2, 1)
    groups = [{"params": [network.weight], "lr": 0.1}, {"params": [network.bias], "lr": 0.3}]
    own, scheduled = Player(network, torch.optim.SGD(groups)), player(lr=lambda clock: 2 * clock.progress)
    own.rate_scale = scheduled.rate_scale = 0.5
    for _ in range(2):  # the scale is applied to the base rate, not to the last one
        own.set_rate(Clock())
        scheduled.set_rate(Clock(progress=0.25))
    assert [group["lr"] for group in own.optimizer.param_groups] == pytest.approx([0.05, 0.15])
    assert scheduled.optimizer.param_groups[0]["lr"] == pytest.approx(0.25)


def moved_once(game: Game) -> Game:
    """The game after one optimizer step of each player, so that the optimizers have state."""
    for subject in game.players.values():
        sum(parameter.sum() for parameter in subject.network.parameters()).backward()
        subject.optimizer.step()
    return game


def moments(game: Game) -> list[Tensor]:
    states = [state for subject in game.players.values() for state in subject.optimizer.state.values()]
    return [state[key] for state in states for key in ("exp_avg", "exp_avg_sq")]


def test_moving_a_game_puts_the_optimizers_state_where_the_parameters_are(toy_game: Callable[..., Game]) -> None:
    game = moved_once(toy_game())
    before = [value.clone() for value in moments(game)]
    for subject in game.players.values():
        for state in subject.optimizer.state.values():
            state["exp_avg"] = state["exp_avg"].double()  # stands for another device, which a CPU does not have
    for found, expected in zip(moments(game.to("cpu")), before, strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


@pytest.mark.gpu
def test_a_game_moves_to_the_gpu_with_networks_averages_extras_and_optimizer_state(
    toy_game: Callable[..., Game],
) -> None:
    game = moved_once(toy_game()).to("cuda")
    tensors = [value for module in game.modules() for value in module.state_dict().values()] + moments(game)
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    moved_once(game)


@pytest.mark.parametrize("count", [1, 249, 250, 251, 600])
def test_the_first_samples_do_not_depend_on_how_many_are_asked_for(count: int, toy_game: Callable[..., Game]) -> None:
    generate, k = toy_game().generate, min(count, 300)
    torch.testing.assert_close(generate(Request(count, seed=3))["x"][:k], generate(Request(700, seed=3))["x"][:k])
    assert torch.equal(latents(Request(count, seed=3), 5)[:k], latents(Request(700, seed=3), 5)[:k])
    assert torch.equal(labels(Request(count, seed=3), 7)[:k], labels(Request(700, seed=3), 7)[:k])


class Enlarging(nn.Module):
    """A latent to 2048 x 2048 copies of it; notes how many samples it makes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.asked: list[int] = []

    def forward(self, latent: Tensor) -> Tensor:
        self.asked.append(len(latent))
        return (self.weight * latent)[:, :, None].expand(-1, 2048, 2048)


def test_large_samples_are_made_a_few_at_once() -> None:
    network = Enlarging()
    made = from_latents(player(network), 1, key="x", chunk=2)(Request(3))["x"]
    assert network.asked == [2, 1]
    torch.testing.assert_close(made[:, 0, :1], latents(Request(3), 1))
    assert [at_once(shape) for shape in ((2,), (3, 64, 64), (3, 256, 256), (1, 10**5, 10**4))] == [250, 250, 21, 1]


def test_another_seed_gives_other_latents_and_they_are_standard_normal() -> None:
    first, second = latents(Request(2_000, seed=0), 5), latents(Request(2_000, seed=1), 5)
    assert not torch.equal(first, second)
    assert abs(first.mean().item()) < 4 / 10_000**0.5
    assert abs(first.square().mean().item() - 1) < 4 * (2 / 10_000) ** 0.5


def test_truncation_scales_drawn_latents_and_leaves_given_ones_alone() -> None:
    assert torch.equal(latents(Request(4, truncation=0.5), 3), latents(Request(4), 3) * 0.5)
    given = torch.randn(4, 3)
    assert latents(Request(4, latents=given, truncation=0.5), 3) is given


def test_labels_are_uniform_over_the_classes_unless_they_are_given() -> None:
    drawn = labels(Request(3_000), 3)
    assert (drawn.bincount() - 1_000).abs().max().item() < 4 * (3_000 * 2 / 9) ** 0.5
    assert labels(Request(2, labels=torch.tensor([2, 0])), 3).tolist() == [2, 0]


class Conditional(nn.Module):
    """Adds the label to the first latent, times a weight of one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        assert not self.training
        return self.weight * latent + label[:, None]


def test_a_conditional_game_tells_the_labels_it_used_and_decodes() -> None:
    subject = player(Conditional())
    generate = from_latents(subject, 2, key="x", num_classes=4, decode=lambda x: x + 100)
    request = Request(300, labels=torch.arange(300) % 4)
    made = generate(request)
    assert torch.equal(made["label"], request.labels)
    torch.testing.assert_close(made["x"], latents(request, 2) + request.labels[:, None] + 100)
    assert subject.network.training, "the network is left in the mode it was in"


def test_evaluating_puts_the_mode_back_even_after_an_error() -> None:
    network = nn.Linear(1, 1)

    def fail() -> None:
        with evaluating(network):
            assert not network.training
            assert not torch.is_grad_enabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert network.training
    assert torch.is_grad_enabled()
