"""A run from start to finish, in Python: what goes wrong on the way, and what is left on disk."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console as Terminal

import organza
from organza import DataOptions, RunSettings, checkpoint
from organza.cli.__main__ import main
from organza.data import open_source
from organza.errors import CheckpointError, DataError, DivergedError, StorageError, UsageError
from organza.game import Clock, Report
from organza.hooks.console import Console
from organza.hooks.samples import Samples
from organza.planning import estimate
from organza.recipe import find
from organza.run import locked
from organza.trainer import Budget

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
    with pytest.raises(DataError, match="NaN or infinity in 1 of 64 images, first in image 5"):
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
    for shape in [(40, 9, 8, 1), (41, 8, 8, 1)]:
        np.save(file, np.zeros(shape, dtype=np.uint8))
        with pytest.raises(CheckpointError, match=f"changed: it was 40 .* now it is {shape[0]} .* organza finetune"):
            organza.resume(run)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "a run", settings=TINY)
    assert run.rows()[-1]["progress"] == 1.0
    before = contents(run.folder)
    organza.resume(run)
    organza.train("vanilla:tiny", data="ring8", run=run.folder, settings=TINY)
    told = f"already finished after 640 samples; for more: organza resume '{run.folder}' --samples 1280; to begin anew"
    assert capsys.readouterr().out.count(told) == 2
    assert contents(run.folder) == before


def test_a_grid_is_drawn_once_for_each_moment(tmp_path: Path) -> None:
    source = open_source("ring8", DataOptions(limit=50))
    samples, told = Samples(tmp_path, source), []
    samples.listeners.append(lambda path, seen: told.append(seen))
    (tmp_path / "samples").mkdir()
    game = find("vanilla:tiny").recipe.build(source.spec)
    for seen in (0, 64, 64):
        samples(Report(Clock(samples=seen), {}, {}, game))
    assert told == [0, 64]


def test_the_report_of_a_run_that_ended_without_one_is_written(tmp_path: Path) -> None:
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=TINY)
    (run.folder / "report.html").unlink()
    before = contents(run.checkpoints)
    organza.resume(run)
    assert (run.folder / "report.html").exists()
    assert contents(run.checkpoints) == before


def test_the_weights_of_a_refused_step_are_not_the_newest_checkpoint(tmp_path: Path) -> None:
    refused: list[int] = []

    def hook(report: Report) -> organza.Stop | None:
        if report.failed:
            refused.append(report.clock.samples)
        return organza.Stop("refused") if report.failed else None

    recipe = find("vanilla:tiny", critic_lr=1e30, generator_lr=1e30).recipe
    run = organza.train(recipe, data="ring8", run=tmp_path / "run", settings=TINY, hooks=[hook])
    assert int(checkpoint.listed(run.checkpoints)[-1].name) < refused[0]


def test_a_signal_ends_training_after_it_has_saved(tmp_path: Path) -> None:
    def hook(report: Report) -> None:
        if report.clock.samples == 160:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=TINY, hooks=[hook])
    newest = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert newest is not None
    assert newest.name == "000000160"


def test_a_second_signal_leaves_without_saving_and_names_the_way_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hook(report: Report) -> None:
        if report.clock.samples == 160:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    settings, folder = replace(TINY, checkpoint_every=64), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        organza.train("vanilla:tiny", data="ring8", run=folder, settings=settings, hooks=[hook])
    assert f"go on from 128 samples with: organza resume {folder}" in capsys.readouterr().out
    assert checkpoint.listed(folder / "checkpoints")[-1].name == "000000128"


def test_a_line_comes_after_a_while_though_no_row_is_due(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunSettings(samples=64, device="cpu", doctor="off", log_every=10_000)
    organza.train("vanilla:tiny", data="ring8", run=tmp_path / "quiet", settings=settings)
    assert not re.search(r"(?m) left .* samples$", capsys.readouterr().out)
    monkeypatch.setattr("organza.hooks.console.SILENCE_S", 0.0)
    organza.train("vanilla:tiny", data="ring8", run=tmp_path / "slow", settings=settings)
    told = re.findall(r"(?m)^ *(\d+)%  \S+ left  .*samples/s  (\d+) samples$", capsys.readouterr().out)
    assert told == [("25", "16"), ("50", "32"), ("75", "48"), ("100", "64")]


def test_a_run_that_another_process_trains_is_not_touched(tmp_path: Path) -> None:
    paused = RunSettings(samples=640, device="cpu", pause_at=64)
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=paused)
    with locked(run.folder), pytest.raises(CheckpointError, match="in use by another process"):
        organza.resume(run)
    assert checkpoint.listed(run.checkpoints)[-1].name == "000000064"


def test_a_batch_larger_than_the_data_set_is_refused(tmp_path: Path) -> None:
    options = DataOptions(limit=15)
    message = r"a batch of 16 is larger than the data set \(ring8: 15 samples\); set --batch to 15 at most"
    with pytest.raises(UsageError, match=message):
        organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=TINY, options=options)
    with pytest.raises(UsageError, match=message):
        next(estimate(find("vanilla:tiny").recipe, data="ring8", settings=TINY, options=options))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def arrays(tmp_path: Path) -> Callable[..., str]:
    """Writes noise to a file and says where."""

    def write(name: str, *, side: int = 8, channels: int = 1, classes: int = 0, count: int = 60) -> str:
        images = np.random.default_rng(0).integers(256, size=(count, side, side, channels), dtype=np.uint8)
        labels = {"labels": np.arange(count) % classes} if classes else {}
        np.savez(tmp_path / name, images=images, **labels)
        return str(tmp_path / name)

    return write


def test_finetune_brings_images_to_the_size_of_the_run_and_says_what_else_differs(
    tmp_path: Path, arrays: Callable[..., str]
) -> None:
    old, settings = tmp_path / "old", RunSettings(samples=32, device="cpu", run=tmp_path / "new")
    organza.train("dcgan:tiny", data=arrays("a.npz", classes=3), run=old, settings=TINY)

    def tune(data: str, **options: Any) -> organza.Run:
        return organza.finetune(old, data=data, settings=settings, options=DataOptions(**options))

    with pytest.raises(DataError, match=r"old was trained on 3 classes \(0, 1, 2\), your data has 2 classes \(0, 1\)"):
        tune(arrays("b.npz", classes=2))
    with pytest.raises(DataError, match="not fit; give data with the same classes, or begin anew"):
        tune(arrays("few.npz", classes=2, count=59))  # 20 for each group are the least
    with pytest.raises(DataError, match=r"1 x 8 x 8, your data has 3 x 8 x 8, .* take --channels gray,"):
        tune(arrays("c.npz", classes=3, channels=3))
    both = (
        "1 x 8 x 8 and 3 classes .* 3 x 8 x 8 and 2 classes .* take --channels gray and give data .* classes, or begin"
    )
    with pytest.raises(DataError, match=both):
        tune(arrays("e.npz", classes=2, channels=3))
    wide = arrays("d.npz", classes=3, side=12)
    with pytest.raises(DataError, match=r"1 x 8 x 8, your data has 1 x 16 x 16, .*; take --resize 8x8, or begin"):
        tune(wide, resize="16x16")
    with pytest.raises(DataError, match=r"your data has 5 x 8 x 8, .*; give images of 1 channel, or begin"):
        tune(arrays("f.npz", classes=3, channels=5))
    assert tune(wide).spec == organza.open(old).spec


def test_finetune_says_of_classes_and_kinds_of_data_only_what_can_be_followed(
    tmp_path: Path, arrays: Callable[..., str]
) -> None:
    settings = RunSettings(samples=32, device="cpu", run=tmp_path / "new")
    one, three = arrays("one.npz", classes=1), arrays("three.npz", classes=3)
    old = organza.train("dcgan:tiny", data=one, run=tmp_path / "old", settings=TINY)
    with pytest.raises(DataError, match=r"on 1 class \(0\), your data has 3 classes .*; take --no-labels, or begin"):
        organza.finetune(old, data=three, settings=settings, options=DataOptions())
    with pytest.raises(DataError, match=r"your data has 3 classes .*; leave out --clusters 3, or begin"):
        organza.finetune(old, data=three, settings=settings, options=DataOptions(labels=False, clusters=3))
    organza.finetune(old, data=three, settings=settings, options=DataOptions(labels=False))
    points = organza.train("dcgan:tiny", data="ring8", run=tmp_path / "points", settings=TINY)
    with pytest.raises(DataError, match=r"on vector data, your data has image data, .*; give such data, or begin"):
        organza.finetune(points, data=three, settings=settings, options=DataOptions())


def test_finetune_on_other_classes_takes_groups_in_their_place_and_says_which_labels_are_left_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: Callable[..., str]
) -> None:
    first, other, bare = arrays("a.npz", classes=3), arrays("b.npz", classes=2), arrays("bare.npz")
    organza.train("dcgan:tiny", data=first, run=tmp_path / "old", settings=TINY)
    settings = RunSettings(samples=32, device="cpu", run=tmp_path / "new")
    with pytest.raises(DataError, match=r"same classes \(or take --no-labels --clusters 3, groups of similar samples"):
        organza.finetune(tmp_path / "old", data=other, settings=settings, options=DataOptions())
    grouped = organza.finetune(
        tmp_path / "old", data=other, settings=settings, options=DataOptions(labels=False, clusters=3)
    )
    assert grouped.spec.num_classes == 3
    capsys.readouterr()
    for index, (data, labels) in enumerate([(first, True), (first, False), (bare, True), (other, True)]):
        again = RunSettings(samples=32, device="cpu", run=tmp_path / f"again{index}")
        tuned = organza.finetune(grouped, data=data, settings=again, options=DataOptions(labels=labels))
        assert tuned.spec.grouped
        assert ("labels of a are left aside" in capsys.readouterr().out) == (index == 0)
    more = organza.finetune(
        tmp_path / "again0", data=bare, settings=RunSettings(samples=32, device="cpu", run=tmp_path / "more")
    )
    indices = np.arange(8)
    labels = [
        open_source(bare, replace(run.data_options, labels=False)).read(indices)["label"] for run in (grouped, more)
    ]
    assert torch.equal(*labels)  # the same groups all along
    assert organza.resume(more, samples=48).spec == more.spec


def test_a_batch_that_ranks_cannot_share_and_two_budgets_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one budget"):
        RunSettings(samples=1, minutes=1)
    with pytest.raises(UsageError, match="above 0"):
        RunSettings(keep=0)
    with pytest.raises(UsageError, match=r"--seed must be from 0 to 18446744073709551615; got 18446744073709551616"):
        RunSettings(seed=2**64)


def test_finetune_on_the_same_data_keeps_what_was_held_out_unseen(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for index in range(40):
        Image.effect_noise((16, 16), 50).save(tmp_path / "data" / f"{index:02}.png")
    folder, runs, held = str(tmp_path / "data"), tmp_path / "runs", DataOptions(hold_out=0.25)

    def short(name: str) -> RunSettings:
        return RunSettings(samples=16, device="cpu", run=runs / name)

    def unseen(run: organza.Run) -> torch.Tensor:
        source = open_source(folder, replace(run.data_options, split="test"))
        return source.read(np.arange(len(source)))["image"]

    old = organza.train("dcgan:tiny", data=folder, settings=short("old"), options=held)
    for name, options in (("again", None), ("more", DataOptions(channels="gray"))):
        new = organza.finetune(old, data=folder, settings=short(name), options=options)
        assert torch.equal(unseen(new), unseen(old))
    fewer = organza.finetune(old, settings=short("fewer"), options=DataOptions(limit=30))
    assert fewer.data_options.hold_out == 0  # of fewer images others would be kept
    (tmp_path / "other").mkdir()
    for index in range(20):
        Image.effect_noise((16, 16), 50).save(tmp_path / "other" / f"{index}.png")
    other = organza.finetune(old, data=str(tmp_path / "other"), settings=short("other"), options=DataOptions())
    assert other.data_options.hold_out == 0


def test_pictures_show_each_unseen_pair_once_and_what_goes_both_ways_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("A", "B"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for index in range(40):
            Image.effect_noise((16, 16), 50).save(tmp_path / "data" / side / f"{index:02}.png")
    settings = RunSettings(samples=32, device="cpu", run=tmp_path / "run")
    options = DataOptions(hold_out=0.25, paired="no")
    run = organza.train("cyclegan:tiny", data=str(tmp_path / "data"), settings=settings, options=options)
    with Image.open(max((run.folder / "samples").glob("*.png"))) as grid:
        assert grid.width > 1.5 * grid.height  # ten pairs make three rows
    assert "IN OUT; back: --reverse" in capsys.readouterr().out
    page = (run.folder / "report.html").read_text()
    assert "--reverse" in page
    assert main(["evaluate", str(run.folder)]) == 0
    assert "10 samples are too few" in capsys.readouterr().out
    assert main(["evaluate", str(run.folder), "--count", "5"]) == 0  # by pairs alone
    told = capsys.readouterr().out
    assert "cycle error" in told
    assert "precision" not in told


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


def test_resume_says_where_it_begins_and_what_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paused = RunSettings(samples=640, device="cpu", pause_at=160)
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=paused)
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"samples": 480}\n')
    organza.resume(run, settings=RunSettings(device="cpu"))
    assert "going on from 160 samples; what came after, up to 480, had not been saved" in capsys.readouterr().out


def test_a_folder_of_other_files_is_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match=r"such as thesis\.txt: choose an empty or a new folder"):
        organza.train("vanilla:tiny", data="ring8", samples=64, run=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "thesis.txt").rename(tmp_path / "train.log")
    assert organza.train("vanilla:tiny", data="ring8", samples=64, run=tmp_path).rows()


def test_a_family_that_makes_images_of_noise_takes_folders_called_a_and_b_for_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("A", 0), ("B", 255)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(16):
            Image.new("L", (8, 8), value - index if value else index).save(tmp_path / "data" / name / f"{index}.png")
    run = organza.train("dcgan:tiny", data=str(tmp_path / "data"), samples=32, run=tmp_path / "run")
    assert (run.spec.classes, run.spec.has_source) == (("A", "B"), False)
    pairs = organza.train("pix2pix:tiny", data=str(tmp_path / "data"), samples=32, run=tmp_path / "pairs")
    assert pairs.spec.has_source
    assert "No images are held out" in capsys.readouterr().out


def test_few_classes_take_several_columns_each(tmp_path: Path) -> None:
    images, labels = np.zeros((60, 8, 8, 1), np.uint8), np.repeat(["a", "b", "c"], 20)
    images[labels == "b"], images[labels == "c"] = 100, 200
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    run = organza.train("dcgan:tiny", data=str(tmp_path / "set.npz"), samples=32, run=tmp_path / "run")
    with Image.open(run.folder / "real.png") as picture:
        real = np.asarray(picture)
    width, height = 6 * (real.shape[1] // 6), 8 * (real.shape[0] // 8)
    cells = real[:height, :width].reshape(8, height // 8, 6, width // 6)[:, height // 16, :, width // 12]
    np.testing.assert_array_equal(cells, np.tile([0, 100, 200, 0, 100, 200], (8, 1)))


def test_the_time_left_is_what_the_budget_allows() -> None:
    console = Console(title="run", budget=Budget(minutes=2), start=Clock())
    assert console.left(0.25) == "1:30 left"


def test_share_time_and_pace_come_first_and_are_whole_on_a_terminal_of_80_columns() -> None:
    row = {"progress": 0.04, "samples": 12_345_678, "epoch": 1234.5, "samples_per_s": 12_345.0}
    terminal = Terminal(width=80, file=StringIO(), force_terminal=True, color_system=None, legacy_windows=False)
    terminal.print(Console(title="run", budget=Budget(minutes=6000), start=Clock()).view(row))
    assert isinstance(terminal.file, StringIO)
    assert "  4%  96:00:00 left  12,345 samples/s  12,345.7 kimg  epoch 1234.50\n" in terminal.file.getvalue()


def test_a_first_step_that_takes_much_of_the_minutes_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = RunSettings(device="cpu", doctor="off")
    run = organza.train("vanilla:tiny", data="ring8", minutes=1e-6, run=tmp_path / "short", settings=settings)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("The first step")]
    assert len(told) == 1
    assert re.match(r"The first step, of 16 samples, took \d+:\d\d or more, so 1e-06 minutes hold about 1: ", told[0])
    assert run.rows()[-1]["step"] == 1
    console = Console(title="run", budget=Budget(minutes=10), start=Clock(step=5, samples=80, minutes=4))
    for step, minutes in ((6, 6), (7, 9)):  # of the ten not more than a fifth; not the first
        console.pulse(Report(Clock(step, 16 * step, minutes / 10, minutes), {}, {}, run.game()))
    assert not capsys.readouterr().out
    console.heard_at, console.began = math.inf, console.began - 126
    console.pulse(Report(Clock(6, 96, 0.61, 6.1), {}, {}, run.game()))
    assert "took 2:06, so 10 minutes hold about 5: take a smaller --batch" in capsys.readouterr().out
    organza.train("vanilla:tiny", data="ring8", samples=16, run=tmp_path / "counted", settings=settings)
    assert "The first step" not in capsys.readouterr().out


def test_a_first_step_that_does_not_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("organza.hooks.console.SILENCE_S", 0)
    with Console(title="run", budget=Budget(samples=64), start=Clock()) as console:
        console.await_step()
        console.patience.join()
    assert "The first step is taking long: a smaller --batch" in capsys.readouterr().out


def test_the_last_row_is_told_even_if_the_one_before_it_was_told_just_now(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"progress": 0.5, "samples": 32, "epoch": 1.0, "samples_per_s": 10.0}
    with Console(title="run", budget=Budget(samples=64), start=Clock()) as console:
        console.show(row)
        console.show(row | {"progress": 0.75})
        console.show(row | {"progress": 1.0})
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == "training run for 64 samples"
    assert [row[:4] for row in rows] == [" 50%", "100%"]


def test_more_than_a_budget_is_more_than_a_last_step_has_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = organza.train("wgan:tiny", data="ring8", samples=5, run=tmp_path / "run", settings=RunSettings(device="cpu"))
    seen = run.rows()[-1]["samples"]
    assert seen > 2 * 5
    organza.resume(run)
    (more,) = re.findall(r"organza resume \S+ --samples (\d+)", capsys.readouterr().out.splitlines()[-1])
    assert f"--samples</span> <span>{more}" in (run.folder / "report.html").read_text()
    assert organza.resume(run, samples=int(more)).rows()[-1]["samples"] > seen


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
        ("vanilla:conv", {"dropout": 2.0}, "at least 0 and below 1"),
        ("vanilla", {"critic_repeats": 0}, "above 0"),
        ("vanilla", {"generator_widths": (64, 0)}, r"generator_widths must be above 0; got \(64, 0\)"),
        ("vanilla", {"nets": "conv", "generator_widths": ()}, "at least one number in generator_widths; got none"),
        ("vanilla", {"betas": (1.0, 2.0)}, r"betas must be at least 0 and below 1; got \(1.0, 2.0\)"),
        ("dcgan", {"generator_lr": -1.0}, "generator_lr must be at least 0; got -1.0"),
        ("dcgan", {"halflife": -5.0}, "halflife must be at least 0; got -5.0"),
    ],
)
def test_fields_that_make_no_sense_together_are_refused(recipe: str, fields: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(recipe, **fields)
