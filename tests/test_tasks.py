"""Plain names of tasks, and data options that belong to families and presets: what is trained, and on which pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import organza
from organza.cli.__main__ import main
from organza.data.options import DataOptions
from organza.errors import DataError
from organza.recipe import find

SMALL = ["--samples", "16", "--batch", "8", "--width", "4", "--doctor", "off"]


def folder(path: Path, mode: str = "RGB", count: int = 12) -> str:
    """Pictures of 16 pixels."""
    path.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path / f"{index:02}.png")
    return str(path)


def train(tmp_path: Path, *arguments: str) -> int:
    return main(["train", *arguments, "--run", str(tmp_path / "run")])


def test_to_colorize_is_pix2pix_from_gray(tmp_path: Path) -> None:
    assert train(tmp_path, "colorize", "--data", folder(tmp_path / "in"), *SMALL) == 0
    run = organza.open(tmp_path / "run")
    assert run.found.name == "pix2pix"
    assert run.data_options.pairs == "gray"
    assert run.spec.images["source"].channels == 1
    assert train(tmp_path, "colorize", "--data", str(tmp_path / "in"), *SMALL) == 0  # the same command, the same run
    tiny = find("colorize:tiny")
    assert (tiny.name, tiny.preset, tiny.data) == ("pix2pix", "tiny", {"pairs": "gray"})


def test_pairs_that_are_there_are_taken_before_any_are_made(tmp_path: Path) -> None:
    assert train(tmp_path, "colorize", "--data", "gray-to-colour-digits", "--limit", "32", *SMALL) == 0
    assert organza.open(tmp_path / "run").data_options.pairs == "auto"


def test_what_has_no_color_cannot_lose_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "colorize", "--data", folder(tmp_path / "in", "L"), *SMALL) == 1
    assert "no colors to lose" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_to_translate_takes_the_family_that_suits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = folder(tmp_path / "x"), folder(tmp_path / "y")
    small = ["--samples", "16", "--batch", "8", "--doctor", "off"]
    assert train(tmp_path, "translate", "--data", one, *small) == 1
    assert "--to FOLDER" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert train(tmp_path, "translate", "--data", one, "--to", two, *small) == 0
    assert organza.open(tmp_path / "run").found.name == "cyclegan"


def test_a_dry_run_shows_the_pairs_that_would_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "srgan:real", "--perceptual", "none", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "pairs = 'small'" in told
    assert "wear = 1.0" in told
    assert main(["train", "srgan:real", "--perceptual", "none", "--wear", "0.3", "--dry-run"]) == 0
    assert "wear = 0.3" in capsys.readouterr().out


def test_a_run_records_the_network_that_auto_meant_and_goes_on_with_it(tmp_path: Path) -> None:
    run = organza.train("inpaint:tiny", samples=32, run=tmp_path / "run")
    assert run.config["recipe"]["fields"]["perceptual"] == "digits"
    again = organza.resume(run)
    assert again.recipe == run.recipe


def test_pairs_made_of_what_holds_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds pairs already"):
        organza.train("srgan:tiny", data="small-to-digits", options=DataOptions(pairs="small"), run=tmp_path / "run")


@pytest.mark.parametrize("data", ["mnist", "small-to-digits"])
def test_auto_enlarges_where_sources_are_smaller_and_fills_where_they_have_holes(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = ["--pairs", "holes"] if data == "mnist" else []
    assert main(["train", "--data", data, *pairs, "--limit", "64", "--dry-run"]) == 0
    assert ("[recipe: Inpaint]" if pairs else "[recipe: SRGAN]") in capsys.readouterr().out


def test_an_option_that_is_given_wins_over_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "srgan:real", "--perceptual", "none", "--wear", "0", "--dry-run"]) == 0
    assert "wear = 0.0" in capsys.readouterr().out


def test_pairs_that_are_made_are_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "srgan:tiny", "--no-labels", "--limit", "600", "--clusters", "2") == 2
    assert "--clusters makes no classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_points_cannot_be_translated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "translate", "--data", "ring8", "--samples", "16") == 1
    assert "ring8 holds points" in capsys.readouterr().err


def test_transparency_alone_is_no_hole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = folder(tmp_path / "x", "RGBA", count=16), folder(tmp_path / "y", count=16)
    assert main(["train", "--data", one, "--to", two, "--paired", "yes", "--channels", "auto", "--dry-run"]) == 0
    assert "[recipe: Pix2Pix]" in capsys.readouterr().out


def test_fine_tuning_undoes_the_same_in_other_images(tmp_path: Path) -> None:
    old = organza.train(
        "srgan:tiny",
        data=folder(tmp_path / "in", count=20),
        samples=16,
        options=DataOptions(scale=2, wear=0.5),
        run=tmp_path / "old",
    )
    other = folder(tmp_path / "other", count=20)
    assert main(["finetune", str(old.folder), "--data", other, "--samples", "16", "--run", str(tmp_path / "new")]) == 0
    new = organza.open(tmp_path / "new").data_options
    assert (new.pairs, new.scale, new.wear) == ("small", 2, 0.5)


def test_a_measure_that_the_model_cannot_have_is_refused_before_there_is_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["srgan:tiny", "--hold-out", "0.2", "--limit", "100", "--evaluate-every", "32"]
    for measure in ("masked_absolute_error", "cycle"):
        assert train(tmp_path, *common, "--best-by", measure) == 2
        assert "cannot be measured here" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_what_is_ejected_from_a_task_is_told_with_its_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eject", "colorize"]) == 0
    assert capsys.readouterr().out.strip().endswith("--pairs gray")
