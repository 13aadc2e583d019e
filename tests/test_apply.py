"""A trained model on files of one's own: images of any size, folders, films, tiles."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import organza
from organza.apply import Applier, faded, spans
from organza.cli.__main__ import main
from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.game import Game, Request
from organza.latent.film import ffmpeg

GRAY = ImageSpec(channels=1, height=28, width=28)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> organza.Run:
    """A pix2pix of edges and digits that has learned next to nothing."""
    folder = tmp_path_factory.mktemp("runs") / "edges"
    return organza.train("pix2pix:tiny", data="edges-to-digits", samples=64, run=folder)


def form(path: Path) -> tuple[tuple[int, int], str]:
    """Size and mode of a picture."""
    with Image.open(path) as image:
        return image.size, image.mode


def local(request: Request) -> dict[str, torch.Tensor]:
    """A model that sees 3 x 3 pixels and doubles the size."""
    assert request.sources is not None
    smooth = torch.nn.functional.avg_pool2d(request.sources, 3, stride=1, padding=1, count_include_pad=False)
    return {"image": -smooth.repeat_interleave(2, 2).repeat_interleave(2, 3)}


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(10, 16, 4), (16, 16, 4), (17, 16, 4), (97, 16, 5), (131, 40, 0)]
)
def test_tiles_cover_a_side_and_share_what_they_should(length: int, tile: int, overlap: int) -> None:
    found = spans(length, tile, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(end - begin == min(tile, length) for begin, end in found)
    assert all(before[1] - after[0] >= overlap for before, after in pairwise(found))


def test_weights_fade_inside_and_never_at_the_edge_of_the_image() -> None:
    first, middle, last = (faded(begin, begin + 8, 20, 4, 1) for begin in (0, 6, 12))
    assert first[0] == 1
    assert last[-1] == 1
    assert all(part.min() > 0 for part in (first, middle, last))
    assert middle[0] < middle[1] < middle[2]


def test_tiles_of_a_model_that_sees_little_equal_the_whole() -> None:
    game = Game(players={}, turns=[], generate=local)
    whole = Applier(game=game, given=GRAY, made=GRAY)
    pixels = np.random.default_rng(0).integers(256, size=(97, 131, 1), dtype=np.uint8)
    expected = whole(pixels)
    assert expected.shape == (194, 262, 1)
    tiled = replace(whole, tile=32, overlap=8)(pixels)
    # A pixel at the edge of a tile has fewer neighbours there, and that is where a tile counts least.
    assert np.abs(tiled.astype(int) - expected).mean() < 0.5
    assert (np.abs(tiled.astype(int) - expected) <= 1).mean() > 0.9


def test_colour_gray_and_sixteen_bits_are_brought_to_what_the_model_takes() -> None:
    game = Game(players={}, turns=[], generate=local)
    deep = Applier(game=game, given=replace(GRAY, bits=16), made=replace(GRAY, bits=16))
    assert deep(np.full((4, 5, 3), 255, np.uint8)).dtype == np.uint16
    plain = Applier(game=game, given=GRAY, made=GRAY)
    made = plain(np.full((4, 5, 3), 65535, np.uint16))
    assert made.dtype == np.uint8
    assert made.max() == 0  # white to its negative


def test_a_file_keeps_its_odd_size(run: organza.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.random.default_rng(0).integers(256, size=(97, 131, 3), dtype=np.uint8)).save(tmp_path / "in.png")
    assert main(["apply", str(run.folder), str(tmp_path / "in.png"), str(tmp_path / "out.png")]) == 0
    assert "131x97" in capsys.readouterr().out
    assert form(tmp_path / "out.png") == ((131, 97), "L")


def test_a_folder_keeps_its_names_and_tells_what_it_leaves_out(
    run: organza.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (20, 30)).save(tmp_path / "in" / "a.JPG", format="JPEG")
    Image.new("L", (33, 21)).save(tmp_path / "in" / "deep" / "b.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (tmp_path / "in" / "notes.txt").write_text("words")
    assert main(["apply", str(run.folder), str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")) == [
        "a.png",
        "deep/b.png",
    ]
    told = capsys.readouterr().out
    assert "broken.png: left out" in told
    assert "2 images in" in told


@pytest.mark.parametrize(
    ("source", "out", "words", "message"),
    [
        ("missing.png", "o.png", [], "no such file or folder"),
        ("words.png", "o.png", [], "cannot read"),
        ("good.png", "o.xyz", [], "cannot write .xyz"),
        ("empty", "o", [], "holds no image that can be read"),
        ("good.png", "o.png", ["--reverse"], "goes one way only"),
        ("good.png", "o.png", ["--tile", "8", "--overlap", "8"], "--overlap must be at least 0 and below --tile"),
    ],
)
def test_what_cannot_be_done_ends_in_one_message(
    source: str, out: str, words: list[str], message: str, run: organza.Run, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.png").write_text("no image")
    Image.new("L", (28, 28)).save(tmp_path / "good.png")
    assert main(["apply", str(run.folder), str(tmp_path / source), str(tmp_path / out), *words]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / out).exists() or (tmp_path / out).is_dir()


def test_a_run_that_makes_images_of_noise_has_nothing_to_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = organza.train("dcgan:tiny", samples=64, run=tmp_path / "run")
    assert main(["apply", str(made.folder), "in.png", "out.png"]) == 2
    assert "organza generate" in capsys.readouterr().err


def test_cyclegan_goes_back_too(tmp_path: Path) -> None:
    made = organza.train("cyclegan:tiny", data="digits-to-slanted", samples=32, run=tmp_path / "run")
    Image.new("RGB", (40, 32)).save(tmp_path / "in.png")
    for words, mode in (([], "RGB"), (["--reverse"], "L")):
        assert main(["apply", str(made.folder), str(tmp_path / "in.png"), str(tmp_path / "out.png"), *words]) == 0
        assert form(tmp_path / "out.png") == ((40, 32), mode)


def test_a_film_keeps_its_frames(run: organza.Run, tmp_path: Path) -> None:
    try:
        program = [ffmpeg(), "-loglevel", "error"]
    except UsageError:
        pytest.skip("films need ffmpeg")
    given, made = tmp_path / "in.mp4", tmp_path / "out.mp4"
    subprocess.run([*program, "-f", "lavfi", "-i", "testsrc=s=36x24:r=5:d=1", str(given)], check=True)
    assert main(["apply", str(run.folder), str(given), str(made)]) == 0
    subprocess.run([*program, "-i", str(made), str(tmp_path / "%d.png")], check=True)
    assert len(list(tmp_path.glob("[0-9]*.png"))) == 5
