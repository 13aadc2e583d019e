"""What an examination measures: closed cases, and that it leaves the game as it was."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import worlds
from organza.data.source import decode
from organza.doctor.examine import Examiner, clusters, relative_step
from organza.game import Clock, Game, Loss, Request
from organza.recipes.dcgan import DCGAN, PRESETS
from organza.trainer import step

CLOCK = Clock(step=40, samples=640, progress=0.5)
WORLD = worlds.shapes(400)
UNSEEN = worlds.shapes(200)


def game_of(recipe: DCGAN = PRESETS["tiny"]) -> Game:
    torch.manual_seed(0)
    return recipe.build(WORLD.spec)


def made_of(game: Game, samples: Tensor, label: Tensor) -> Game:
    """The game, with a generator that returns these samples."""
    game.generate = lambda request: {
        "image": samples[torch.arange(request.count) % len(samples)],
        "label": label[torch.arange(request.count) % len(label)],
    }
    return game


def real(indices: slice) -> tuple[Tensor, Tensor]:
    batch = decode(WORLD.read(np.arange(400)[indices]), WORLD.spec)
    return batch["image"], batch["label"]


def test_a_generator_that_equals_the_data_looks_like_it() -> None:
    examiner = Examiner(WORLD, UNSEEN, batch=16)
    signals = examiner(made_of(game_of(), *real(slice(None))), CLOCK)
    assert signals["health/spread"] == pytest.approx(1.0, abs=0.1)
    assert signals["health/distance"] < 2 * signals["health/floor"]
    assert signals["health/low"] == pytest.approx(signals["health/real_low"], abs=0.05)
    counts = torch.tensor(signals["health/counts"]) / sum(signals["health/counts"])
    torch.testing.assert_close(counts, torch.tensor(signals["health/shares"]), atol=0.1, rtol=0)


def test_one_sample_again_and_again_has_no_spread_and_one_class() -> None:
    image, label = real(slice(1))
    signals = Examiner(WORLD, None, batch=16)(made_of(game_of(), image, label), CLOCK)
    assert signals["health/spread"] == pytest.approx(0, abs=1e-6)
    assert signals["health/twin"] == "nan"  # the shapes repeat themselves, so there is nothing to compare with
    assert sorted(signals["health/counts"])[0] == 0
    assert signals["health/nearness"] == "nan"  # nothing unseen to compare with


def test_samples_that_move_have_drift_and_those_that_stay_have_none() -> None:
    examiner, game = Examiner(WORLD, None, batch=16), game_of()
    assert examiner(game, CLOCK)["health/drift"] == "nan"
    assert examiner(game, CLOCK)["health/drift"] == 0
    with torch.no_grad():
        for parameter in game.players["generator"].averaged.parameters():
            parameter.add_(0.3)
    assert examiner(game, CLOCK)["health/drift"] > 0


def test_drift_does_not_depend_on_how_often_one_looks() -> None:
    image, label = real(slice(250))
    often, seldom = Examiner(WORLD, None, batch=16), Examiner(WORLD, None, batch=16)
    for samples in range(1_000, 1_101):  # the fakes walk from one sample to the next
        made = made_of(game_of(), image.roll(samples % 250, dims=0) * (samples / 1_100), label)
        clock = replace(CLOCK, samples=samples)
        frequent = often(made, clock)["health/drift"]
        rare = seldom(made, clock)["health/drift"] if samples % 50 == 0 else rare
    assert frequent == pytest.approx(rare, rel=0.15)
    assert len(often.before) <= 60


def test_an_examination_changes_nothing_and_tells_the_same_twice() -> None:
    game, twin = game_of(), game_of()
    first = Examiner(WORLD, UNSEEN, batch=16)(game, CLOCK)
    assert Examiner(WORLD, UNSEEN, batch=16)(game, CLOCK) == first
    for mine, other in zip(game.modules(), twin.modules(), strict=True):
        assert all(
            torch.equal(a, b) for a, b in zip(mine.state_dict().values(), other.state_dict().values(), strict=True)
        )
        assert mine.training == other.training
    batches = [WORLD.batches(16), WORLD.batches(16)]
    reports = [step(g, b, CLOCK, seed=3) for g, b in zip((game, twin), batches, strict=True)]
    for name, loss in reports[0].losses.items():
        assert torch.equal(loss.total, reports[1].losses[name].total)


def test_a_detached_penalty_has_a_value_and_no_pull() -> None:
    game = game_of()
    turn = game.turns[0]

    def detached(batch: dict[str, Tensor], clock: Clock) -> Loss:
        loss = turn.loss(batch, clock)
        return Loss({k: v.detach() if k == "r1" else v for k, v in loss.terms.items()}, loss.watch)

    healthy = Examiner(WORLD, None, batch=16)(game, CLOCK)
    game.turns[0] = replace(turn, loss=detached)
    sick = Examiner(WORLD, None, batch=16)(game, CLOCK)
    assert healthy["health/pull/critic/r1"] > 0
    assert sick["health/pull/critic/r1"] == 0
    assert sick["health/term/critic/r1"] == healthy["health/term/critic/r1"] > 0


def test_statistics_that_do_not_fit_part_evaluation_from_training() -> None:
    game = game_of(replace(PRESETS["tiny"], halflife=0.0))
    network = game.players["generator"].network
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_var.fill_(1e6)  # type: ignore[union-attr]
    examiner = Examiner(WORLD, None, batch=16)
    assert "health/distance_batch" not in examiner(game, CLOCK)  # the costly looks take turns
    signals = examiner(game, CLOCK)
    assert signals["health/distance"] != signals["health/distance_batch"]
    assert all(part.running_mean is not None for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d))


def test_step_sizes_are_relative() -> None:
    player = game_of().players["critic"]
    before = [parameter.detach().clone() for parameter in player.parameters]
    assert relative_step(before, player) == 0
    with torch.no_grad():
        for parameter in player.parameters:
            parameter.mul_(1.01)
    assert relative_step(before, player) == pytest.approx(0.01, rel=1e-3)


def test_clusters_of_a_ring_are_its_modes() -> None:
    points = worlds.ring(256).samples["vector"]
    group, count = clusters(points, 8)
    assert count == 8
    mode = torch.arange(256) % 8
    assert all(len(set(group[mode == index].tolist())) == 1 for index in range(8))


def test_a_tiny_source_can_be_examined() -> None:
    world = worlds.shapes(3)
    signals = Examiner(world, None, batch=2)(game_of(), CLOCK)
    assert math.isfinite(signals["health/spread"])


def test_the_request_of_an_examination_is_always_the_same() -> None:
    asked: list[Request] = []
    game = game_of()
    generate = game.generate
    game.generate = lambda request: (asked.append(request), generate(request))[1]
    Examiner(WORLD, None, batch=16)(game, CLOCK)
    assert {request.seed for request in asked} == {0xD0C}


def test_fakes_that_look_augmented_are_told_from_those_that_look_like_the_data() -> None:
    fields = {"augment": ("invert", "pseudo"), "augment_share": 1.0}
    image, label = real(slice(None))
    examiner = Examiner(WORLD, None, batch=16)
    healthy = examiner(made_of(game_of(replace(PRESETS["tiny"], **fields)), image, label), CLOCK)
    leaking = Examiner(WORLD, None, batch=16)(
        made_of(game_of(replace(PRESETS["tiny"], **fields)), torch.stack([-image, image], 1).flatten(0, 1), label),
        CLOCK,
    )
    assert [key for key in healthy if "leak" in key] == ["health/leak/invert"]
    assert healthy["health/leak/invert"] == pytest.approx(0, abs=0.1)
    assert leaking["health/leak/invert"] == pytest.approx(1, abs=0.2)  # half of the inverted ones were inverted


def test_the_picture_of_an_illness_shows_what_is_wrong() -> None:
    image, label = real(slice(None))
    examiner = Examiner(WORLD, None, batch=16)
    examiner(made_of(game_of(), image, label), CLOCK)
    assert examiner.exhibit is not None
    fakes, nearest = examiner.exhibit.nearest_real()
    assert torch.equal(fakes, nearest)  # they are copies, so each is its own nearest sample
    above, below = examiner.exhibit.nearest_fake()
    assert above.shape == below.shape
    shapes = {examiner.exhibit.picture(name).size for name in ("memorisation", "sameness")}
    assert len(shapes) == 1
    assert examiner.exhibit.picture("mode_collapse").size[1] > next(iter(shapes))[1]
