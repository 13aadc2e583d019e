"""Scores of runs and of files: identities, floors, sharing among ranks, the cache, copies, and stopping in time."""

from __future__ import annotations

import json
import os
import re
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
from safetensors.numpy import load_file

import organza
from organza import DataOptions, Request, Run, RunSettings, checkpoint
from organza.audit import audit
from organza.cli.__main__ import main
from organza.data import open_source
from organza.errors import CheckpointError, DataError, MeasureError, OrganzaError, UsageError
from organza.features import cached, look
from organza.floors import floors
from organza.game import Game
from organza.hooks.evaluation import is_stale
from organza.inference import labels, latents
from organza.metrics.extractors import load_extractor
from organza.metrics.measures import IMAGES, Sample, points, title_of
from organza.metrics.record import Record
from organza.pools import pool_made, pool_of
from organza.report.audit import write_audit

FEW = DataOptions(limit=400)
TINY = RunSettings(samples=64, device="cpu", doctor="off")
REPLAY = """
import numpy as np
from organza import DataOptions
from organza.data import decode, open_source
from organza.recipes.dcgan import DCGAN

class Replay(DCGAN):
    def build(self, data):
        game = super().build(data)
        source = open_source("mnist", DataOptions(limit=400))

        def generate(request):
            drawn = np.random.default_rng(request.seed).integers(400, size=request.start + request.count)
            return {"image": decode(source.read(drawn[request.start :]), data)["image"]}

        game.generate = generate
        return game
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "organza-cache"
    monkeypatch.setenv("ORGANZA_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on 400 digits, four steps long."""
    return organza.train(
        "dcgan:tiny", data="mnist", run=tmp_path_factory.mktemp("runs") / "a", settings=TINY, options=FEW
    )


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Test images (300, 28, 28, 1), evenly from all of them."""
    return (
        open_source("mnist", DataOptions(split="test"))
        .read(np.arange(0, 9_000, 30))["image"]
        .permute(0, 2, 3, 1)
        .numpy()
    )


def scores(images: np.ndarray, folder: Path, *measures: str) -> dict[str, Record]:
    path = folder / "images.npz"
    np.savez(path, images=images)
    return {one.measure: one for one in organza.evaluate(path, "mnist", count=300, measures=measures or None)}


def test_real_images_score_about_their_floor(digits: np.ndarray, tmp_path: Path) -> None:
    found = scores(digits, tmp_path)
    for one in found.values():
        assert one.floor is not None
        assert one.n_real == one.n_fake == one.n_floor == 300
    for name in ("precision", "recall", "density", "coverage", "recognised", "authenticity"):
        assert found[name].value == pytest.approx(found[name].floor, abs=0.1)
    assert found["frechet"].value < 1.5 * (found["frechet"].floor or 0)
    assert abs(found["kernel"].value) < 3 * (found["kernel"].standard_error or 0)
    assert {"accuracy"} == IMAGES.keys() - found.keys()  # nothing says what these images should be


def test_the_order_of_samples_changes_nothing(digits: np.ndarray, tmp_path: Path) -> None:
    names = ("frechet", "precision", "coverage", "authenticity", "recognised")
    straight, shuffled = (scores(images, tmp_path, *names) for images in (digits, digits[::-1]))
    for name in names:
        assert shuffled[name].value == pytest.approx(straight[name].value, rel=1e-6)


def test_noise_and_one_class_alone_make_scores_worse(digits: np.ndarray, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=digits.shape)
    noised = [np.clip(digits + level * noise, 0, 255).astype(np.uint8) for level in (0, 20, 60, 120)]
    values = [scores(images, tmp_path, "frechet")["frechet"].value for images in noised]
    assert values == sorted(values)
    likely = load_extractor("digits")(digits).probabilities
    assert likely is not None
    alone = scores(digits[likely.argmax(axis=1) == 1], tmp_path)
    assert alone["recall"].value < 0.3 < alone["precision"].value
    assert alone["classes"].value > 1
    assert alone["kernel"].value > 0


def test_a_record_of_a_run_says_how_it_came_about(run: Run) -> None:
    found = organza.evaluate(run, count=100)
    assert [one.measure for one in found] == [
        "kernel",
        *(key for key in IMAGES if key != "kernel"),
    ]  # 100 < 128 features
    by = {one.measure: one for one in found}
    assert "singular" in by["frechet"].note
    assert organza.evaluate(run, count=100, measures=["frechet"])[0].note == by["frechet"].note
    one = by["frechet"]
    assert (one.name, one.extractor, one.reference, one.split) == ("MNIST-FD", "digits", "mnist", "train")
    assert (one.n_real, one.n_fake, one.seed, one.labels) == (100, 100, 0, "as the real ones")
    assert one.weights.startswith("averaged")
    assert one.checkpoint == run.checkpoint().name
    assert len(one.reference_sha256) == len(one.extractor_sha256) == 64
    again = organza.evaluate(run, count=100)
    assert [replace(a, created="") for a in again] == [replace(b, created="") for b in found]
    assert run.evaluate(count=100)[0].value == found[0].value


def test_the_floor_compares_as_many_real_images_that_share_none(run: Run, digits: np.ndarray, tmp_path: Path) -> None:
    def floor(target: Run | Path, against: str | None, **given: Any) -> tuple[str, int]:
        (one,) = organza.evaluate(target, against, measures=["precision"], **given)
        return one.floor_method, one.n_floor

    assert floor(run, None, count=200) == ("two disjoint parts of train", 200)
    assert floor(run, None, count=300) == ("test against train", 300)
    assert floor(run, None, count=300, split="test") == ("train against test", 300)
    path = saved(digits)(tmp_path / "images")
    assert floor(path, str(path), count=1_000) == ("two disjoint parts of train", 150)


def test_only_the_inception_network_gives_the_famous_names() -> None:
    for key, name in (("frechet", "FID"), ("kernel", "KID"), ("classifier", "IS")):
        assert title_of(key, IMAGES[key], extractor="inception", label="FID") == name
        assert title_of(key, IMAGES[key], extractor="digits", label="MNIST-FD") not in ("FID", "KID", "IS")


def test_points_are_scored_by_their_modes(tmp_path: Path) -> None:
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=TINY)
    found = {one.measure: one for one in run.evaluate(count=500)}
    assert list(found) == list(points(np.zeros((8, 2)), 0.1))
    assert found["modes"].floor == 8
    assert found["close"].floor == pytest.approx(0.989, abs=0.02)
    assert found["sliced"].value > (found["sliced"].floor or 0)
    with pytest.raises(UsageError, match="need no extractor"):
        organza.evaluate(run, extractor="digits", count=50)


def test_a_part_of_a_request_is_that_part_of_the_whole(run: Run) -> None:
    for draw in (lambda request: latents(request, 5), lambda request: labels(request, 10)):
        torch.testing.assert_close(draw(Request(4, start=3)), draw(Request(7))[3:])
    game = run.game()
    whole, part = (game.generate(request)["image"] for request in (Request(9, seed=4), Request(4, seed=4, start=5)))
    torch.testing.assert_close(part, whole[5:], rtol=1e-5, atol=1e-6)


def test_two_ranks_score_as_one_does(run: Run, cache: Path) -> None:
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "--",
        "organza",
        "evaluate",
    ]
    given = [str(run.folder), "--count", "600", "--device", "cpu", "--json", "--out", os.devnull]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ORGANZA_CACHE": str(cache / "ranks")}
    done = subprocess.run(
        [sys.executable, *command, *given], capture_output=True, text=True, env=environment, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    two = [Record.from_json(line) for line in done.stdout.splitlines() if line.startswith("{")]
    one = organza.evaluate(run, count=600)
    assert [record.value for record in two] == pytest.approx([record.value for record in one], rel=1e-9)
    assert [record.floor for record in two] == pytest.approx([record.floor for record in one], rel=1e-9)


def test_what_a_network_said_is_kept_and_damage_is_noticed(tmp_path: Path) -> None:
    made: list[Sample] = []

    def make() -> Sample:
        made.append(Sample(np.arange(6.0).reshape(3, 2), labels=np.array([1, 2, 3])))
        return made[-1]

    for _ in range(2):
        found = cached(tmp_path, ["a", "b"], make)
        np.testing.assert_array_equal(found.features, made[0].features)
        np.testing.assert_array_equal(found.labels, made[0].labels)
        assert found.probabilities is None
    assert len(made) == 1
    (path,) = (tmp_path / "features").glob("*.safetensors")
    whole = path.read_bytes()
    for broken in (whole[:-1] + b"\x01", whole[:40], b""):
        path.write_bytes(broken)
        cached(tmp_path, ["a", "b"], make)
        assert path.read_bytes() == whole
    cached(tmp_path, ["a", "c"], make)
    assert len(made) == 5
    assert load_file(path).keys() == {"features", "labels"}


def test_floors_are_kept_and_damage_is_noticed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    a, b, c = (Sample(draw.normal(size=(40, 3))) for _ in range(3))
    first = floors(tmp_path, IMAGES, ["frechet", "kernel"], a, b)
    (path,) = (tmp_path / "floors").glob("*.json")
    whole = path.read_text()
    assert floors(tmp_path, IMAGES, ["frechet", "kernel"], a, b) == first
    path.write_text(whole[:20])
    assert floors(tmp_path, IMAGES, ["frechet", "kernel"], a, b) == first
    assert path.read_text() == whole
    assert floors(tmp_path, IMAGES, ["frechet", "kernel"], a, c) != first
    assert floors(tmp_path, IMAGES, ["frechet"], a[:1], b[:1]) == {}


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(cached(tmp_path / "file", ["a"], lambda: Sample(np.zeros((3, 2))))) == 3


def test_pools_say_what_is_in_them(run: Run) -> None:
    source = open_source("mnist", FEW)
    pool = pool_of(source, start=0, stop=300)
    assert pool.sha256 == pool_of(source, start=0, stop=300).sha256 != pool_of(source, start=1, stop=301).sha256
    both = [pool_of(source, start=0, stop=200), pool_of(source, start=200, stop=400)]
    images = np.concatenate([part.samples for one in both for part in one])
    assert len(np.unique(images.reshape(400, -1), axis=0)) == 400
    made = pool_made(run.game(), run.spec, count=300, seed=0, labels=np.array([3, 4]))
    assert look(made, load_extractor("pixels")).features.shape == (300, 784)


def folder_without_images(path: Path) -> Path:
    path.mkdir()
    (path / "readme.txt").write_text("nothing")
    return path


def saved(images: np.ndarray) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        np.savez(path.with_suffix(".npz"), images=images)
        return path.with_suffix(".npz")

    return write


def folder_of_two_sizes(path: Path) -> Path:
    path.mkdir()
    for side in (28, 28, 20):
        Image.fromarray(np.full((side, side), side, np.uint8)).save(path / f"{len(list(path.iterdir()))}.png")
    return path


BAD = {
    "no images": (folder_without_images, DataError, "no image"),
    "an empty array": (saved(np.zeros((0, 28, 28, 1), np.uint8)), DataError, "0 images|no images|empty|holds nothing"),
    "one image": (saved(np.zeros((1, 28, 28, 1), np.uint8)), MeasureError, "1 sample"),
    "two sizes": (folder_of_two_sizes, DataError, "size"),
    "NaN": (saved(np.full((50, 28, 28, 1), np.nan, np.float32)), DataError, "NaN|nan|finite"),
    "another shape": (saved(np.zeros((50, 20, 20, 1), np.uint8)), DataError, "--resize"),
}


@pytest.mark.parametrize(("make", "error", "told"), BAD.values(), ids=list(BAD))
def test_bad_samples_are_refused_with_a_reason(
    make: Callable[[Path], Path], error: type[OrganzaError], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        organza.evaluate(make(tmp_path / "bad"), "mnist", count=60)


def test_wrong_wishes_are_refused_with_a_reason(run: Run, digits: np.ndarray, tmp_path: Path) -> None:
    path = saved(digits)(tmp_path / "images")
    with pytest.raises(UsageError, match="--against SRC"):
        organza.evaluate(path)
    with pytest.raises(CheckpointError, match="nope is not a run folder"):
        organza.evaluate(tmp_path / "nope")
    with pytest.raises(DataError, match="no such path was found"):
        organza.evaluate(tmp_path / "nope", "mnist")
    with pytest.raises(UsageError, match=r"cannot compute fid here; possible: frechet.*FID is frechet with --ext"):
        organza.evaluate(run, measures=["fid"], count=50)
    with pytest.raises(UsageError, match=r"Known: inception.*KID is kernel with --extractor inception"):
        organza.evaluate(run, extractor="KID", count=50)
    (tmp_path / "wrong.pth").write_bytes(b"other weights")
    with pytest.raises(DataError, match="SHA-256"):
        organza.evaluate(run, extractor="inception", weights=tmp_path / "wrong.pth", count=50)
    with pytest.raises(UsageError, match="Did you mean"):
        organza.evaluate(run, extractor="digit", count=50)
    with pytest.raises(UsageError, match="--evaluate-every"):
        RunSettings(patience=3)


def test_the_command_line_keeps_ranks_and_refuses(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = organza.train("dcgan:tiny", data="mnist", run=tmp_path / "b", settings=replace(TINY, seed=1), options=FEW)
    common = ["--count", "150", "--measures", "frechet", "precision", "--device", "cpu"]
    for one in (run, other):
        assert main(["evaluate", str(one.folder), *common]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("MNIST-FD", "floor", "lower", "train split", "scores.jsonl"))
    assert main(["compare", str(run.folder), str(other.folder)]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("MNIST-FD", "lower", "#1", "#2"))
    assert (
        main(["evaluate", str(other.folder), *common, "--seed", "7", "--out", str(tmp_path / "seven.jsonl"), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out.splitlines()[0])["seed"] == 7
    assert main(["compare", str(run.folder), str(tmp_path / "seven.jsonl")]) == 1
    assert "these differ: seed (0, 7)" in capsys.readouterr().out
    unscored = [str(tmp_path / "b" / "checkpoints"), str(tmp_path)]
    assert main(["compare", str(run.folder), *unscored]) == 1
    assert " && ".join(f"organza evaluate {path}" for path in unscored) in capsys.readouterr().err


def test_an_audit_tells_copies_from_new_images(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "replay.py").write_text(REPLAY)
    recipe = f"{tmp_path / 'replay.py'}"
    copier = organza.train(recipe, data="mnist", run=tmp_path / "run", settings=TINY, options=FEW)
    caught, honest = (audit(one, count=150) for one in (copier, run))
    assert caught.tone == "alarm"
    assert caught.authenticity == 0
    assert caught.copying.value < -3
    assert all(space.share == 1 for space in caught.spaces.values())
    assert honest.headline == "It repeats itself"  # it has hardly learned
    assert not any(space.near.any() for space in honest.spaces.values())
    page = write_audit(copier, caught, open_source("mnist", FEW)).read_text()
    assert "It copies its training data" in page
    assert page.count('class="pair"') == 2 * 16 + 2
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert main(["audit", str(run.folder), "--count", "150", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert "It repeats itself" in told.out
    assert told.err.startswith(f"searching {honest.searched:,} images of mnist for what 150 samples may copy ...\n")
    with pytest.raises(DataError, match=r"5 fakes and .*: take --count 40 or more"):
        audit(run, count=5)


def test_a_run_that_no_longer_gets_better_ends_and_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(TINY, samples=2_000, evaluate_every=64, log_every=64, patience=2, best_by="modes")
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=settings)
    last = run.rows()[-1]
    assert [row["stopped"] for row in run.rows() if "stopped" in row] == ["no improvement of modes in 2 evaluations"]
    assert last["samples"] < 2_000
    assert (run.folder / "report.html").exists()
    assert "Evaluated: modes captured" in (run.folder / "report.html").read_text()
    assert "finished early" in capsys.readouterr().out
    organza.resume(run)
    assert "already finished" in capsys.readouterr().out
    assert run.rows()[-1] == last


def test_the_measure_that_was_chosen_decides_which_checkpoint_is_the_best(tmp_path: Path) -> None:
    settings = replace(TINY, evaluate_every=32, checkpoint_every=32, log_every=16, best_by="precision", keep=9)
    run = organza.train("dcgan:tiny", data="mnist", run=tmp_path / "run", settings=settings, options=FEW)
    rows = [row for row in run.rows() if "score/precision-digits" in row]
    kept = [checkpoint.peek(path)["score"] for path in checkpoint.listed(run.checkpoints)]
    assert [-row["score/precision-digits"] for row in rows] == kept[1:]
    with pytest.raises(UsageError, match="no measure 'beauty' for --best-by"):
        organza.train(
            "dcgan:tiny", data="mnist", settings=replace(settings, best_by="beauty"), run=tmp_path / "c", options=FEW
        )


def test_evaluations_do_not_touch_the_game(tmp_path: Path) -> None:
    def weights(settings: RunSettings, name: str) -> list[torch.Tensor]:
        run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / name, settings=settings)
        game: Game = run.game()
        return [p for player in game.players.values() for p in player.network.parameters()]

    plain, scored = weights(TINY, "plain"), weights(replace(TINY, evaluate_every=16), "scored")
    assert all(torch.equal(a, b) for a, b in zip(plain, scored, strict=True))


def test_the_untrained_beginning_is_the_best_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    settings = replace(TINY, samples=64, checkpoint_every=32, keep=9)
    folder = organza.train("dcgan:tiny", data="mnist", run=tmp_path / "run", settings=settings, options=FEW).checkpoints

    def score(name: str, value: float) -> None:
        meta = folder / name / "meta.json"
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"score": value}))

    names = [path.name for path in checkpoint.listed(folder)]
    for name, value in zip(names, (-9.0, 1.0, 1.0), strict=False):
        score(name, value)
    assert checkpoint.best(folder) == folder / names[2]  # of equals the newest
    for name in names[1:]:
        score(name, float("nan"))
    assert checkpoint.best(folder) == folder / names[0]


def test_patience_counts_evaluations_since_the_best() -> None:
    assert not is_stale([3.0, 2.0], 2, higher_is_better=False)
    assert is_stale([2.0, 3.0, 2.0], 2, higher_is_better=False)
    assert not is_stale([2.0, 3.0, 1.9], 2, higher_is_better=False)
    assert not is_stale([2.0, 3.0, 1.9], 2, higher_is_better=True)
    assert is_stale([3.0, 3.0], 1, higher_is_better=True)
