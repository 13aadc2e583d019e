"""Tiles: they cover pictures of any size, fit on both sides of pairs, and are held out by picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from organza.data import DataOptions, open_source
from organza.data.pictures import open_pictures
from organza.data.streamed import StreamedSource
from organza.data.tiles import WHOLE, tiles
from organza.errors import DataError, UsageError


def gradient(width: int, height: int, shade: int, factor: int = 1) -> Image.Image:
    """A picture whose pixels tell where they are: red the row, green the column, blue the picture."""
    row, column = np.mgrid[:height, :width] // factor
    return Image.fromarray(np.stack([row, column, np.full_like(row, shade)], axis=2).astype(np.uint8))


def test_tiles_cover_every_pixel_and_overlap_by_half_or_more() -> None:
    images, places = tiles([(40, 97), (16, 16), (12, 50)], (16, 16))
    assert images.tolist().count(1) == 1
    assert places[images == 2].tolist() == [[WHOLE, WHOLE]]  # too low for a tile
    covered = np.zeros((40, 97), bool)
    for top, left in places[images == 0]:
        covered[top : top + 16, left : left + 16] = True
        assert top + 16 <= 40
        assert left + 16 <= 97
    assert covered.all()
    across = np.unique(places[images == 0][:, 1])
    assert int(np.diff(across).max()) <= 8


@pytest.mark.parametrize("memory_limit", [2**30, 0], ids=["in memory", "streamed"])
def test_a_folder_of_photos_of_all_sizes_becomes_tiles_of_one(tmp_path: Path, memory_limit: int) -> None:
    for index, size in enumerate([(50, 40), (33, 64), (16, 20), (10, 12)]):
        gradient(*size, shade=index).save(tmp_path / f"{index}.png")
    options = DataOptions(resize="16", crop="tiles", workers=0)
    source = open_pictures(tmp_path, name="photos", options=options, memory_limit=memory_limit)
    assert isinstance(source, StreamedSource) is (memory_limit == 0)
    assert "4 images are cut into" in " ".join(source.notes)
    assert source.origins is not None
    batch = source.read(np.arange(len(source)))["image"].numpy()
    for image, origin in zip(batch, source.origins, strict=True):
        assert (image[2] == origin).all()
        if origin < 3:  # exact pixels, at their own scale; the fourth is enlarged
            assert (np.diff(image[0].astype(int), axis=0) == 1).all()
            assert (np.diff(image[1].astype(int), axis=1) == 1).all()
    source.close()


def test_tiles_of_a_picture_are_held_out_together(tmp_path: Path) -> None:
    for index in range(8):
        gradient(40, 30, shade=index).save(tmp_path / f"{index}.png")
    shades = []
    for split in ("train", "test"):
        source = open_source(str(tmp_path), DataOptions(resize="16", crop="tiles", hold_out=0.25, split=split))  # type: ignore[arg-type]
        shades.append(set(source.read(np.arange(len(source)))["image"][:, 2].unique().tolist()))
    assert (len(shades[0]), len(shades[1])) == (6, 2)
    assert not shades[0] & shades[1]


def test_tiles_of_large_and_small_photos_show_the_same_place(tmp_path: Path) -> None:
    for side, factor in (("HR", 4), ("LR", 1)):
        (tmp_path / side).mkdir()
        for index, (width, height) in enumerate([(30, 20), (16, 25)]):
            gradient(width * factor, height * factor, index, factor).save(tmp_path / side / f"{index}.png")
    source = open_source(str(tmp_path), DataOptions(resize="32", crop="tiles"))
    batch = source.read(np.arange(len(source)))
    assert (batch["source"].shape[2:], batch["image"].shape[2:]) == ((8, 8), (32, 32))
    assert len(source) > 10
    assert (batch["image"].numpy()[:, :, ::4, ::4] == batch["source"].numpy()).all()
    train = open_source(str(tmp_path), DataOptions(resize="32", crop="tiles", hold_out=0.5))
    assert len(np.unique(train.read(np.arange(len(train)))["source"][:, 2])) == 1


def test_tiles_of_unpaired_sides_are_their_own(tmp_path: Path) -> None:
    for side, size in (("trainA", (40, 20)), ("trainB", (60, 60))):
        (tmp_path / side).mkdir()
        for index in range(3):
            gradient(*size, shade=index).save(tmp_path / side / f"{index}.png")
    source = open_source(str(tmp_path), DataOptions(resize="16", crop="tiles"))
    assert len(source) > 60
    batch = next(source.batches(4))
    assert batch["source"].shape == batch["image"].shape == (4, 3, 16, 16)


def test_tiles_need_a_size_and_pairs_that_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resize 96"):
        DataOptions(crop="tiles")
    for side, factors in (("HR", (2, 4)), ("LR", (1, 1))):
        (tmp_path / side).mkdir()
        for index, factor in enumerate(factors):
            gradient(20 * factor, 20 * factor, index).save(tmp_path / side / f"{index}.png")
    with pytest.raises(DataError, match="tiles of both sides must fit"):
        open_source(str(tmp_path), DataOptions(resize="16", crop="tiles"))
