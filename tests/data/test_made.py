"""Pairs made of single images: what is undone, at each visit anew, and alike on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza.cli.__main__ import main
from organza.data import DataOptions, ImageSpec, open_source
from organza.data.made import MadePairs
from organza.data.source import Source, decode
from organza.errors import DataError, UsageError
from organza.noise import seeds_of

KINDS = ("small", "holes", "gray")
kinds = pytest.mark.parametrize("kind", KINDS)


def pictures(folder: Path, count: int = 12, size: tuple[int, int] = (24, 16), mode: str = "RGB") -> str:
    """A folder of smooth pictures, all different; `size` is width and height."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        noise = rng.integers(0, 256, (4, 4, 4), np.uint8)[..., : len(mode) if mode != "L" else 1].squeeze()
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(folder / f"{index:02}.png")
    return str(folder)


def made(tmp_path: Path, kind: str, **options: object) -> Source:
    return open_source(pictures(tmp_path / "in"), DataOptions(pairs=kind, **options))  # type: ignore[arg-type]


def test_small_ones_are_those_of_pillow_with_a_bicubic_filter(tmp_path: Path) -> None:
    source = made(tmp_path, "small")
    assert source.spec == ImageSpec(channels=3, height=16, width=24, source=ImageSpec(channels=3, height=4, width=6))
    batch = source.read(np.arange(12))
    for index in range(12):
        with Image.open(tmp_path / "in" / f"{index:02}.png") as image:
            wanted = np.asarray(image.resize((6, 4), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        assert int(np.abs(batch["source"][index].numpy().astype(int) - wanted).max()) <= 1


def test_gray_ones_are_what_pillow_calls_gray(tmp_path: Path) -> None:
    batch = made(tmp_path, "gray").read(np.arange(12))
    assert batch["source"].shape == (12, 1, 16, 24)
    with Image.open(tmp_path / "in" / "05.png") as image:
        wanted = np.asarray(image.convert("L")).astype(int)
    assert int(np.abs(batch["source"][5, 0].numpy() - wanted).max()) <= 1


def test_holes_are_transparent_and_black_and_all_else_is_untouched(tmp_path: Path) -> None:
    batch = made(tmp_path, "holes").read(np.arange(12))
    source, image = batch["source"], batch["image"]
    hole = source[:, 3] == 0
    assert set(source[:, 3].unique().tolist()) == {0, 255}
    assert bool(hole.flatten(1).any(1).all())
    assert int(source[:, :3].masked_select(hole[:, None]).max()) == 0
    assert torch.equal(source[:, :3].masked_fill(hole[:, None], 0), image.masked_fill(hole[:, None], 0))


def test_thick_holes_are_larger_than_thin_ones(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", size=(64, 64))
    shares = []
    for kind in ("thin", "thick"):
        source = open_source(folder, DataOptions(pairs="holes", holes=kind))  # type: ignore[arg-type]
        shares.append(float((source.read(np.arange(12))["source"][:, 3] == 0).float().mean()))
    assert 3 * shares[0] < shares[1]


def test_each_visit_has_another_hole_and_a_stream_begins_anywhere(tmp_path: Path) -> None:
    source = made(tmp_path, "holes")
    stream = source.batches(4, seed=3)
    first = [next(stream) for _ in range(6)]
    again = source.batches(4, seed=3, start=12)
    for batch in first[3:]:
        other = next(again)
        assert all(torch.equal(batch[key], other[key]) for key in ("source", "image"))
    masks = torch.cat([batch["source"][:, 3] for batch in first])
    assert len(masks.unique(dim=0)) > 20  # of 24 visits to 12 pictures
    assert not torch.equal(next(source.batches(4, seed=4))["source"], first[0]["source"])


@kinds
def test_two_ranks_see_what_one_sees(tmp_path: Path, kind: str) -> None:
    source = made(tmp_path, kind, wear=1.0)
    whole = source.batches(4, seed=1)
    ranks = [source.batches(4, seed=1, rank=rank, world=2) for rank in range(2)]
    for _ in range(4):
        both, parts = next(whole), [next(rank) for rank in ranks]
        for key in ("source", "image"):
            torch.testing.assert_close(torch.cat([part[key] for part in parts]), both[key], atol=0.02, rtol=0)


@kinds
def test_networks_see_what_a_file_would_hold(tmp_path: Path, kind: str) -> None:
    source = made(tmp_path, kind)
    stored, shown = next(source.stream(4, start=0, seed=1)), next(source.batches(4, seed=1))
    for key, value in decode(stored, source.spec).items():
        torch.testing.assert_close(value, shown[key], atol=1e-6, rtol=0)


def test_wear_does_more_than_the_filter(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in")
    plain, worn = (open_source(folder, DataOptions(pairs="small", wear=wear)) for wear in (0.0, 1.0))
    before, after = (source.read(np.arange(12))["source"].float() for source in (plain, worn))
    assert float((before - after).abs().mean()) > 3


def test_what_is_held_out_is_no_part_of_the_rest(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in")
    options = [DataOptions(pairs="gray", hold_out=0.25, split=split) for split in ("train", "test")]  # type: ignore[arg-type]
    train, test = (open_source(folder, one) for one in options)
    assert isinstance(train, MadePairs)
    assert (len(train), len(test)) == (9, 3)
    kept = train.read(np.arange(9))["image"]
    assert not any((kept == image).all() for image in test.read(np.arange(3))["image"])


def test_what_cannot_be_made_is_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in")
    with pytest.raises(DataError, match=r"24x16 cannot be made 5 times as small; add --resize 25x15"):
        open_source(folder, DataOptions(pairs="small", scale=5))
    with pytest.raises(DataError, match="no colors to lose"):
        open_source("mnist", DataOptions(pairs="gray"))
    with pytest.raises(DataError, match="--channels rgb"):
        open_source(folder, DataOptions(pairs="holes", channels="rgba"))
    with pytest.raises(DataError, match="holds pairs already"):
        open_source("edges-to-digits", DataOptions(pairs="small"))
    for options in ({"paired": "no"}, {"direction": "BtoA"}, {"to": "mnist"}):
        with pytest.raises(UsageError, match="--pairs gray"):
            DataOptions(pairs="gray", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--scale must be 2 or more"):
        DataOptions(pairs="small", scale=1)


def test_seeds_differ_from_place_to_place_and_from_key_to_key() -> None:
    places = torch.arange(100_000)
    seeds, others = seeds_of(places, key=0), seeds_of(places, key=1)
    assert int(seeds.min()) >= 0
    assert int(seeds.max()) < 2**31
    assert len(seeds.unique()) > 99_990
    assert int((seeds == others).sum()) < 3
    assert not torch.equal(seeds, seeds_of(places + 2**32, key=0))


@kinds
def test_a_look_at_the_data_tells_what_is_made_and_cut(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "in")
    assert main(["data", "check", folder, "--pairs", kind, "--resize", "8", "--crop", "tiles"]) == 0
    told = capsys.readouterr().out
    assert f"made of single images: {kind}" in told
    assert "image used as: 3 x 8 x 8" in told
    assert "12 images are cut into 180 tiles." in told  # 3 rows and 5 columns of each
    assert main(["data", "check", folder, "--pairs", "small", "--scale", "7"]) == 1
    assert "add --resize" in capsys.readouterr().out
