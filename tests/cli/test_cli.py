"""The command line as a user meets it: every verb, and one clear message for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import organza
from organza.cli.__main__ import COMMANDS, main
from organza.recipes import RECIPES

TINY = ["--samples", "64", "--device", "cpu"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 200 MNIST digits, two steps long."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "dcgan:tiny", "--data", "mnist", "--limit", "200", *TINY, "--run", str(folder)]) == 0
    return folder


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in COMMANDS)
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_explains_itself_without_torch(verb: str) -> None:
    script = (
        "import sys; from organza.cli.__main__ import main\n"
        f"try: main([{verb!r}, '--help'])\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stderr.split() == ["False", "False"]
    assert f"organza {verb}" in done.stdout


def test_a_run_folder_holds_everything_that_is_promised(digits: Path) -> None:
    names = {path.name for path in digits.iterdir()}
    assert {"run.json", "metrics.jsonl", "samples", "real.png", "checkpoints", "report.html"} <= names
    assert json.loads((digits / "run.json").read_text())["recipe"]["fields"]["batch"] == 16
    with Image.open(sorted((digits / "samples").glob("*.png"))[-1]) as grid, Image.open(digits / "real.png") as real:
        assert grid.size == real.size


def test_generate_writes_each_form(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["generate", str(digits), "--count", "6", "--seed", "1", "--device", "cpu"]
    assert main([*common, "--out", str(tmp_path / "grid.png")]) == 0
    assert "trainedAlgorithmicMedia" in (tmp_path / "grid.png").read_bytes().decode("latin-1")
    assert main([*common, "--label", "3", "--out", str(tmp_path / "set.npz")]) == 0
    arrays = np.load(tmp_path / "set.npz")
    assert arrays["images"].dtype == np.uint8
    assert arrays["images"].shape == (6, 28, 28, 1)
    assert set(arrays["labels"]) == {3}
    np.testing.assert_array_equal(arrays["images"], organza.open(digits).generate(6, seed=1, label=3))
    assert main([*common, "--out", str(tmp_path / "folder")]) == 0
    assert len(list((tmp_path / "folder").glob("*/*.png"))) == 6
    assert main([*common, "--out", str(tmp_path / "film.gif")]) == 0
    with Image.open(tmp_path / "film.gif") as film:
        assert getattr(film, "n_frames", 1) > 8
    assert "frames" in capsys.readouterr().out


def test_a_generated_folder_can_be_trained_on(digits: Path, tmp_path: Path) -> None:
    assert main(["generate", str(digits), "--count", "40", "--out", str(tmp_path / "made")]) == 0
    assert main(["train", "dcgan:tiny", "--data", str(tmp_path / "made"), *TINY, "--run", str(tmp_path / "run")]) == 0
    assert organza.open(tmp_path / "run").spec.num_classes >= 2


def test_finetune_begins_with_the_weights_of_another_run(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fine"
    arguments = ["--data", "mnist", "--split", "test", "--limit", "100", "--run", str(folder), *TINY]
    assert main(["finetune", str(digits), *arguments]) == 0
    assert organza.open(folder).rows()[0]["samples"] <= 64


def test_finetune_takes_the_options_of_the_recipe_and_keeps_the_others(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, folder = organza.open(digits).recipe, tmp_path / "fine"
    arguments = ["--data", "mnist", "--split", "test", "--limit", "100", "--run", str(folder), *TINY]
    assert main(["finetune", str(digits), "--generator-lr", "0.003", *arguments]) == 0
    assert organza.open(folder).recipe == replace(old, generator_lr=0.003)
    arguments[-len(TINY) - 1] = str(tmp_path / "wide")
    assert main(["finetune", str(digits), "--width", "5", *arguments]) == 2
    assert "do not fit networks made with --width 5: leave out what changes the networks" in capsys.readouterr().err


def test_finetune_wants_the_run_first(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--width", "5", str(digits)]) == 2
    assert "name the run first: organza finetune RUN --width ..." in capsys.readouterr().err


def test_pause_and_resume_make_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    train = ["train", "vanilla:tiny", "--data", "ring8", "--samples", "320", "--device", "cpu", "--run", folder]
    assert main([*train, "--pause-at", "160"]) == 0
    assert "organza resume" in capsys.readouterr().out
    assert main(["resume", folder]) == 0
    assert organza.open(folder).rows()[-1]["samples"] == 320


def test_the_same_command_goes_on_and_a_changed_field_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "vanilla:tiny", "--data", "ring8", *TINY, "--run", str(tmp_path / "run")]
    assert main([*train, "--pause-at", "32"]) == 0
    assert main(train) == 0
    assert main([*train, "--critic-lr", "0.5"]) == 1
    assert "critic_lr (0.0002 in the run, 0.5 now)" in capsys.readouterr().err


def test_recipes_names_are_the_families(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--names"]) == 0
    assert capsys.readouterr().out.split() == ["auto", *RECIPES, "colorize", "translate"]
    assert main(["recipes"]) == 0


def test_an_ejected_recipe_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eject", "vanilla"]) == 0
    assert main(["eject", "vanilla"]) == 1
    assert main(["train", "./my_vanilla.py:tiny", "--data", "ring8", *TINY]) == 0
    assert (tmp_path / "runs").exists()


def test_plan_and_doctor_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "vanilla:tiny", "--data", "ring8", "--device", "cpu"]) == 0
    planned = capsys.readouterr().out
    assert "parameters" in planned
    assert "samples/s" in planned
    assert main(["doctor"]) == 0
    assert "fit to train" in capsys.readouterr().out


MISTAKES = [
    (["trian"], 2, "did you mean 'train'"),
    (["train", "dcgam"], 2, "did you mean 'dcgan'"),
    (["recipes", "dcgan:fast"], 2, "listed by: organza train dcgan:fast --help"),
    (["train", "DCGAN"], 2, "did you mean 'dcgan'"),
    (["TRAIN"], 2, "did you mean 'train'"),
    (["train", "--data", "pics", "dcgan:tiny"], 2, "comes first: organza train dcgan:tiny --data pics"),
    (["train", "--dry-run", "wgan"], 2, "comes first: organza train wgan --dry-run"),
    (["plan", "--lr=0.1", "wgan", "--run", "dcgan"], 2, "comes first: organza plan wgan --lr=0.1 --run dcgan"),
    (["train", "dcgan:pape"], 2, "did you mean 'paper'"),
    (["train", "vanilla:tiny", "--data", "mnits"], 1, "mean 'mnist'"),
    (["train", "vanilla:tiny", "--data", "/nowhere/at/all"], 1, "/nowhere/at/all"),
    (["train", "vanilla:tiny", "--samples", "10", "--minutes", "1"], 2, "one budget"),
    (["train", "vanilla:tiny", "--samples", "-4"], 2, "above 0"),
    (["train", "vanilla:tiny", "--device", "tpu"], 2, "unknown device"),
    (["train", "vanilla:tiny", "--device", "cpu", "--batch", "100000"], 2, "set --batch to 60,000 at most"),
    (["plan", "vanilla:tiny", "--device", "cpu", "--batch", "100000"], 2, "set --batch to 60,000 at most"),
    (["train", "dcgan:tiny", "--data", "gaussian1d", "--conditional", "yes"], 1, "needs labels"),
    (["train", "./no_such_recipe.py"], 2, "no recipe file"),
    (["resume", "runs/9999-nothing"], 1, "not a run folder"),
    (["generate", "runs/9999-nothing"], 1, "not a run folder"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_a_mistake_is_one_clear_message(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*/checkpoints"))


def test_generate_refuses_what_the_run_cannot_do(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(digits), "--label", "12"]) == 2
    assert "no class '12'" in capsys.readouterr().err
    assert main(["generate", str(digits), "--label", "²"]) == 2
    assert "no class '²'" in capsys.readouterr().err
    assert main(["generate", str(digits), "--truncation", "nan"]) == 2
    assert "--truncation must be at least 0 and finite; got nan" in capsys.readouterr().err
    (tmp_path / "mine.png").touch()
    assert main(["generate", str(digits), "--count", "2", "--out", str(tmp_path)]) == 1
    assert "holds files already" in capsys.readouterr().err
    assert main(["generate", str(digits), "--count", "0"]) == 2
    assert main(["generate", str(digits), "--out", str(tmp_path / "x.jpg")]) == 2
    assert "cannot write .jpg" in capsys.readouterr().err
    assert main(["generate", str(digits), "--out", "walk.mp4"]) == 2
    assert f".mp4 films are written by: organza interpolate {digits} --out walk.mp4" in capsys.readouterr().err
    assert main(["generate", str(digits), "--count", "1000000000000000", "--device", "cpu"]) == 1
    assert "out of memory; try a smaller --count" in capsys.readouterr().err


OPTIONS = [
    "--help",
    "--data",
    "--to",
    "--pairs",
    "--scale",
    "--wear",
    "--holes",
    "--paired",
    "--direction",
    "--samples",
    "--epochs",
    "--minutes",
    "--seed",
    "--run",
    "--checkpoint-every",
    "--keep",
    "--sample-every",
    "--log-every",
    "--doctor",
    "--doctor-every",
    "--doctor-share",
    "--track",
    "--webhook",
    "--evaluate-every",
    "--best-by",
    "--patience",
    "--pause-at",
    "--micro-batch",
    "--device",
    "--devices",
    "--precision",
    "--compile",
    "--resize",
    "--crop",
    "--channels",
    "--clusters",
    "--clusters-of",
    "--labels",
    "--split",
    "--limit",
    "--hold-out",
    "--strict",
    "--max-bad",
    "--offline",
    "--workers",
    "--cache",
    "--dry-run",
    "--no-compile",
    "--no-labels",
    "--no-strict",
    "--no-offline",
    "--no-dry-run",
]


def test_options_stand_under_titles_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert all(title in printed for title in (" run options ", " data options "))
    assert "options options" not in printed


def test_help_breaks_lines_only_where_they_are_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    margin = " " * 23
    printed = capsys.readouterr().out.splitlines()
    lines = [text for line in printed if line[1:].startswith(margin) and (text := line.strip("│ "))]
    room = 80 - len(margin) - len("│  │")
    short = [line for line, after in pairwise(lines) if len(line) + 1 + len(after.split()[0]) <= room]
    assert len(lines) > 50
    assert not [line for line in short if not line.endswith((".", ")"))]


@pytest.mark.parametrize(("given", "says_why"), [([], True), (["--minutes", "3"], False), (["auto"], False)])
def test_plain_train_says_why_it_takes_two_minutes(
    given: list[str], says_why: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *given, "--dry-run"]) == 0
    assert ("since no budget is given" in capsys.readouterr().out) == says_why


def test_the_options_of_train_are_these_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    found = set(re.findall(r"(?<![-\w])--[a-z][a-z-]*", capsys.readouterr().out)) - {"--width"}
    assert sorted(found) == sorted(OPTIONS)


@pytest.mark.parametrize("family", [name for name, recipe in RECIPES.items() if hasattr(recipe, "penalty")])
def test_finite_differences_are_promised_to_be_no_faster_than_they_are(
    family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", family, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "exact (second derivatives) or finite_difference (noisier, and no faster on a CPU)" in told
