"""Families that are told labels, read them, or find categories of their own: cgan, acgan, infogan."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import organza
from organza.errors import DataError, UsageError
from organza.game import Clock, Game, Loss, Request
from organza.inference import latents
from organza.nets.heads import Codes
from organza.recipe import find
from organza.report.film import size_of
from organza.settings import RunSettings
from organza.trainer import detach, draw
from worlds import World, ring, shapes

TELLING = ["cgan", "acgan"]


def build(name: str, world: World, **fields: Any) -> Game:
    torch.manual_seed(0)
    return find(f"{name}:tiny", **fields).recipe.build(world.spec)


def losses(game: Game, world: World) -> dict[str, Loss]:
    batch = next(world.batches(16))
    noisy = batch | draw(game, batch, 1)
    return {turn.name: detach(turn.loss(noisy, Clock(step=1))) for turn in game.turns}


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize(("classes", "found"), [(0, "no labels"), (1, "one class only")])
def test_data_without_two_classes_is_refused_before_anything_is_written(
    name: str, classes: int, found: str, tmp_path: Path
) -> None:
    arrays = {"images": np.zeros((32, 8, 8, 1), np.uint8)}
    np.savez(tmp_path / "set.npz", **arrays | ({"labels": np.zeros(32, np.int64)} if classes else {}))
    needed = f"needs labels of two classes or more, and this data has {found}: .* organza train dcgan"
    with pytest.raises(DataError, match=needed):
        organza.train(f"{name}:tiny", data=str(tmp_path / "set.npz"), run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=found):
        build(name, shapes(labelled=False) if not classes else one_class())


def one_class() -> World:
    world = shapes()
    world.spec = type(world.spec)(channels=1, height=16, width=16, classes=("square",))
    return world


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("world", [shapes(), ring(labelled=True)], ids=["images", "points"])
def test_samples_of_a_class_can_be_asked_for(name: str, world: World) -> None:
    game, key = build(name, world), world.spec.key
    one, other = (game.generate(Request(4, seed=2, labels=torch.full((4,), label))) for label in (0, 1))
    assert one["label"].tolist() == [0] * 4
    assert (one[key] - other[key]).flatten(1).abs().amax(1).min() > 0


@pytest.mark.parametrize("labels", ["concatenate", "project"])
@pytest.mark.parametrize("world", [shapes(), ring(labelled=True)], ids=["images", "points"])
def test_the_critic_of_cgan_is_told_the_class_either_way(labels: str, world: World) -> None:
    game, batch = build("cgan", world, critic_labels=labels), next(world.batches(16))
    critic = game.players["critic"].network
    right, wrong = (critic(batch[world.spec.key], label) for label in (batch["label"], 1 - batch["label"]))
    assert (right - wrong).abs().min() > 0


@pytest.mark.parametrize("world", [shapes(), ring(labelled=True)], ids=["images", "points"])
def test_a_critic_that_reads_nothing_costs_both_players_of_acgan_what_guessing_costs(world: World) -> None:
    game = build("acgan", world, class_weight=3.0, class_of_fakes=True)
    reader = game.players["critic"].network.reader
    for parameter in reader.parameters():
        parameter.data.zero_()
    found = losses(game, world)
    assert float(found["generator"].terms["class"]) == pytest.approx(3 * math.log(2))
    assert float(found["critic"].terms["class"]) == pytest.approx(2 * 3 * math.log(2))  # on real and on fake samples


@pytest.mark.parametrize("world", [shapes(labelled=False), ring()], ids=["images", "points"])
def test_a_critic_that_reads_nothing_costs_both_players_of_infogan_what_guessing_costs(world: World) -> None:
    game = build("infogan", world, categorical_weight=2.0, continuous_weight=0.5)
    for parameter in game.players["critic"].network.reader.parameters():
        parameter.data.zero_()
    batch = next(world.batches(16))
    noisy = batch | draw(game, batch, 1)
    expected = 0.5 * noisy["latent"][:, 3].square().mean() / 2
    for turn in game.turns:
        terms = detach(turn.loss(noisy, Clock(step=1))).terms
        assert float(terms["categorical"]) == pytest.approx(2 * math.log(3))
        torch.testing.assert_close(terms["continuous"], expected)


def test_the_latents_of_a_request_are_normal_numbers_and_reach_the_network_as_codes() -> None:
    world = shapes(labelled=False)
    game, codes, request = build("infogan", world, noise=1.0), Codes((3,), 1), Request(6, seed=4)
    normal = latents(request, 8)
    network = game.players["generator"].averaged
    with torch.no_grad():
        expected = network.eval()(codes(normal))
    torch.testing.assert_close(game.generate(request)["image"], expected)
    torch.testing.assert_close(game.generate(Request(6, latents=normal))["image"], expected)


def test_codes_longer_than_the_latent_and_codes_that_tell_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match=r"latent 8 .* categorical \(10,\) .* continuous 2 take 12"):
        find("infogan", latent=8)
    for fields in ({"categorical": (1,)}, {"categorical": (), "continuous": 0}, {"continuous": -1}):
        with pytest.raises(UsageError, match=r"categorical .* continuous"):
            find("infogan", **fields)
    build("infogan", ring(), categorical=(), continuous=2)
    build("infogan", ring(), categorical=(2, 2), continuous=0)


@pytest.mark.parametrize("name", ["cgan", "acgan", "infogan"])
def test_fields_that_contradict_each_other_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"critic_norm batch .* r1 must be 0"):
        find(name, critic_norm="batch")
    with pytest.raises(UsageError, match=r"relativistic .* smooth must be 0"):
        find(name, smooth=0.1)


def test_a_class_term_without_weight_is_refused() -> None:
    with pytest.raises(UsageError, match="class_weight must be above 0"):
        find("acgan", class_weight=0.0)


def test_a_finished_run_shows_what_each_code_does_and_a_paused_one_does_not_yet(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", np.random.default_rng(0).integers(0, 256, (32, 8, 12, 3), dtype=np.uint8))
    recipe = find("infogan:tiny", categorical=(3, 12), latent=20).recipe
    settings = RunSettings(samples=64, device="cpu", pause_at=32)
    run = organza.train(recipe, data=str(tmp_path / "set.npy"), run=tmp_path / "run", settings=settings)
    assert not (run.folder / "tour").exists()
    organza.resume(run, settings=RunSettings(device="cpu"))
    names = ["categorical-1", "categorical-2", "continuous-1"]
    assert sorted(path.stem for path in (run.folder / "tour").iterdir()) == names
    sizes = {size_of(run.folder / "tour" / f"{name}.png") for name in names}
    assert sizes == {(12 * (7 * 12 + 2) + 2, 10 * (7 * 8 + 2) + 2)}  # twelve columns, ten rows, enlarged sevenfold
    page = (run.folder / "report.html").read_text()
    assert "What the codes mean" in page
    assert page.count("Fakes that differ along each row") == 3


def test_points_and_families_without_codes_have_no_tour(tmp_path: Path) -> None:
    for name, data in (("infogan", "ring8"), ("cgan", "ring8")):
        settings = RunSettings(samples=32, device="cpu")
        run = organza.train(f"{name}:tiny", data=data, run=tmp_path / name, settings=settings)
        assert not (run.folder / "tour").exists()
        assert "What the codes mean" not in (run.folder / "report.html").read_text()
