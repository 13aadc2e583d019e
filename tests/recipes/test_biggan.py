"""What BigGAN does beside training: sampling, truncation, options for small sets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from organza.errors import DataError, UsageError
from organza.game import Clock, Game, Request
from organza.recipe import find
from organza.trainer import draw, step, take
from worlds import shapes

WORLD = shapes()
SMALL_SETS: dict[str, Any] = {
    "lecam": 0.3,
    "augment": ("translation", "cutout"),
    "real_consistency": 10.0,
    "fake_consistency": 10.0,
}


def game(**fields: Any) -> Game:
    torch.manual_seed(0)
    built = find("biggan:tiny", **fields).recipe.build(WORLD.spec)
    for player in built.players.values():
        player.network.requires_grad_(False).train()
    return built


def stepped(built: Game, times: int) -> Game:
    batches, clock = WORLD.batches(16), Clock()
    for _ in range(times):
        clock = step(built, batches, clock, seed=0).clock
    return built


def images(built: Game, request: Request) -> Tensor:
    return built.generate(request)["image"]


def test_a_sample_depends_on_seed_and_index_alone_and_sampling_changes_nothing() -> None:
    built = stepped(game(), 3)
    before = [buffer.clone() for buffer in built.buffers()]
    whole = images(built, Request(7, seed=5))
    torch.testing.assert_close(images(built, Request(3, seed=5, start=4)), whole[4:], atol=1e-5, rtol=0)
    assert torch.equal(images(built, Request(7, seed=5)), whole)
    assert all(torch.equal(now, then) for now, then in zip(built.buffers(), before, strict=True))


def test_standing_statistics_replace_the_running_ones_of_the_averaged_weights() -> None:
    standing, running = (stepped(game(standing=count), 3) for count in (4, 0))
    weights = [[p for p in built.players["generator"].averaged.parameters()] for built in (standing, running)]
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
    assert not torch.equal(images(standing, Request(4)), images(running, Request(4)))


def test_truncation_takes_variety_away_until_nothing_but_the_class_is_left() -> None:
    built, label = game(standing=0), torch.zeros(64, dtype=torch.int64)
    spread = [
        float(images(built, Request(64, labels=label, truncation=truncation)).std(0).mean())
        for truncation in (1.0, 0.7, 0.4, 0.1, 0.0)
    ]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] == pytest.approx(0, abs=1e-6)


def test_latents_that_are_given_are_not_cut() -> None:
    built, latents = game(standing=0), 5 * torch.ones(2, 8)
    labels = torch.tensor([0, 1])
    found = [images(built, Request(2, latents=latents, labels=labels, truncation=t)) for t in (1.0, 0.5)]
    assert torch.equal(*found)


def test_options_for_small_sets_give_the_gradient_of_the_batch_in_micro_batches() -> None:
    built, batch = stepped(game(generator_norm="none", **SMALL_SETS), 2), next(WORLD.batches(16))
    for turn in built.turns:
        noisy, gradients = batch | draw(built, batch, 5), []
        for micro_batch in (16, 5):
            state = [*turn.player.parameters, *built.buffers()]
            saved = [value.clone() for value in state]
            taken = take(turn, noisy, Clock(), micro_batch=micro_batch)
            gradients.append(torch.cat([p.grad.flatten() for p in turn.player.parameters if p.grad is not None]))
            with torch.no_grad():
                torch._foreach_copy_(state, saved)
        if turn.name == "critic":
            assert set(taken.loss.terms) == {"hinge", "lecam", "real_consistency", "fake_consistency"}
        whole, parts = gradients
        assert float((whole - parts).norm() / whole.norm()) < 1e-4


def test_lecam_goes_by_the_scores_of_late_and_the_critics_turn_moves_them() -> None:
    built, batch = game(lecam=0.3), next(WORLD.batches(16))
    turn, means = built.turns[0], built.extras["of_late"]
    taken = take(turn, batch | draw(built, batch, 1), Clock())
    scores = [taken.loss.watch[name].mean() for name in ("real_score", "fake_score")]
    squares = [taken.loss.watch[name].square().mean() for name in ("real_score", "fake_score")]
    torch.testing.assert_close(taken.loss.terms["lecam"], 0.3 * (squares[0] + squares[1]))  # around 0 at first
    torch.testing.assert_close(means.get_buffer("mean"), torch.stack(scores))


@pytest.mark.parametrize(("real", "fake", "shown"), [(0.0, 0.0, 32), (10.0, 0.0, 48), (10.0, 10.0, 64)])
def test_consistency_shows_the_critic_changed_samples_beside_plain_ones(real: float, fake: float, shown: int) -> None:
    built = game(augment=("translation",), real_consistency=real, fake_consistency=fake)
    counts: list[int] = []
    built.players["critic"].network.register_forward_hook(lambda module, args, output: counts.append(len(args[0])))
    batch = next(WORLD.batches(16))
    take(built.turns[0], batch | draw(built, batch, 1), Clock())
    assert counts == [shown]


def test_contradictions_are_refused() -> None:
    with pytest.raises(UsageError, match=r"real_consistency needs changes .* --augment"):
        game(real_consistency=10.0)
    with pytest.raises(UsageError, match="latent 1 is too short"):
        game(latent=1)
    with pytest.raises(DataError, match=r"attention 3 .* smallest ones here have 4"):
        game(attention=3)
