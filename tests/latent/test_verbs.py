"""The verbs that explore a generator, as a user meets them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from organza.checkpoint import digest
from organza.cli.__main__ import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def styled(make_run: Callable[[str], Path]) -> str:
    return str(make_run("stylegan2"))


@pytest.fixture
def plain(make_run: Callable[[str], Path]) -> str:
    return str(make_run("dcgan"))


def frames(path: Path) -> int:
    with Image.open(path) as film:
        return getattr(film, "n_frames", 1)


def test_a_walk_is_a_film_or_a_strip(styled: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "walk.gif"
    assert main(["interpolate", styled, "--out", str(out), "--seeds", "0", "5", "--frames", "4", "--count", "2"]) == 0
    assert frames(out) == 8
    assert "8 frames" in capsys.readouterr().out
    out = tmp_path / "walk.png"
    assert main(["interpolate", styled, "--out", str(out), "--space", "z", "--frames", "2"]) == 0
    with Image.open(out) as strip:
        assert strip.width == 7 * 66 + 2
    assert main(["interpolate", styled, "--out", str(out), "--label", "0", "--to-label", "bar", "--frames", "3"]) == 0


def test_directions_are_kept_shown_and_walked_along(styled: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["directions", styled, "--method", "pca", "--count", "2", "--samples", "100"]) == 0
    folder = Path(styled) / "directions"
    assert {path.name for path in folder.iterdir()} >= {"pca.safetensors", "pca.json", "pca.png"}
    assert load_file(folder / "pca.safetensors")["vectors"].shape == (2, 8)
    assert json.loads((folder / "pca.json").read_text())["space"] == "w"
    out = tmp_path / "along.gif"
    assert main(["interpolate", styled, "--direction", "pca:1", "--frames", "6", "--out", str(out)]) == 0
    assert frames(out) == 6
    assert main(["interpolate", styled, "--direction", "age", "--out", str(out)]) == 2
    assert f"(there: pca); find some with: organza directions {styled}" in capsys.readouterr().err


@pytest.mark.parametrize("show", ["truncation", "styles", "classes"])
def test_sheets_have_a_row_for_each_sample(show: str, styled: str, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    common = ["--out", str(out), "--count", "2", "--columns", "3", "--label", "0", "--to-label", "1"]
    assert main(["explore", styled, show, *common]) == 0
    with Image.open(out) as sheet:
        assert sheet.height == 20 + 2 + 66 * (3 if show == "styles" else 2)  # a line of captions, the grid


def test_projecting_writes_a_picture_a_point_and_numbers_and_keeps_the_checkpoint(
    styled: str, tmp_path: Path, capsys: Capture
) -> None:
    weights = sorted(Path(styled).glob("checkpoints/*/players.safetensors"))
    before = [digest(path) for path in weights]
    colour = np.random.default_rng(0).integers(256, size=(40, 20, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "mine.png")
    few = ["--steps", "3", "--starts", "1", "--among", "4", "--tune", "2", "--out", str(tmp_path / "found")]
    assert main(["project", styled, str(tmp_path), *few]) == 0  # every image in it
    printed = capsys.readouterr().out
    assert "mine.png: 20x40 brought to 16x16" in printed
    assert re.search(r"pixel error 0\.\d+ .*, tuned 0\.\d+ .*nearest of 4 random samples 0\.\d+", printed)
    distance = re.search(r"; (\d+\.\d\d) typical distances from the mean", printed)
    folder = tmp_path / "found"
    names = {"mine.png", "mine.json", "mine.safetensors", "mine.tuned.safetensors"}
    assert {path.name for path in folder.iterdir()} == names
    told = json.loads((folder / "mine.json").read_text())
    assert distance is not None
    assert float(distance[1]) == pytest.approx(told["distance"], abs=0.006)
    assert told["tuned_rms"] < told["rms"] <= told["random_rms"] + 1e-3
    with Image.open(folder / "mine.png") as sheet:
        assert sheet.width == 4 * (112 + 2) + 2
    assert [digest(path) for path in weights] == before
    point, out = str(folder / "mine.safetensors"), str(tmp_path / "back.png")
    tuned = ["--tuned", str(folder / "mine.tuned.safetensors"), "--frames", "2", "--no-loop"]
    assert main(["interpolate", styled, "--points", point, point, "--out", out, *tuned]) == 0
    with Image.open(out) as strip, Image.open(folder / "mine.png") as sheet:
        made = np.asarray(strip)[2:66:4, 2:66:4]
        np.testing.assert_array_equal(made, np.asarray(sheet)[2:114:7, 2 + 2 * 114 : 2 * 114 + 114 : 7])


def test_a_single_image_can_be_projected_to_a_file(plain: str, tmp_path: Path, capsys: Capture) -> None:
    for name in ("mine", "other"):
        Image.new("L", (16, 16), 90).save(tmp_path / f"{name}.png")
    few, out = (
        ["--steps", "1", "--starts", "1", "--among", "2", "--device", "cpu", "--out"],
        tmp_path / "made" / "p.png",
    )
    mine, other = str(tmp_path / "mine.png"), str(tmp_path / "other.png")
    assert main(["project", plain, mine, *few, str(out)]) == 0
    assert {path.name for path in out.parent.iterdir()} == {"p.png", "p.safetensors", "p.json"}
    with Image.open(out) as sheet:
        assert sheet.width == 3 * (112 + 2) + 2
    before = Path(mine).read_bytes()
    for images, wrong, message in (
        ([mine, other], str(tmp_path / "x.png"), "2 images are to be projected: name a folder"),
        ([mine], str(tmp_path / "x.mp4"), "for a single image a .png"),
        ([mine], mine, f"would replace {mine}"),
        ([mine], str(tmp_path), f"would replace {mine}"),
    ):
        capsys.readouterr()
        assert main(["project", plain, *images, *few, wrong]) == 2
        assert message in capsys.readouterr().err
    assert Path(mine).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"mine.png", "other.png", "made"}


def test_images_in_sub_folders_are_not_projected_and_it_says_so(plain: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "cats").mkdir()
    assert main(["project", plain, str(tmp_path)]) == 2
    assert "holds no images; name image files" in capsys.readouterr().err
    Image.new("L", (16, 16), 90).save(tmp_path / "cats" / "tom.png")
    assert main(["project", plain, str(tmp_path)]) == 2
    assert f"sub-folders are not read unless named, such as {tmp_path / 'cats'}" in capsys.readouterr().err


def test_the_python_of_the_docs_runs(styled: str, capsys: Capture) -> None:
    text = (Path(__file__).parents[2] / "docs" / "latent.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0].replace("runs/0001-stylegan2-mnist", styled)
    exec(compile(code, "latent.md", "exec"), {})
    assert all(float(number) > 0 for number in capsys.readouterr().out.split())


MISTAKES = [
    (["interpolate", "{plain}", "--space", "w"], 2, "has no W"),
    (["interpolate", "{plain}", "--out", "x.avi"], 2, "cannot write .avi"),
    (["interpolate", "{plain}", "--to-label", "1"], 2, "needs --label"),
    (["interpolate", "{plain}", "--seeds", "3"], 2, "at least 2 stops"),
    (["interpolate", "{plain}", "--points", "none.safetensors"], 1, "cannot read points"),
    (["explore", "{plain}", "styles"], 2, "mixing styles needs W"),
    (["explore", "{plain}", "classes"], 2, "give both"),
    (["explore", "{plain}", "--label", "cat"], 2, "no class 'cat'"),
    (["project", "{plain}", "nowhere.png"], 1, "cannot read nowhere.png"),
    (["project", "{plain}", "a/x.png", "b/x.png"], 2, "names differ"),
    (["directions", "{plain}", "--layers", "0", "1"], 2, "layers can be chosen in W alone"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_a_mistake_is_one_clear_message(
    arguments: list[str], code: int, message: str, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([argument.format(plain=plain) for argument in arguments]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [["explore", "classes"], ["interpolate", "--label", "1", "--to-label", "0"]], ids=str)
@pytest.mark.parametrize("family", ["vanilla", "infogan"])
def test_a_family_that_takes_no_labels_says_so(
    family: str, verb: list[str], make_run: Callable[[str], Path], capsys: Capture
) -> None:
    assert main([verb[0], str(make_run(family)), *verb[1:]]) == 2
    message = capsys.readouterr().err
    assert f"{family} takes no labels, so there are no classes to ask for; a family that does: organza train" in message
    assert "--conditional" not in message


def test_a_run_without_classes_says_how_to_train_with_some(make_run: Callable[..., Path], capsys: Capture) -> None:
    told = {
        ("no", ("square", "bar")): "to train with some, take --conditional auto",
        ("auto", ()): "put images into one folder per class, or let groups of similar samples "
        "serve as classes with --clusters 2",
        ("auto", ("square",)): "serve as classes with --no-labels --clusters 2",
    }
    for (conditional, classes), mend in told.items():
        run = make_run("dcgan", classes, conditional=conditional)
        assert main(["generate", str(run), "--label", "0"]) == 2
        assert mend in capsys.readouterr().err


def test_a_sheet_without_a_name_is_called_after_what_it_shows(
    styled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for show in ("truncation", "styles", "classes"):
        few = ["--count", "1", "--columns", "2", "--label", "0", "--to-label", "1"]
        assert main(["explore", styled, show, *few]) == 0
        assert (tmp_path / f"{show}.png").exists()
    assert len(list(tmp_path.iterdir())) == 3


OPTIONS = {
    "interpolate": "run out seeds points count label to-label direction reach space curve frames loop fps truncation "
    "tuned checkpoint mark device",
    "explore": "run show out count columns seed values crossover label to-label truncation checkpoint mark device",
    "directions": "run method count name space layers samples seed label reach columns checkpoint mark device",
    "project": "run images space steps starts among rate label tune tune-rate locality seed out checkpoint mark device",
}


@pytest.mark.parametrize("verb", OPTIONS)
def test_the_options_of_a_verb_are_these_and_no_others(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    found = set(re.findall(r"(?<![-\w])--([a-z][a-z-]*)", capsys.readouterr().out))
    named = {name for name in OPTIONS[verb].split() if name not in ("run", "images", "show")}
    flags = {f"no-{name}" for name in ("loop", "mark") if name in named}
    mentioned = {"help", "best-by", "direction", "label", "to-label", "out"}
    assert named | flags <= found <= named | flags | mentioned
