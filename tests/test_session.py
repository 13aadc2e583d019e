"""A run from start to finish, in Python: what goes wrong on the way, and what is left on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import organza
from organza import DataOptions, RunSettings, checkpoint
from organza.errors import CheckpointError, DataError, DivergedError, UsageError
from organza.game import Report
from organza.recipe import find

TINY = RunSettings(samples=640, device="cpu", log_every=64, checkpoint_every=128)


def test_a_divergence_is_rolled_back_and_then_explained(tmp_path: Path) -> None:
    recipe = find("vanilla:tiny", critic_lr=1e30, generator_lr=1e30).recipe
    with pytest.raises(DivergedError, match="2 rollbacks"):
        organza.train(recipe, data="ring8", run=tmp_path / "run", settings=TINY)
    run = organza.open(tmp_path / "run")
    assert any("refused" in row.get("failed", "") for row in run.rows())
    newest = checkpoint.newest(run.checkpoints)
    assert newest is not None
    game = run.game()
    assert all(torch.isfinite(p).all() for player in game.players.values() for p in player.network.parameters())


def test_poisoned_samples_are_refused_before_training(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, size=(64, 8, 8, 1)).astype(np.float32)
    images[5] = np.nan
    np.savez(tmp_path / "poison.npz", images=images)
    with pytest.raises(DataError, match="nan"):
        organza.train("vanilla:tiny", data=str(tmp_path / "poison.npz"), run=tmp_path / "run", settings=TINY)
    assert not (tmp_path / "run").exists()


def test_hooks_of_the_users_own_see_every_step(tmp_path: Path) -> None:
    seen: list[int] = []

    def hook(report: Report) -> organza.Stop | None:
        seen.append(report.clock.samples)
        return organza.Stop("enough") if report.clock.samples >= 160 else None

    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=TINY, hooks=[hook])
    assert seen == list(range(16, 161, 16))
    assert not (run.folder / "report.html").exists()
    assert (organza.resume(run).folder / "report.html").exists()


def test_a_seed_makes_a_run(tmp_path: Path) -> None:
    runs = [
        organza.train("dcgan:tiny", data="mnist", seed=seed, run=tmp_path / str(index), settings=TINY)
        for index, seed in enumerate([5, 5, 6])
    ]
    first, second, third = (run.generate(8) for run in runs)
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=TINY)
    kept = checkpoint.listed(run.checkpoints)
    best = checkpoint.best(run.checkpoints)
    assert best in kept
    assert len(kept) <= 3


def test_images_of_any_size_and_depth_train(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for shape in [(13, 21, 3), (8, 40, 4), (9, 9, 1)]:
        np.savez(tmp_path / "set.npz", images=random.integers(256, size=(40, *shape), dtype=np.uint8))
        for name in ("dcgan", "vanilla"):
            folder = tmp_path / f"{name}-{shape[1]}"
            run = organza.train(f"{name}:tiny", data=str(tmp_path / "set.npz"), run=folder, settings=TINY)
            assert run.generate(3).shape == (3, *shape)


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(65536, size=(40, 8, 8, 1), dtype=np.uint16)
    np.savez(tmp_path / "deep.npz", images=images)
    run = organza.train("dcgan:tiny", data=str(tmp_path / "deep.npz"), run=tmp_path / "run", settings=TINY)
    assert run.generate(3).dtype == np.uint16


def test_a_run_whose_data_changed_is_not_resumed(tmp_path: Path) -> None:
    file = tmp_path / "set.npy"
    np.save(file, np.zeros((40, 8, 8, 1), dtype=np.uint8))
    settings = RunSettings(samples=640, device="cpu", pause_at=64)
    run = organza.train("vanilla:tiny", data=str(file), run=tmp_path / "run", settings=settings)
    np.save(file, np.zeros((40, 9, 8, 1), dtype=np.uint8))
    with pytest.raises(CheckpointError, match="has changed"):
        organza.resume(run)


def test_a_batch_that_ranks_cannot_share_and_two_budgets_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one budget"):
        RunSettings(samples=1, minutes=1)
    with pytest.raises(UsageError, match="above 0"):
        RunSettings(keep=0)


def test_finetune_begins_with_the_other_runs_weights(tmp_path: Path) -> None:
    old = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "old", settings=TINY)
    settings = RunSettings(samples=64, device="cpu", pause_at=16, run=tmp_path / "new")
    before = old.game().players["critic"].network.state_dict()
    new = organza.finetune(old, settings=settings, options=DataOptions())
    first = checkpoint.listed(new.checkpoints)[0]
    assert first.name == "000000000"
    after = new.game(path=first).players["critic"].network.state_dict()
    assert all(torch.equal(before[key], value) for key, value in after.items())


def test_a_run_is_micro_batched_with_the_same_result(tmp_path: Path) -> None:
    made = []
    for micro_batch in (None, 5):
        settings = RunSettings(samples=64, device="cpu", micro_batch=micro_batch)
        run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / str(micro_batch), settings=settings)
        made.append(run.generate(50))
    np.testing.assert_allclose(*made, rtol=1e-3, atol=1e-4)


def test_checkpoints_that_cannot_be_read_are_never_overwritten(tmp_path: Path) -> None:
    settings = RunSettings(samples=640, device="cpu", pause_at=320, log_every=64)
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=settings)
    rows = run.rows()
    for path in checkpoint.listed(run.checkpoints):
        (path / "players.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="none that organza"):
        organza.resume(run)
    assert run.rows() == rows


def test_resume_keeps_the_runs_own_seed_and_budget(tmp_path: Path) -> None:
    settings = RunSettings(samples=640, seed=3, device="cpu")
    whole = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "whole", settings=settings)
    paused = RunSettings(samples=640, seed=3, device="cpu", pause_at=160)
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=paused)
    organza.resume(run, settings=RunSettings(device="cpu"))
    np.testing.assert_array_equal(run.generate(9), whole.generate(9))


def test_class_names_never_lead_out_of_the_folder(tmp_path: Path) -> None:
    images = np.zeros((20, 8, 8, 1), dtype=np.uint8)
    labels = np.array(["T-shirt/top", "../evil"] * 10)
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    run = organza.train("dcgan:tiny", data=str(tmp_path / "set.npz"), run=tmp_path / "run", settings=TINY)
    from organza.generate import generate, write

    write(run, generate(run, 20), tmp_path / "made" / "here", seed=0)
    assert len(list((tmp_path / "made" / "here").glob("*/*.png"))) == 20
    assert not (tmp_path / "made" / "evil").exists()


@pytest.mark.parametrize(
    ("recipe", "fields", "message"),
    [
        ("dcgan", {"smooth": 0.1}, "no label smoothing"),
        ("dcgan", {"penalty_every": 0}, "above 0"),
        ("vanilla", {"dropout": 0.5}, "no dropout"),
        ("vanilla:conv", {"dropout": 2.0}, "share from 0 to 1"),
        ("vanilla", {"critic_repeats": 0}, "above 0"),
    ],
)
def test_fields_that_make_no_sense_together_are_refused(recipe: str, fields: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(recipe, **fields)
