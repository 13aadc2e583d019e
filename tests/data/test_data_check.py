"""What `organza data check` finds and advises, for every kind of source."""

import numpy as np
import pytest
from image_files import image_bytes, noise, write_images

from organza.data import open_source
from organza.data.check import check, render
from organza.errors import DataError


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


def test_of_many_sizes_the_smallest_the_median_and_the_largest_are_told(tmp_path, options):
    for side, first in (("trainA", 5), ("trainB", 50)):
        (tmp_path / side).mkdir()
        for index, width in enumerate((first + 4, first, first + 2, first + 3, first + 1)):
            (tmp_path / side / f"{index}.png").write_bytes(image_bytes(noise(10, width, 3, seed=index)))
    alone = render(check(str(tmp_path / "trainA"), options()))
    assert "  sizes (5): smallest 5x10, median 7x10, largest 9x10\n" in alone
    both = render(check(str(tmp_path), options()))
    assert "smallest trainA 5x10, median trainA 7x10, largest trainA 9x10; smallest trainB 50x10, median" in both


def test_no_error_ends_with_the_command_that_was_just_run(tmp_path, options):
    (tmp_path / "empty").mkdir()
    write_images(tmp_path / "mixed", 3)
    (tmp_path / "bad").mkdir()
    for name in ("bad", "mixed"):
        (tmp_path / name / "x.png").write_bytes(b"no image")
    for name, max_bad in (("empty", 1.0), ("bad", 1.0), ("mixed", 0.1), ("nosuch", 1.0)):
        text = render(check(str(tmp_path / name), options(max_bad=max_bad)))
        assert "error:" in text
        assert f"data check {tmp_path / name}" not in text
    assert render(check(str(tmp_path / "bad"), options())).count("image by its content") == 1  # listed once
    with pytest.raises(DataError, match=r"To see all run: organza data check .*/bad$"):
        open_source(str(tmp_path / "bad"), options())


def test_what_holds_nothing_is_not_counted(tmp_path, options):
    (tmp_path / "empty").mkdir()
    for name, why in (("empty", "holds no image"), ("nosuch", "no such path")):
        first, second, *more = render(check(str(tmp_path / name), options())).splitlines()
        assert first == f"{tmp_path / name}: cannot be used"
        assert second.startswith("  error: ")
        assert why in second
        assert not more


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
