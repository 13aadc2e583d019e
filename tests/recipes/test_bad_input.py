"""Data that a family cannot learn from ends in one message before any training, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from organza.cli.__main__ import main
from organza.data.spec import VectorSpec
from organza.recipes import RECIPES

IMAGES_ONLY = [name for name, recipe in RECIPES.items() if VectorSpec not in recipe.accepts]
FROM_NOTHING = [name for name, recipe in RECIPES.items() if recipe.needs_sources == "no"]
FROM_IMAGES = [name for name in RECIPES if name not in FROM_NOTHING]
families = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty gray images of 16 pixels without labels, of one class and of two."""
    folder = tmp_path_factory.mktemp("sets")
    images = np.random.default_rng(0).integers(256, size=(40, 16, 16, 1), dtype=np.uint8)
    np.savez(folder / "0.npz", images=images)
    for classes in (1, 2):
        np.savez(folder / f"{classes}.npz", images=images, labels=np.arange(40) % classes)
    return folder


def train(name: str, data: str | Path, run: Path, *words: str) -> int:
    """`organza train` for two steps, and its exit code."""
    options = ["--samples", "32", "--device", "cpu", "--doctor", "off"]
    return main(["train", name, "--data", str(data), "--run", str(run), *options, *words])


@pytest.mark.parametrize("name", FROM_NOTHING)
@pytest.mark.parametrize(("classes", "found"), [(0, "no labels"), (1, "one class only")])
def test_without_two_classes_a_family_trains_or_says_that_it_needs_them(
    name: str, classes: int, found: str, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_refused = RECIPES[name].needs_labels
    assert train(f"{name}:tiny", sets / f"{classes}.npz", tmp_path / "run") == int(is_refused)
    message = capsys.readouterr().err
    assert (f"needs labels of two classes or more, and this data has {found}" in message) == is_refused
    assert ("organza train dcgan" in message) == is_refused
    assert (tmp_path / "run").exists() != is_refused


@pytest.mark.parametrize(
    ("name", "data", "words", "message"),
    [
        ("acgan:tiny", "0.npz", [], "needs labels of two classes or more"),
        ("dcgan:tiny", "2.npz", ["--batch", "48"], "set --batch to 40 at most"),
        ("dcgan:tiny", "2.npz", ["--limit", "1"], "holds a single sample"),
        ("dcgan:tiny", "0.npz", ["--conditional", "yes"], "conditional yes needs labels"),
        ("dcgan:tiny", "2.npz", ["--batch", "1"], "batch norm needs two samples"),
        ("dcgan:tiny", "2.npz", ["--batch", "15", "--devices", "2"], "cannot be shared by 2 processes"),
    ],
)
def test_a_dry_run_refuses_what_training_would(
    name: str, data: str, words: list[str], message: str, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", name, "--data", str(sets / data), "--dry-run", *words]) != 0
    told = capsys.readouterr()
    assert message in told.err
    assert not told.out


ADVICE = [
    ("0.npz", ["--limit", "30"], "no labels: put images into one folder per class, or take", ""),
    ("0.npz", [], "no labels: put images into one folder per class, or let groups", "--clusters 2"),
    ("1.npz", [], "one class only: put images into one folder per class, or let groups", "--no-labels --clusters 2"),
    (
        "2.npz",
        ["--no-labels"],
        "no labels: leave out --no-labels if the data has labels, or let groups",
        "--clusters 2",
    ),
    ("ring8", ["--no-labels"], "no labels: leave out --no-labels if the data has labels, or let", "--clusters 64"),
]


@pytest.mark.parametrize("family", [["acgan:tiny"], ["dcgan:tiny", "--conditional", "yes"]], ids=lambda words: words[0])
@pytest.mark.parametrize(("data", "words", "found", "groups"), ADVICE)
def test_what_is_advised_where_there_are_no_two_classes_suits_the_data_and_can_be_followed(
    family: list[str],
    data: str,
    words: list[str],
    found: str,
    groups: str,
    sets: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = data if data == "ring8" else str(sets / data)
    command = ["train", *family, "--data", source, "--dry-run", *words]
    assert main(command) == 1
    message = capsys.readouterr().err
    assert f"this data has {found}" in message
    assert ("--clusters" in message) == bool(groups)
    if groups:
        assert f"serve as classes with {groups}, or take" in message
        assert main([*command, *groups.split()]) == 0


@pytest.mark.parametrize("name", FROM_NOTHING)
@pytest.mark.parametrize(
    ("limit", "code", "message"),
    [("15", 2, "(2: 15 samples); set --batch to 15 at most"), ("1", 1, "2 holds a single sample, and a GAN needs two")],
)
def test_too_few_samples_are_refused(
    name: str, limit: str, code: int, message: str, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"{name}:tiny", sets / "2.npz", tmp_path / "run", "--limit", limit) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("biggan:paper128", 128),
        ("fastgan:paper", 256),
        ("progan:celebahq", 1024),
        ("r3gan:ffhq256", 256),
        ("sngan:imagenet", 128),
        ("stylegan2:paper256", 256),
        ("stylegan3:t256", 256),
        ("stylegan3:r256", 256),
    ],
)
def test_presets_for_large_images_refuse_small_ones_and_say_what_takes_them(
    name: str, side: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family, data, run = name.split(":")[0], tmp_path / "bars.npz", tmp_path / "run"
    np.savez(data, images=np.random.default_rng(0).integers(256, size=(64, 13, 19, 1), dtype=np.uint8))
    assert train(name, data, run) == 1
    message = f"{name} is made for images of {side} pixels, and bars has 19x13: "
    mends = f"(organza train {family}), or bring the images to that size with --resize {side}\n"
    for words in (["train", "--dry-run"], ["plan"], ["train"]):
        capsys.readouterr()
        assert main([words[0], name, *words[1:], "--data", str(data), "--device", "cpu"]) == 1
        told = capsys.readouterr()
        assert message in told.err
        assert told.err.endswith(mends)
        assert not told.out
    assert not run.exists()
    assert main(["train", family, "--data", str(data), "--device", "cpu", "--dry-run"]) == 0


def test_what_a_preset_refuses_it_takes_at_half_its_size(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = ["train", "stylegan2:paper256", "--batch", "8", "--data", str(sets / "0.npz"), "--dry-run", "--resize"]
    assert main([*dry, "127"]) == 1
    assert "0 has 127x127" in capsys.readouterr().err
    assert main([*dry, "16x128"]) == main([*dry, "256"]) == 0


@pytest.mark.parametrize("name", ["biggan:cifar10", "progan:cifar10", "sngan:paper", "stylegan2:cifar"])
def test_presets_for_32_pixels_take_digits(name: str) -> None:
    assert main(["train", name, "--data", "mnist", "--device", "cpu", "--dry-run"]) == 0


def test_a_recipe_of_the_users_own_may_say_for_which_images_a_preset_is_made(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eject", "vanilla"]) == 0
    with Path("my_vanilla.py").open("a") as file:
        file.write('SIDES = {"tiny": 64}\n')
    assert train("./my_vanilla.py:tiny", sets / "0.npz", tmp_path / "run") == 1
    assert "0 has 16x16: take the settings for any size (organza train ./my_vanilla.py)" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 3, 15])
def test_auto_refuses_too_few_images_and_says_what_helps(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few").mkdir()
    for index in range(count):
        noise = np.random.default_rng(index).integers(256, size=(256, 256, 3), dtype=np.uint8)
        Image.fromarray(noise).save(f"few/{index}.png")
    for words in (["train", "--dry-run"], ["plan"], ["train"]):
        assert main([*words, "--data", "few"]) == 1
        told = capsys.readouterr()
        assert f"few holds {count} sample{'s' * (count > 1)}, and a GAN needs 16 at least" in told.err
        assert ("--batch" in told.err) == (count > 1)
        assert "auto:" not in told.out
    assert not Path("runs").exists()
    assert main(["train", "--data", "few", "--resize", "64", "--crop", "tiles", "--dry-run"]) == 0


def test_auto_takes_sixteen_samples_and_fewer_if_told_their_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "mnist", "--limit", "16", "--dry-run"]) == 0
    assert main(["train", "--data", "mnist", "--limit", "8", "--batch", "8", "--dry-run"]) == 0
    assert main(["train", "r3gan", "--data", "mnist", "--limit", "24", "--dry-run"]) == 2
    assert "set --batch to 24 at most" in capsys.readouterr().err


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_families_that_make_images_from_images_refuse_single_ones(
    name: str, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"{name}:tiny", sets / "0.npz", tmp_path / "run", "--pairs", "none") == 1
    message = capsys.readouterr().err
    assert "makes images from images, and this data holds single ones" in message
    assert "--data FOLDER --to FOLDER" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "data", "options", "message"),
    [
        ("srgan", "mnist", ["--scale", "3"], "28x28 cannot be made 3 times as small; add --resize 27x27"),
        ("srgan", "mnist", ["--scale", "14"], "SRGAN enlarges x2, x3, x4, x6, x8, x9, x16, and here 2x2"),
        ("srgan", "digits-to-slanted", [], "needs what should be made of each image, and this data is unpaired"),
        ("srgan", "mnist", ["--resize", "4"], "needs images of 8 pixels or more in height and width"),
        ("srgan", "mnist", ["--perceptual", "vgg91"], "Did you mean 'vgg19'?"),
        ("inpaint", "edges-to-digits", [], "fills holes, which alpha 0 marks in RGBA sources"),
        ("inpaint", "small-to-digits", [], "7x7 pixels are to become 28x28"),
        ("cut", "gray-to-colour-digits", [], "here 1 channels are to become 3: take: organza train pix2pix"),
        ("cut", "gray-to-colour-digits", ["--paired", "no"], "with --channels rgb, or take: organza train cyclegan"),
        ("inpaint", "mnist", ["--perceptual", "vgg19", "--offline"], "vgg19-dcbb9e9d.pth"),
    ],
)
def test_what_is_restored_must_lack_what_the_family_can_give(
    name: str, data: str, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(f"{name}:tiny", data, tmp_path / "run", "--limit", "64", *options) in (1, 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name in FROM_IMAGES if not RECIPES[name].pairs])
def test_pairs_are_refused_where_they_are_too_few_or_of_two_sizes_or_unpaired(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, family = tmp_path / "run", f"{name}:tiny"
    assert train(family, "edges-to-digits", run, "--limit", "15") == 2
    assert "set --batch to 15 at most" in capsys.readouterr().err
    assert train(family, "small-to-digits", run) == 1
    assert "7x7 pixels are to become 28x28: to enlarge them take: organza train srgan" in capsys.readouterr().err
    is_refused = RECIPES[name].needs_sources == "paired"
    assert (train(family, "edges-to-digits", run, "--paired", "no") == 1) == is_refused
    assert ("organza train cyclegan" in capsys.readouterr().err) == is_refused
    assert run.exists() != is_refused


@pytest.mark.parametrize("name", IMAGES_ONLY)
def test_families_of_images_refuse_points(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(f"{name}:tiny", "ring8", tmp_path / "run") == 1
    message = capsys.readouterr().err
    assert "makes image data, but this source holds vector data: name another with --data" in message
    assert not (tmp_path / "run").exists()


MISFITS = [
    ("vanilla:conv", "ring8", [], 1, "nets conv makes image data, but this source holds vector data: take --nets mlp"),
    ("dcgan:toy", "0.npz", [], 2, "a batch of 512 is larger than the data set (0: 40 samples); set --batch to 40"),
    ("biggan:tiny", "0.npz", ["--attention", "2"], 1, "the smallest ones here have 4: take --attention 4 or more"),
    ("biggan:tiny", "0.npz", ["--latent", "1"], 2, "latent 1 is too short for images of 16 x 16"),
    ("infogan:tiny", "0.npz", ["--latent", "2"], 2, "latent 2 is shorter than its codes"),
    ("dcgan:tiny", "ring8", ["--augment", "flip"], 2, "augment works on images, and this data holds vector data"),
    ("dcgan:tiny", "1.npz", ["--conditional", "yes"], 1, "this data has one class only: put images into one folder"),
    ("dcgan:tiny", "0.npz", ["--batch", "1"], 2, "batch norm needs two samples or more in each pass"),
    (
        "cgan:tiny",
        "2.npz",
        ["--batch", "3", "--micro-batch", "2"],
        2,
        "set --micro-batch, and --batch for each process",
    ),
]


@pytest.mark.parametrize(("name", "data", "words", "code", "message"), MISFITS)
def test_fields_that_do_not_fit_the_data_are_refused(
    name: str, data: str, words: list[str], code: int, message: str, sets: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert train(name, data if data == "ring8" else sets / data, tmp_path / "run", *words) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_batch_norm_a_batch_of_one_trains(sets: Path, tmp_path: Path) -> None:
    assert train("dcgan:tiny", sets / "0.npz", tmp_path / "run", "--batch", "1", "--generator-norm", "none") == 0


@families
def test_every_field_of_a_family_is_an_option_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", name, "--help"])
    assert "--generator-lr" in capsys.readouterr().out


def test_a_field_that_is_an_option_of_every_run_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine.py"
    fields = "class Mine(Recipe):\n    seed: int = 1\n    resize: int = 2\n    def build(self, data): ...\n"
    own.write_text(
        "from dataclasses import dataclass\nfrom organza import Recipe\n@dataclass(frozen=True, kw_only=True)\n"
        + fields
    )
    assert main(["train", str(own), "--data", "ring8"]) == 2
    assert "Mine has fields that are options of every run: rename resize, seed" in capsys.readouterr().err
