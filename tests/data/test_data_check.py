"""What `organza data check` finds and advises, for every kind of source."""

import numpy as np
import pytest
from image_files import image_bytes, noise, write_images

from organza.data.check import check, render


def test_a_clean_folder_is_ok_and_described(tmp_path, options):
    write_images(tmp_path / "a", 2, height=8, width=8)
    write_images(tmp_path / "b", 1, height=8, width=8, seed=1)
    found = check(str(tmp_path), options())
    assert found.ok
    assert (found.count, found.sizes, found.modes) == (3, {"8x8": 3}, {"PNG RGB": 3})
    assert found.classes == {"a": 2, "b": 1}
    assert found.spec is not None
    assert found.spec.shape == (3, 8, 8)
    assert "3 samples" in render(found)


def test_duplicates_are_found_by_their_pixels_whatever_the_format(tmp_path, options):
    pixels = noise(8, 8, 3, seed=0)
    (tmp_path / "a.png").write_bytes(image_bytes(pixels))
    (tmp_path / "b.bmp").write_bytes(image_bytes(pixels, "BMP"))
    (tmp_path / "c.png").write_bytes(image_bytes(255 - pixels))
    found = check(str(tmp_path), options())
    assert found.duplicates == (("a.png", "b.bmp"),)
    assert any("a.png = b.bmp" in sentence for sentence in found.advice)


def test_different_sizes_are_advised_with_the_command(tmp_path, options):
    write_images(tmp_path, 2, height=40, width=40)
    (tmp_path / "odd.png").write_bytes(image_bytes(noise(50, 90, 3, seed=1)))
    found = check(str(tmp_path), options())
    assert not found.ok
    assert found.sizes == {"40x40": 2, "90x50": 1}
    assert "--resize 32" in found.error
    mended = check(str(tmp_path), options(resize="48"))
    assert mended.ok
    assert any("2 images are smaller than 48x48" in sentence for sentence in mended.advice)


def test_square_images_of_any_size_are_fine_and_one_bad_file_is_one(tmp_path, options):
    write_images(tmp_path, 30, height=28, width=28)
    (tmp_path / "bad.png").write_bytes(b"no image")
    text = render(check(str(tmp_path), options()))
    assert "--resize" not in text
    assert "augmentation" not in text
    assert "1 bad file skipped: bad.png" in text


def test_classes_out_of_balance_are_named(tmp_path, options):
    np.savez(tmp_path / "a.npz", images=noise(80, 2, 1, seed=0).reshape(20, 4, 2), labels=[0] + [1] * 19)
    found = check(str(tmp_path / "a.npz"), options())
    assert found.classes == {"0": 1, "1": 19}
    assert any("--no-labels" in sentence for sentence in found.advice)


def test_arrays_and_toys_are_checked_too(tmp_path, options):
    np.save(tmp_path / "a.npy", np.stack([np.zeros((4, 6), np.uint8)] * 2 + [np.ones((4, 6), np.uint8)]))
    found = check(str(tmp_path / "a.npy"), options())
    assert (found.sizes, found.duplicates) == ({"6x4": 3}, (("sample 0", "sample 1"),))
    toy = check("grid25", options(limit=100))
    assert toy.ok
    assert sum(toy.classes.values()) == 100


@pytest.mark.parametrize("source", ["no-such-thing", "fashion-mnist", "fashion-mnist:/nowhere"])
def test_what_cannot_be_opened_is_a_result_and_not_an_exception(options, source):
    found = check(source, options(offline=True))
    assert not found.ok
    assert found.error in render(found)


def test_large_scans_are_remembered_until_a_file_changes(tmp_path, monkeypatch, options):
    monkeypatch.setattr("organza.data.scan.CACHE_FROM", 2)
    write_images(tmp_path / "in", 3)
    chosen = options()
    first = check(str(tmp_path / "in"), chosen)
    assert check(str(tmp_path / "in"), chosen) == first
    for memory in (chosen.cache / "scans").iterdir():
        memory.write_text("{")
    assert check(str(tmp_path / "in"), chosen) == first
    (tmp_path / "in" / "000.png").write_bytes(b"now broken")
    assert check(str(tmp_path / "in"), chosen).bad.keys() == {"000.png"}


def test_what_a_run_will_be_judged_by_is_told(tmp_path, options):
    for folder, count in (("trainA", 10), ("trainB", 20)):
        write_images(tmp_path / folder, count)
    assert "--hold-out 0.1" in check(str(tmp_path), options()).unseen
    assert check(str(tmp_path), options(hold_out=0.2)).unseen == "2 and 4 samples, held out"
    for folder, count in (("testA", 3), ("testB", 2)):
        write_images(tmp_path / folder, count)
    assert check(str(tmp_path), options()).unseen == "3 and 2 samples, the test split"
    assert "unseen: 3 and 2 samples" in render(check(str(tmp_path), options()))
    assert not check(str(tmp_path), options(split="test")).unseen
    assert check("mnist", options()).unseen.startswith("10,000")


def test_what_is_held_out_is_told_of_groups_and_tiles_and_of_too_small_a_share(tmp_path, options):
    write_images(tmp_path, 50, height=16, width=16)
    assert check(str(tmp_path), options(hold_out=0.2, clusters=2)).unseen == "10 samples, held out"
    assert check(str(tmp_path), options(hold_out=0.2, resize="8", crop="tiles")).unseen.endswith("tiles, held out")
    assert "more than --hold-out 0.001" in check(str(tmp_path), options(hold_out=0.001)).unseen
