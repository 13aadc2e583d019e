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
from organza.apply import Applier, applier, faded, spans
from organza.cli.__main__ import main
from organza.data import DataOptions
from organza.data.degrade import downsampled
from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.game import Game, Request
from organza.latent.film import ffmpeg
from organza.recipe import find

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


@pytest.mark.parametrize("overlap", [0, 4, 5, 8])
def test_weights_fade_inside_and_never_at_the_edge_of_the_image(overlap: int) -> None:
    parts = [faded(begin, begin + 16, 32 - overlap, overlap, 2) for begin in (0, 16 - overlap)]
    first, last = parts
    assert first[0] == last[-1] == 1
    total = torch.zeros(2 * (32 - overlap))
    total[:32] += first
    total[-32:] += last
    torch.testing.assert_close(total, torch.ones_like(total))
    if overlap == 8:
        assert first[-7:].max() == last[:7].max() == 0  # what is near an edge counts for nothing


def test_tiles_of_a_model_that_sees_little_equal_the_whole() -> None:
    game = Game(players={}, turns=[], generate=local)
    whole = Applier(game=game, given=GRAY, made=GRAY)
    pixels = np.random.default_rng(0).integers(256, size=(97, 131, 1), dtype=np.uint8)
    expected = whole(pixels)
    assert expected.shape == (194, 262, 1)
    assert (replace(whole, tile=32, overlap=8)(pixels) == expected).all()


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


def test_in_a_folder_that_is_there_a_file_keeps_its_name_and_small_tiles_share_less(
    run: organza.Run, tmp_path: Path
) -> None:
    Image.effect_noise((40, 60), 50).save(tmp_path / "one.jpg")
    (tmp_path / "out").mkdir()
    assert main(["apply", str(run.folder), str(tmp_path / "one.jpg"), str(tmp_path / "out"), "--tile", "32"]) == 0
    assert form(tmp_path / "out" / "one.png") == ((40, 60), "L")


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


def test_what_is_read_is_never_written_over(
    run: organza.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    folder.mkdir()
    for name in ("a.png", "a.bmp", "b.png"):
        Image.effect_noise((28, 28), 50).save(folder / name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for out, message in (
        (folder, "would be lost"),
        (tmp_path / "in" / ".." / "in", "would be lost"),
        (tmp_path / "in" / "made", "lies within in"),
    ):
        assert main(["apply", str(run.folder), str(folder), str(out)]) == 2
        assert message in capsys.readouterr().err
    assert main(["apply", str(run.folder), "in/a.png", "in/a.png"]) == 2
    assert main(["apply", str(run.folder), "in", "."]) == 0  # above it
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a.bmp.png", "a.png.png", "b.png"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("source", "out", "words", "message"),
    [
        ("missing.png", "o.png", [], "no such file or folder"),
        ("words.png", "o.png", [], "cannot read"),
        ("good.png", "o.xyz", [], "a file of the kind .xyz"),
        ("good.png", "o", [], "/o/good.png"),
        ("empty", "o", [], "holds no image that can be read"),
        ("empty", "o.png", [], "name a folder"),
        ("good.png", "o.png", ["--reverse"], "goes one way only"),
        ("good.png", "o.png", ["--tile", "8", "--overlap", "8"], "got 8 and 8"),
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


def test_what_moves_images_as_a_whole_makes_no_tiles(tmp_path: Path) -> None:
    recipe, rgb = find("cut:tiny", frame=True).recipe, DataOptions(channels="rgb")
    made = organza.train(recipe, data="gray-to-colour-digits", options=rgb, samples=16, run=tmp_path / "run")
    with pytest.raises(UsageError, match="leave out --tile"):
        applier(made, checkpoint="newest", device="cpu", tile=16, overlap=4)
    assert applier(made, checkpoint="newest", device="cpu")(np.zeros((20, 31, 3), np.uint8)).shape == (20, 31, 3)


def test_cyclegan_goes_back_too(tmp_path: Path) -> None:
    made = organza.train("cyclegan:tiny", data="digits-to-slanted", samples=32, run=tmp_path / "run")
    Image.new("RGB", (40, 32)).save(tmp_path / "in.png")
    for words, mode in (([], "RGB"), (["--reverse"], "L")):
        assert main(["apply", str(made.folder), str(tmp_path / "in.png"), str(tmp_path / "out.png"), *words]) == 0
        assert form(tmp_path / "out.png") == ((40, 32), mode)


@pytest.mark.parametrize("kind", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif"])
def test_a_film_keeps_its_frames_and_its_sound(kind: str, run: organza.Run, tmp_path: Path) -> None:
    program = [ffmpeg(), "-loglevel", "error"]
    given, made = tmp_path / "in.mp4", tmp_path / f"out{kind}"
    picture, sound = "testsrc=s=36x24:r=5:d=1", "sine=d=1"
    subprocess.run([*program, "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, str(given)], check=True)
    assert main(["apply", str(run.folder), str(given), str(made)]) == 0
    told = subprocess.run([program[0], "-i", str(made)], capture_output=True, text=True, check=False).stderr
    assert ("Audio:" in told) == (kind != ".gif")
    subprocess.run([*program, "-i", str(made), "-fps_mode", "passthrough", str(tmp_path / "%d.png")], check=True)
    assert len(list(tmp_path.glob("[0-9]*.png"))) == 5


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> organza.Run:
    """An inpainter of digits that has learned next to nothing."""
    return organza.train("inpaint:tiny", samples=64, run=tmp_path_factory.mktemp("runs") / "holes")


def holed(path: Path, name: str = "in.png") -> tuple[np.ndarray, np.ndarray]:
    """A gray picture of 37 x 50 pixels, saved, and a mask for it with a box, beside it."""
    pixels = np.random.default_rng(0).integers(256, size=(50, 37), dtype=np.uint8)
    mask = np.zeros((50, 37), np.uint8)
    mask[10:30, 5:20] = 255
    Image.fromarray(pixels).save(path / name)
    (path / "masks").mkdir(exist_ok=True)
    Image.fromarray(mask).save(path / "masks" / name)
    return pixels, mask > 0


@pytest.mark.parametrize("way", ["mask", "folder", "inverted", "transparent"])
def test_holes_are_filled_and_nothing_else_is_touched(way: str, filler: organza.Run, tmp_path: Path) -> None:
    pixels, hole = holed(tmp_path)
    mask, source, out = tmp_path / "masks" / "in.png", tmp_path / "in.png", tmp_path / "out.png"
    arguments = ["--mask", str(mask)]
    if way == "folder":
        (tmp_path / "all").mkdir()
        source, out, arguments = (
            source.rename(tmp_path / "all" / "in.png").parent,
            tmp_path / "done",
            ["--mask", str(mask.parent)],
        )
    if way == "inverted":
        Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(mask)
        arguments.append("--mask-inverted")
    if way == "transparent":
        Image.fromarray(np.stack([pixels, pixels, pixels, np.where(hole, 0, 255)], axis=2).astype(np.uint8)).save(
            source
        )
        arguments = []
    assert main(["apply", str(filler.folder), str(source), str(out), *arguments]) == 0
    with Image.open(out / "in.png" if way == "folder" else out) as image:
        made = np.asarray(image)
    assert (made[~hole] == pixels[~hole]).all()
    assert (made[hole] != pixels[hole]).mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no mask", "no holes to fill"),
        ("another size", "the mask {mask} has 37x49 pixels and {image} 37x50"),
        ("no such mask", "cannot read the mask"),
        ("no mask of this name", "name it in.png or in_mask.png"),
    ],
)
def test_a_hole_that_cannot_be_found_ends_in_one_message(
    change: str, message: str, filler: organza.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holed(tmp_path)
    image, mask = tmp_path / "in.png", tmp_path / "masks" / "in.png"
    given = ["--mask", str(mask)]
    if change == "no mask":
        given = []
    elif change == "another size":
        Image.new("L", (37, 49)).save(mask)
    elif change == "no such mask":
        mask.unlink()
    else:
        given = ["--mask", str(mask.rename(mask.with_name("other.png")).parent)]
    assert main(["apply", str(filler.folder), str(image), str(tmp_path / "out.png"), *given]) == 1
    assert message.format(mask=mask, image=image) in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_a_model_that_fills_nothing_takes_no_mask(
    run: organza.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holed(tmp_path)
    files = [str(tmp_path / name) for name in ("in.png", "out.png")]
    assert main(["apply", str(run.folder), *files, "--mask", str(tmp_path / "masks" / "in.png")]) == 2
    assert "fills no holes" in capsys.readouterr().err
    assert main(["apply", str(run.folder), *files, "--strength", "0.5"]) == 2
    assert "one strength only: leave out" in capsys.readouterr().err


def test_every_strength_lies_between_both_models(tmp_path: Path) -> None:
    run = organza.train("srgan:tiny", samples=512, run=tmp_path / "run")
    game = run.game(device="cpu")
    sources = torch.rand(2, 1, 9, 7) * 2 - 1
    made = {share: game.generate(Request(2, sources=sources, strength=share))["image"] for share in (0, 0.5, 1)}
    torch.testing.assert_close(made[0], game.extras["least_error"].eval()(sources).clamp(-1, 1))
    assert float((made[0] - downsampled(sources, 36, 28)).abs().mean()) > 1e-3  # it has learned, and was saved
    assert made[0].shape == (2, 1, 36, 28)
    assert not torch.equal(made[0], made[1])
    apart = float((made[0] - made[1]).abs().mean())
    for end in (0, 1):
        assert 0 < float((made[0.5] - made[end]).abs().mean()) < apart
    Image.new("L", (9, 7)).save(tmp_path / "in.png")
    files = [str(tmp_path / name) for name in ("in.png", "out.png")]
    assert main(["apply", str(run.folder), *files, "--strength", "0.3"]) == 0
    assert form(tmp_path / "out.png")[0] == (36, 28)


def test_a_mask_drawn_on_nothing_is_light_where_it_was_drawn(filler: organza.Run, tmp_path: Path) -> None:
    pixels, hole = holed(tmp_path)
    drawn = np.full((*hole.shape, 4), 255, np.uint8)
    drawn[..., 3] = np.where(hole, 255, 0)  # white strokes on a transparent ground, as editors write them
    Image.fromarray(drawn).save(tmp_path / "masks" / "in.png")
    files = [str(tmp_path / name) for name in ("in.png", "out.png")]
    assert main(["apply", str(filler.folder), *files, "--mask", str(tmp_path / "masks" / "in.png")]) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert (np.asarray(image)[~hole] == pixels[~hole]).all()


def test_a_folder_of_images_and_masks_is_done_as_far_as_it_can_be(
    filler: organza.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a", "b", "c"):
        Image.new("L", (16, 16), 90).save(both / f"{name}.png")
    for name in ("a", "c"):
        Image.new("L", (16, 16), 255).save(both / f"{name}_mask.png")
    out = tmp_path / "out"
    assert main(["apply", str(filler.folder), str(both), str(out), "--mask", str(both)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]
    assert "b.png: left out" in capsys.readouterr().out


def test_transparency_is_no_hole_to_a_model_that_translates(tmp_path: Path) -> None:
    game = Game(players={}, turns=[], generate=lambda request: {"image": request.sources[:, :3]})  # type: ignore[index]
    model = Applier(game=game, given=ImageSpec(channels=4), made=ImageSpec(channels=3))
    assert (model(np.full((9, 8, 3), 70, np.uint8)) == 70).all()
