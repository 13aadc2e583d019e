"""Results beside their truths: closed forms, baselines by hand, and runs that are judged and chosen by them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza import DataOptions, Run, RunSettings, checkpoint
from organza.baselines import Nearest, makers, mean_filled
from organza.cli.__main__ import main
from organza.data.memory import MemorySource
from organza.data.pairs import PairSource
from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.game import Game, Request
from organza.metrics.measures import Score
from organza.metrics.record import Record
from organza.truth import AT_MOST, WORDS, Truth

FEW = DataOptions(limit=200)
TINY = RunSettings(samples=64, device="cpu", doctor="off", log_every=16)
Model = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "organza-cache"
    monkeypatch.setenv("ORGANZA_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A pix2pix of edges and digits that has learned next to nothing."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    return organza.train("pix2pix:tiny", data="edges-to-digits", run=folder, settings=TINY, options=FEW)


def noise(*shape: int, low: int = 0, high: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, size=shape, dtype=np.uint8)


def pairs(source: np.ndarray, target: np.ndarray, *, is_paired: bool = True) -> PairSource:
    """Two arrays (N, H, W, C) as the sides of one source."""
    sides = []
    for images in (source, target):
        _, height, width, channels = images.shape
        spec = ImageSpec(channels=channels, height=height, width=width)
        held = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        sides.append(MemorySource({"image": held}, name="side", spec=spec))
    return PairSource(*sides, name="made-up", is_paired=is_paired)


def game(there: Model, back: Model | None = None) -> Game:
    """A game that makes images from images by functions."""

    def generate(request: Request) -> dict[str, torch.Tensor]:
        assert request.sources is not None
        made = back(request.sources) if request.reverse and back is not None else there(request.sources)
        return {"image": made}

    return Game(players={}, turns=[], generate=generate, reverses=back is not None)


def truth(held_out: PairSource, cache: Path, *, training: PairSource | None = None, reverses: bool = False) -> Truth:
    given: dict[str, Any] = {"count": 100, "cache": cache, "reverses": reverses, "device": "cpu", "offline": True}
    given["fills"] = held_out.spec.images["source"].channels == 4 > held_out.spec.images["image"].channels
    return Truth(held_out, training or pairs(noise(3, 16, 16, 1), noise(3, 16, 16, 1), is_paired=False), **given)


def judged(held_out: PairSource, model: Game, cache: Path, training: PairSource | None = None) -> dict[str, Score]:
    found = truth(held_out, cache, training=training, reverses=model.reverses).judged(model, seed=0)
    return {key: score for key, (score, _, _) in found.items()}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_that_changes_nothing_scores_as_a_copy(channels: int, tmp_path: Path) -> None:
    source = noise(20, 16, 16, 1)
    target = np.repeat(noise(20, 16, 16, 1, seed=1), channels, axis=3)
    found = judged(pairs(source, target), game(lambda x: x.expand(-1, channels, -1, -1)), tmp_path)
    assert {"psnr", "ssim", "absolute_error"} <= found.keys()
    for score in found.values():
        assert list(score.details["baselines"]) == ["copy"]
        assert score.value == pytest.approx(score.details["baselines"]["copy"], rel=1e-9)


def test_a_constant_that_is_added_is_the_absolute_error(tmp_path: Path) -> None:
    images = noise(20, 16, 16, 3, high=200)
    found = judged(pairs(images, images), game(lambda x: x + 0.4), tmp_path)
    assert found["absolute_error"].value == pytest.approx(0.2)
    assert found["psnr"].value == pytest.approx(-20 * np.log10(0.2))
    assert found["psnr"].standard_error == pytest.approx(0)
    equal = {key: score.details["baselines"]["copy"] for key, score in found.items()}
    assert (equal["absolute_error"], equal["ssim"], equal["psnr"]) == (0, pytest.approx(1), AT_MOST)


def test_the_standard_error_is_that_of_a_mean_over_images(tmp_path: Path) -> None:
    target = np.zeros((2, 16, 16, 1), np.uint8)
    target[1] = 51
    score = judged(pairs(np.zeros_like(target), target), game(lambda x: x), tmp_path)["absolute_error"]
    assert (score.value, score.standard_error) == (pytest.approx(0.1), pytest.approx(0.1))


def test_what_comes_back_is_compared_with_what_went_in(tmp_path: Path) -> None:
    source = noise(10, 16, 16, 1, low=60)
    for back, expected in ((lambda x: -x, 0.0), (lambda x: -x - 0.4, 0.2)):
        found = judged(pairs(source, source), game(lambda x: -x, back), tmp_path)
        assert found["cycle"].value == pytest.approx(expected, abs=1e-6)
        assert found["cycle"].details == {"baselines": {}}
    assert "cycle" not in judged(pairs(source, source), game(lambda x: -x), tmp_path)


def test_without_pairs_only_the_way_there_and_back_is_measured(tmp_path: Path) -> None:
    held_out = pairs(noise(10, 16, 16, 1), noise(12, 16, 16, 1, seed=1), is_paired=False)
    assert list(judged(held_out, game(lambda x: x, lambda x: x), tmp_path)) == ["cycle"]
    assert not truth(held_out, tmp_path).table


def test_the_edge_of_enlarged_images_is_left_out(tmp_path: Path) -> None:
    source = noise(4, 8, 8, 1)
    target = source.repeat(4, axis=1).repeat(4, axis=2)
    frame = np.ones((32, 32), bool)
    frame[4:-4, 4:-4] = False
    spoilt = np.where(frame[None, :, :, None], 255 - target, target)
    found = truth(pairs(source, spoilt), tmp_path)
    assert {measure.group.parameters["border"] for measure in found.table.values()} == {4}
    scores = found.judged(game(lambda x: x.repeat_interleave(4, 2).repeat_interleave(4, 3)), seed=0)
    assert scores["absolute_error"][0].value == 0
    assert list(scores["psnr"][0].details["baselines"]) == ["bicubic"]


def test_small_images_are_enlarged_as_pillow_does() -> None:
    source = noise(3, 9, 7, 3, low=90, high=160)  # no extremes, which Pillow cuts off between its two passes
    large = pairs(noise(3, 9, 7, 3), noise(3, 27, 21, 3), is_paired=False)
    (maker,) = makers(large.spec.images["source"], large.spec.images["image"], large, has_holes=False).values()
    (made,) = maker(source, 0)
    expected = [np.asarray(Image.fromarray(one).resize((21, 27), Image.Resampling.BICUBIC)) for one in source]
    assert np.abs(made.astype(int) - np.stack(expected)).max() <= 1


def test_holes_are_filled_with_the_mean_colour_of_what_is_known() -> None:
    image = np.zeros((1, 2, 2, 4), np.uint8)
    image[0, 0] = [[10, 20, 30, 255], [30, 40, 50, 128]]
    image[0, 1, :, :3] = 200  # below alpha 0, where nothing is known
    filled = mean_filled(image)
    assert filled[0, 0].tolist() == [[10, 20, 30], [30, 40, 50]]
    assert filled[0, 1].tolist() == [[20, 30, 40]] * 2
    assert np.unique(mean_filled(np.zeros((1, 2, 2, 4), np.uint8))).tolist() == [128]


def test_errors_within_holes_are_told_apart_and_images_without_any_do_not_count(tmp_path: Path) -> None:
    target = noise(4, 16, 16, 3, low=100, high=200)
    source = np.concatenate([target, np.full((4, 16, 16, 1), 255, np.uint8)], axis=3)
    source[:3, 4:8, 4:8] = 0

    def fill(x: torch.Tensor) -> torch.Tensor:
        color, alpha = x[:, :3], (x[:, 3:] + 1) / 2
        return color * alpha + (51 / 127.5 - 1) * (1 - alpha)  # level 51 within the holes

    found = judged(pairs(source, target), game(fill), tmp_path)
    inside = target[:3, 4:8, 4:8] / 255
    assert found["masked_absolute_error"].value == pytest.approx((inside - 0.2).mean())
    assert found["absolute_error"].value == pytest.approx((inside - 0.2).mean() * 16 / 256 * 3 / 4)
    assert list(found["psnr"].details["baselines"]) == ["mean fill"]
    filled = judged(pairs(source, target), game(lambda x: x[:, :3]), tmp_path)
    known = mean_filled(source)[:3, 4:8, 4:8] / 255
    expected = np.abs(known - inside).mean()
    assert filled["masked_absolute_error"].details["baselines"]["mean fill"] == pytest.approx(expected)


def test_the_nearest_neighbour_is_the_target_of_the_most_similar_training_source(tmp_path: Path) -> None:
    source, target = noise(30, 40, 40, 1), noise(30, 40, 40, 3, seed=1)
    training = pairs(source, target)
    asked = np.array([7, 29, 0])
    (found,) = Nearest(training)(np.clip(source[asked].astype(int) + 3, 0, 255).astype(np.uint8))
    np.testing.assert_array_equal(found, target[asked])
    scores = judged(pairs(source[asked], target[asked]), game(lambda x: x.expand(-1, 3, -1, -1)), tmp_path, training)
    assert scores["absolute_error"].details["baselines"]["nearest neighbour"] == 0
    assert scores["absolute_error"].details["baselines"]["copy"] > 0.2
    unpaired = pairs(source, target, is_paired=False)
    scores = judged(pairs(source[asked], target[asked]), game(lambda x: x.expand(-1, 3, -1, -1)), tmp_path, unpaired)
    assert list(scores["psnr"].details["baselines"]) == ["copy"]


def test_a_run_is_scored_on_what_it_has_not_seen(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = {one.measure: one for one in organza.evaluate(run, count=150)}
    assert {"psnr", "ssim", "absolute_error", "perceptual"} == found.keys() & WORDS.keys()
    assert {one.split for one in found.values()} == {"test"}
    one = found["psnr"]
    assert (one.n_real, one.n_fake, one.floor, one.extractor) == (150, 150, None, "")
    assert one.details["baselines"].keys() == {"copy", "nearest neighbour"}
    assert one.reference_sha256 != found["frechet"].reference_sha256
    assert found["perceptual"].name == f"perceptual-{found['perceptual'].extractor}"
    again = organza.evaluate(run, measures=["psnr"])  # there are no more than 200
    assert [(each.measure, each.n_fake) for each in again] == [("psnr", 200)]
    assert Record.from_json(one.as_json()) == one
    assert not {each.measure for each in organza.evaluate(run, "mnist", count=50)} & WORDS.keys()
    assert main(["evaluate", str(run.folder), "--count", "60", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("60 of edges-to-digits, test split", "nearest neighbour", "beats"))
    assert main(["compare", str(run.folder), str(run.folder)]) == 0
    assert "copy" in capsys.readouterr().out


def test_two_ranks_judge_as_one_does(run: Run, cache: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "organza"]
    given = [
        "evaluate",
        str(run.folder),
        "--measures",
        "psnr",
        "ssim",
        "--device",
        "cpu",
        "--json",
        "--out",
        os.devnull,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ORGANZA_CACHE": str(cache / "ranks")}
    done = subprocess.run(
        [sys.executable, *torchrun, *given, "--out", os.devnull],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    two = [Record.from_json(line) for line in done.stdout.splitlines() if line.startswith("{")]
    one = organza.evaluate(run, measures=["psnr", "ssim"])
    assert [(each.value, each.details) for each in two] == [(each.value, each.details) for each in one]


def test_the_best_checkpoint_is_the_one_whose_results_are_nearest_to_their_truths(tmp_path: Path) -> None:
    settings = replace(TINY, samples=96, evaluate_every=32, checkpoint_every=32, best_by="psnr", keep=9)
    made = organza.train("pix2pix:tiny", data="edges-to-digits", run=tmp_path / "run", settings=settings, options=FEW)
    scores = {row["samples"]: row["score/PSNR"] for row in made.rows() if "score/PSNR" in row}
    assert len(scores) == 3
    kept = checkpoint.listed(made.checkpoints)
    assert [checkpoint.peek(path)["score"] for path in kept[1:]] == [-value for value in scores.values()]
    assert int(made.checkpoint("best").name) == max(scores, key=lambda samples: scores[samples])
    assert all(row["baseline/PSNR/copy"] > 0 for row in made.rows() if "score/PSNR" in row)
    page = (made.folder / "report.html").read_text()
    assert "Evaluated: PSNR" in page
    assert page.count('class="wipe"') == 16


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    """Two files of 40 images to train on, and 30 others to test."""
    files = [str(tmp_path / f"{name}.npz") for name in "ab"]
    for seed, file in enumerate(files):
        np.savez(file, x_train=noise(40, 16, 16, 1, seed=seed), x_test=noise(30, 16, 16, 1, seed=seed + 2))
    return files


def test_patience_counts_on_after_a_pause(sides: list[str], tmp_path: Path) -> None:
    recipe = replace(organza.find("pix2pix:tiny").recipe, generator_lr=0.0, pretrain=0.0)
    options = DataOptions(to=sides[1], paired="yes")

    def scored(name: str, *pauses: int | None) -> list[tuple[Any, ...]]:
        settings = replace(TINY, samples=160, evaluate_every=16, best_by="psnr", patience=2, run=tmp_path / name)
        for pause in pauses:
            made = organza.train(recipe, data=sides[0], settings=replace(settings, pause_at=pause), options=options)
        return [(row["samples"], row["score/PSNR"], row.get("stopped")) for row in made.rows() if "score/PSNR" in row]

    whole = scored("whole", None)
    assert [stopped for *_, stopped in whole] == [None, None, "no improvement of psnr in 2 evaluations"]
    assert scored("parts", 20, None) == whole


def test_data_without_truths_has_no_such_scores(sides: list[str], tmp_path: Path) -> None:
    settings, options = replace(TINY, samples=32, evaluate_every=16), DataOptions(to=sides[1])
    made = organza.train("cyclegan:tiny", data=sides[0], run=tmp_path / "run", settings=settings, options=options)
    assert {one.measure for one in organza.evaluate(made, count=50)} & WORDS.keys() == {"cycle"}
    columns = {key for row in made.rows() for key in row}
    assert "score/cycle error" in columns
    assert not [key for key in columns if key.startswith(("score/PSNR", "baseline/"))]
    with pytest.raises(UsageError, match=r"no test split in pairs.*choose by another"):
        organza.train("cyclegan:tiny", data=sides[0], settings=replace(TINY, best_by="psnr"), options=options)


def test_a_share_that_is_held_out_is_judged_by(tmp_path: Path) -> None:
    sides = [str(tmp_path / f"{name}.npz") for name in "ab"]
    for seed, side in enumerate(sides):
        np.savez(side, images=noise(40, 16, 16, 1, seed=seed))
    settings = replace(TINY, samples=32, best_by="ssim")
    options = DataOptions(to=sides[1], paired="yes")
    with pytest.raises(UsageError, match=r"no test split; keep some from training with --hold-out 0\.1"):
        organza.train("pix2pix:tiny", data=sides[0], settings=settings, options=options)
    options = replace(options, hold_out=0.25)
    made = organza.train("pix2pix:tiny", data=sides[0], run=tmp_path / "run", settings=settings, options=options)
    (one,) = organza.evaluate(made, measures=["ssim"])
    assert (one.n_fake, one.split) == (10, "test")
