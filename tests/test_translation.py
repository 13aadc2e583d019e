"""Crops and mirror images: alike for both sides of a pair."""

from __future__ import annotations

import pytest
import torch

from organza.game import Clock, Request
from organza.nets.frame import Frame
from organza.recipe import find
from organza.recipes import RECIPES
from organza.trainer import Budget, draw, train
from organza.translation import jittered
from worlds import world_for


def batch(noise: list[float], count: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    images = torch.rand(count, 1, 8, 12)
    return {"image": images, "source": images.repeat(1, 3, 1, 1), "jitter": torch.tensor([noise] * count)}


def test_nothing_asked_for_leaves_the_very_tensors() -> None:
    before = batch([0.3, 0.8, 0.1])
    assert jittered(before, ("image", "source"), enlarge=0.0, flip=False) is before


def test_a_mirror_turns_left_to_right_and_only_where_the_number_says_so() -> None:
    for number, is_mirrored in ((0.2, True), (0.7, False)):
        before = batch([0.5, 0.5, number])
        after = jittered(before, ("image",), enlarge=0.0, flip=True)["image"]
        expected = before["image"].flip(3) if is_mirrored else before["image"]
        torch.testing.assert_close(after, expected, atol=1e-5, rtol=0)


def test_image_and_source_move_together_whatever_their_sizes() -> None:
    before = batch([0.1, 0.9, 0.2])
    before["source"] = before["source"].repeat_interleave(2, 2).repeat_interleave(2, 3)
    after = jittered(before, ("image", "source"), enlarge=0.25, flip=True)
    shrunk = torch.nn.functional.avg_pool2d(after["source"], 2)[:, :1]
    assert float((shrunk - after["image"]).abs().mean()) < 0.08


def test_a_crop_shows_a_part_enlarged_and_its_place_follows_the_numbers() -> None:
    ramp = torch.linspace(-1, 1, 12).view(1, 1, 1, 12).expand(1, 1, 8, 12)
    spans = []
    for across in (0.0, 0.999):
        given = {"image": ramp, "jitter": torch.tensor([[0.5, across, 0.9]])}
        row = jittered(given, ("image",), enlarge=0.5, flip=False)["image"][0, 0, 4]
        spans.append((float(row[0]), float(row[-1])))
    (left, _), (_, right) = spans
    assert left < -0.9
    assert right > 0.9
    assert all(high - low < 1.5 for low, high in spans)


def test_moved_images_stay_within_their_range() -> None:
    after = jittered(batch([0.4, 0.4, 0.4], count=3), ("image", "source"), enlarge=0.117, flip=True)
    assert all(float(after[key].min()) >= 0 and float(after[key].max()) <= 1 for key in ("image", "source"))


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "cut", "inpaint", "srgan"])
def test_turns_that_mirror_their_pairs_see_what_mirrored_pairs_would_show(name: str) -> None:
    """Every number of every turn, also of one that shares a pass with the turn before it."""
    world, terms = world_for(RECIPES[name]), []
    seen = next(world.batches(4))
    for flip in (True, False):
        torch.manual_seed(0)
        game = find(f"{name}:tiny", flip=flip).recipe.build(world.spec)
        noise = draw(game, seen, 0)
        noise["jitter"] = torch.full_like(noise["jitter"], 0.1)  # all are mirrored
        given = seen if flip else seen | {key: seen[key].flip(3) for key in ("source", "image")}
        batch = given | noise
        late = [turn for turn in game.turns if turn.due(Clock(progress=0.9))]
        with torch.no_grad():
            losses = [turn.loss(batch, Clock(progress=0.9)) for turn in late]
        terms.append([loss.terms for loss in losses])
    assert terms[0] == terms[1]


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
@pytest.mark.parametrize("frame", [False, True])
def test_what_changes_images_begins_with_them_as_they_are_and_learns(name: str, frame: bool) -> None:
    world = world_for(RECIPES[name])
    game = find(f"{name}:tiny", change=True, frame=frame).recipe.build(world.spec)
    sources = next(world.batches(4))["source"]
    request = Request(4, sources=sources)
    torch.testing.assert_close(game.generate(request)["image"], sources)
    train(game, lambda start: world.batches(16, start=start), budget=Budget(samples=64))
    assert not torch.allclose(game.generate(request)["image"], sources)
    learned = [p for key, p in game.players["generator"].network.named_parameters() if key.endswith("frame.shift")]
    assert bool(learned) == frame
    assert all(bool(shift.any()) for shift in learned)


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_a_frame_moves_sources_there_and_back(name: str) -> None:
    world = world_for(RECIPES[name])
    game = find(f"{name}:tiny", change=True, frame=True).recipe.build(world.spec)
    sources = next(world.batches(4))["source"]
    frame = Frame()
    for network in (game.players["generator"].averaged, frame):
        numbers = {key.rpartition(".")[2]: number for key, number in network.named_parameters()}
        numbers["zoom"].data, numbers["shift"].data = torch.tensor([-0.1, 0.2]), torch.tensor([0.3, -0.2])
    there = game.generate(Request(4, sources=sources))["image"]
    torch.testing.assert_close(there, frame(sources))
    if name == "cyclegan":
        back = game.generate(Request(4, sources=there, reverse=True))["image"]
        torch.testing.assert_close(back, frame.undone(there))
