"""What `auto` chooses, and that a run keeps it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import organza
from organza.augment import Augment
from organza.auto import ADAPTIVE, FEW, MEASURED, Auto
from organza.cli.__main__ import main
from organza.data import DataOptions, open_source
from organza.data.groups import UnevenGroupsError
from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import CheckpointError, UsageError
from organza.recipe import find
from organza.recipes.r3gan import PRESETS, R3GAN
from organza.settings import RunSettings

DIGITS = ImageSpec(classes=tuple("0123456789"))


def chosen(recipe: Auto | None = None, *, count: int = 60_000, device: str = "cpu") -> R3GAN:
    found = (recipe or Auto()).choose(DIGITS, count=count, device=device).recipe
    assert isinstance(found, R3GAN)
    return found


def test_plenty_of_small_images_and_little_time_take_the_fast_preset_as_it_is() -> None:
    assert chosen() == PRESETS["fast"]


def test_points_take_the_preset_for_toys() -> None:
    found = Auto().choose(VectorSpec(), count=10**6, device="cpu")
    assert (found.name, found.preset) == ("r3gan", "toy")
    assert found.recipe == replace(PRESETS["toy"], conditional="auto")


@pytest.mark.parametrize("recipe", [Auto(), Auto(conditional="no")])
def test_groups_serve_as_classes_where_there_are_no_labels(recipe: Auto) -> None:
    plain, is_told = ImageSpec(), recipe.conditional != "no"
    assert bool(recipe.groups(plain, count=60_000)) == is_told
    assert bool(recipe.groups(VectorSpec(), count=10**6)) == is_told
    assert recipe.groups(DIGITS, count=60_000) == 0
    assert recipe.groups(plain, count=39) == 0
    assert recipe.groups(plain, count=40) == recipe.groups(plain, count=119) == 2 * is_told
    assert recipe.groups(plain, count=5120) == recipe.groups(plain, count=10**6) == 128 * is_told
    assert recipe.groups(replace(plain, channels=3), count=10**6) == 64 * is_told


def test_data_that_cannot_be_divided_evenly_gets_no_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "copies.npz", images=kinds[np.arange(200) % 3])
    settings, data = RunSettings(doctor="off", run=tmp_path / "run"), str(tmp_path / "copies.npz")
    with pytest.raises(UnevenGroupsError, match="leave out --clusters"):
        open_source(data, DataOptions(clusters=5))
    run = organza.train(data=data, samples=64, settings=settings)
    assert (run.data_options.clusters, run.spec.num_classes) == (0, 0)
    assert "auto: no groups as classes: so many samples of copies are alike" in capsys.readouterr().out
    assert organza.resume(run).spec == run.spec


def test_a_run_without_labels_reads_its_data_in_groups_and_goes_on_with_them(tmp_path: Path) -> None:
    settings, options = RunSettings(doctor="off", run=tmp_path / "run"), DataOptions(labels=False, limit=5120)
    run = organza.train(samples=64, settings=settings, options=options)
    assert run.data_options.clusters == run.spec.num_classes == 128
    assert organza.train(samples=64, settings=settings, options=options).spec == run.spec
    assert organza.resume(run).spec == run.spec


def test_few_images_are_augmented_as_far_as_the_critic_gets_surer_and_many_are_not() -> None:
    few = chosen(count=FEW - 1)
    assert (few.augment, few.augment_target) == (ADAPTIVE, 0.2)
    adapting = few.build(DIGITS).extras["augment"]
    assert isinstance(adapting, Augment)
    assert float(adapting.strength) == 0  # none at first
    assert not chosen(count=FEW).augment


@pytest.mark.parametrize(("height", "width"), [(MEASURED, MEASURED), (MEASURED + 1, 8), (8, MEASURED + 1)])
def test_what_has_not_been_measured_is_said(height: int, width: int) -> None:
    why = Auto().choose(ImageSpec(height=height, width=width), count=10**6, device="cpu").why
    assert ("not measured above 64 pixels" in why[0]) == (max(height, width) > MEASURED)


def test_a_batch_is_no_larger_than_the_data() -> None:
    assert chosen(count=20).batch == 20


def test_what_is_asked_for_wins_over_what_would_be_chosen() -> None:
    recipe = chosen(Auto(batch=16, conditional="no"), count=100)
    assert (recipe.batch, recipe.conditional) == (16, "no")
    assert recipe.augment


def test_every_field_that_is_moved_has_a_reason() -> None:
    found = Auto().choose(DIGITS, count=100, device="cuda")
    moved = {key for key, value in vars(found.recipe).items() if value != getattr(R3GAN, key)}
    assert moved == {
        word for line in found.why[1:] for part in line.split(":")[0].split(",") for word in part.split()[:1]
    }


def test_fields_of_families_are_not_fields_of_auto() -> None:
    with pytest.raises(UsageError, match="width"):
        find("auto", width=8)


def test_a_run_keeps_what_was_chosen_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "few.npz", images=np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8))
    folder = tmp_path / "run"
    settings = RunSettings(doctor="off", run=folder)
    run = organza.train(data=str(tmp_path / "few.npz"), samples=80, settings=settings)
    told = capsys.readouterr().out
    saved = json.loads((folder / "run.json").read_text())["recipe"]
    assert (saved["name"], saved["preset"], saved["fields"]["batch"]) == ("r3gan", "fast", 40)
    assert saved["fields"]["augment"]
    assert saved["why"]
    assert all(f"auto: {line}" in told for line in saved["why"])
    assert organza.train(data=str(tmp_path / "few.npz"), samples=80, settings=settings).recipe == run.recipe


def test_a_dry_run_shows_what_would_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "ring8", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "auto: r3gan:toy" in told
    assert "[recipe: R3GAN]" in told


def test_an_option_of_families_says_that_a_family_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--width", "48"]) == 2
    assert "organza train r3gan:fast --width" in capsys.readouterr().err


def test_what_is_asked_of_a_run_that_is_there_must_be_what_it_was_started_with(tmp_path: Path) -> None:
    settings, options = RunSettings(doctor="off", run=tmp_path / "run"), DataOptions(limit=40)
    organza.train(samples=40, settings=settings, options=options)
    with pytest.raises(CheckpointError, match=r"batch \(40 in the run, 20 now\)"):
        organza.train(find("auto", batch=20).recipe, samples=40, settings=settings, options=options)


@pytest.mark.parametrize(("count", "world", "batch"), [(60_000, 3, 63), (41, 2, 40), (60_000, 2, 64)])
def test_a_batch_can_be_shared_by_all_processes(count: int, world: int, batch: int) -> None:
    found = Auto().choose(DIGITS, count=count, device="cpu", world=world).recipe
    assert found.batch == batch


def test_few_points_have_a_small_batch() -> None:
    assert Auto().choose(VectorSpec(), count=100, device="cpu").recipe.batch == 100


def test_a_single_class_gets_no_groups() -> None:
    assert Auto().groups(ImageSpec(classes=("cats",)), count=60_000) == 0


def test_auto_cannot_be_ejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eject", "auto"]) == 2
    assert "organza eject r3gan" in capsys.readouterr().err
