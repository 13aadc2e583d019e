"""Each kind of source gives back exactly what was put in."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import idx_bytes, image_bytes, noise, write_images, zip_folder
from PIL import Image

from organza.data import DataOptions, ImageSpec, VectorSpec, decode, encode, open_source
from organza.data.idx import MNIST, read_idx
from organza.data.pictures import open_pictures
from organza.data.source import Subset
from organza.errors import DataError, UsageError
from organza.metrics.modes import count_modes


def everything(source):
    return source.read(np.arange(len(source)))


def stored(source):
    """All images as (N, H, W, C)."""
    return everything(source)["image"].permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb"),
        ("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624"),
        ("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea"),
        ("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637"),
    ],
)
def test_the_embedded_mnist_is_the_original(name, md5):
    array = read_idx(MNIST / name)
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    assert hashlib.md5(raw).hexdigest() == md5


@pytest.mark.parametrize(("split", "count", "first"), [("train", 60000, [5, 0, 4]), ("test", 10000, [7, 2, 1])])
def test_mnist_opens_by_name(options, split, count, first):
    source = open_source("mnist", options(split=split, offline=True))
    assert source.spec == ImageSpec(classes=tuple("0123456789"), channels=1, height=28, width=28)
    assert len(source) == count
    batch = source.read(np.arange(3))
    assert batch["image"].shape == (3, 1, 28, 28)
    assert batch["image"].dtype == torch.uint8
    assert batch["label"].tolist() == first


def test_a_folder_gives_its_pixels_in_the_order_of_names(tmp_path, options):
    images = write_images(tmp_path / "cats", 5)
    source = open_source(str(tmp_path / "cats"), options())
    assert source.name == "cats"
    assert source.spec == ImageSpec(channels=3, height=8, width=12)
    np.testing.assert_array_equal(stored(source), images)


def test_sub_folders_become_classes_named_by_the_first_level(tmp_path, options):
    write_images(tmp_path / "pets" / "dog", 2)
    write_images(tmp_path / "pets" / "cat" / "young", 3, seed=1)
    source = open_source(str(tmp_path), options())
    assert source.spec.classes == ("cat", "dog")
    assert everything(source)["label"].tolist() == [0, 0, 0, 1, 1]
    assert open_source(str(tmp_path), options(labels=False)).spec.classes == ()


def test_numbered_classes_are_ordered_as_numbers(tmp_path, options):
    for number in (10, 2):
        write_images(tmp_path / str(number), 1, seed=number)
    assert open_source(str(tmp_path), options()).spec.classes == ("2", "10")


def test_images_beside_class_folders_mean_no_labels_and_a_note(tmp_path, options):
    write_images(tmp_path, 1)
    write_images(tmp_path / "dog", 1, seed=1)
    source = open_source(str(tmp_path), options())
    assert source.spec.classes == ()
    assert "no labels" in source.notes[0]


def test_train_and_test_folders_are_splits_and_not_classes(tmp_path, options):
    for part, count in (("train", 3), ("val", 2)):
        for label in ("a", "b"):
            write_images(tmp_path / part / label, count)
    assert len(open_source(str(tmp_path), options())) == 6
    test = open_source(str(tmp_path), options(split="test"))
    assert (len(test), test.spec.classes) == (4, ("a", "b"))
    with pytest.raises(DataError, match="no test images"):
        open_source(str(tmp_path / "train"), options(split="test"))


def test_a_zip_is_the_folder_it_was_made_of(tmp_path, options):
    write_images(tmp_path / "pets" / "dog", 2)
    write_images(tmp_path / "pets" / "cat", 2, seed=1)
    archive = zip_folder(tmp_path / "pets", tmp_path / "pets.zip")
    folder, packed = open_source(str(tmp_path / "pets"), options()), open_source(str(archive), options())
    assert packed.spec == folder.spec
    np.testing.assert_array_equal(stored(packed), stored(folder))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pets", "pets.zip"]


def test_dataset_json_overrules_folders(tmp_path, options):
    write_images(tmp_path / "in" / "00000", 3)
    labels = json.dumps({"labels": [[f"00000/{index:03}.png", 2 - index] for index in range(3)]})
    archive = zip_folder(tmp_path / "in", tmp_path / "a.zip", [("dataset.json", labels)])
    source = open_source(str(archive), options())
    assert source.spec.classes == ("0", "1", "2")
    assert everything(source)["label"].tolist() == [2, 1, 0]


@pytest.mark.parametrize("text", ["{", '{"labels": [["000.png"]]}', '{"labels": [["000.png", -1]]}', '{"labels": []}'])
def test_a_bad_dataset_json_is_an_error_that_shows_the_form(tmp_path, options, text):
    write_images(tmp_path, 1)
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match="--no-labels"):
        open_source(str(tmp_path), options())
    assert len(open_source(str(tmp_path), options(labels=False))) == 1


@pytest.mark.parametrize("key", ["images", "arr_0", "x", "anything", "x_train"])
def test_npz_arrays_under_any_usual_name(tmp_path, options, key):
    images = noise(6 * 8, 12, 3, seed=0).reshape(6, 8, 12, 3)
    np.savez(tmp_path / "a.npz", **{key: images})
    np.testing.assert_array_equal(stored(open_source(str(tmp_path / "a.npz"), options())), images)


def test_npz_labels_and_splits(tmp_path, options):
    images = noise(6 * 8, 8, 1, seed=0).reshape(6, 8, 8)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.array([[7], [9]] * 3), x_test=images[:2], y_test=[9, 7])
    train = open_source(str(tmp_path / "a.npz"), options())
    assert train.spec == ImageSpec(classes=("7", "9"), channels=1, height=8, width=8)
    assert everything(train)["label"].tolist() == [0, 1] * 3
    assert everything(open_source(str(tmp_path / "a.npz"), options(split="test")))["label"].tolist() == [1, 0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_npy_channels_first_and_last_and_any_count(tmp_path, options, channels):
    images = noise(3 * 8, 12, channels, seed=0).reshape(3, 8, 12, channels)
    np.save(tmp_path / "last.npy", images)
    np.save(tmp_path / "first.npy", images.transpose(0, 3, 1, 2))
    for name in ("last", "first"):
        source = open_source(str(tmp_path / f"{name}.npy"), options())
        assert source.spec.shape == (channels, 8, 12)
        np.testing.assert_array_equal(stored(source), images)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([-1.0, 0.0, 1.0], dtype=np.float32), [0, 128, 255]),
        (np.array([0.0, 128.0, 255.0]), [0, 128, 255]),
        (np.array([0, 128, 255]), [0, 128, 255]),
        (np.array([0, 128, 60000]), [0, 128, 60000]),
        (np.array([False, True, True]), [0, 255, 255]),
    ],
)
def test_numbers_of_other_types_become_stored_pixels(tmp_path, options, values, expected):
    np.save(tmp_path / "a.npy", np.broadcast_to(values, (2, 3, 3)))
    assert stored(open_source(str(tmp_path / "a.npy"), options()))[0, 0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    "array",
    [
        np.array([[["a"]]]),
        np.array([[[{}]]]),
        np.full((2, 3, 3), np.nan),
        np.full((2, 3, 3), 1e9),
        np.zeros((4, 9), np.uint8),
        np.zeros((0, 8, 8), np.uint8),
        np.zeros((2, 8, 4, 8), np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, options, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy"):
        open_source(str(tmp_path / "a.npy"), options())


def test_labels_that_do_not_fit_are_refused(tmp_path, options):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4), np.uint8), labels=[0, 1])
    with pytest.raises(DataError, match="for 3 images"):
        open_source(str(tmp_path / "a.npz"), options())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_whole_numbers_up_to_one_are_taken_with_a_note(tmp_path, options, dtype):
    for top, count in [(1, 1), (2, 0)]:
        np.save(tmp_path / "a.npy", np.full((3, 4, 4), top, dtype=dtype))
        notes = open_source(str(tmp_path / "a.npy"), options()).notes
        assert len(notes) == count
        assert all("nearly black" in note for note in notes)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_alone_and_in_a_folder(tmp_path, options, packed):
    end = ".gz" if packed else ""
    images = noise(4 * 9, 7, 1, seed=0).reshape(4, 9, 7)
    for part, count in (("train", 4), ("t10k", 2)):
        (tmp_path / f"{part}-images-idx3-ubyte{end}").write_bytes(idx_bytes(images[:count], packed=packed))
        labels = np.arange(count, dtype=np.uint8) % 2
        (tmp_path / f"{part}-labels-idx1-ubyte{end}").write_bytes(idx_bytes(labels, packed=packed))
    folder = open_source(str(tmp_path), options())
    assert folder.spec == ImageSpec(classes=("0", "1"), channels=1, height=9, width=7)
    np.testing.assert_array_equal(stored(folder)[..., 0], images)
    assert len(open_source(str(tmp_path), options(split="test"))) == 2
    single = open_source(str(tmp_path / f"train-images-idx3-ubyte{end}"), options())
    assert everything(single)["label"].tolist() == [0, 1, 0, 1]
    fashion = open_source(f"fashion-mnist:{tmp_path}", options(offline=True))
    assert fashion.spec.classes[9] == "Ankle boot"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("change", [lambda data: data[:-5], lambda data: data + b"x", lambda data: data[:9]])
def test_damaged_idx_files_are_refused(tmp_path, options, packed, change):
    data = idx_bytes(np.zeros((2, 5, 5), np.uint8), packed=False)
    file = tmp_path / "images-idx3-ubyte"
    file.write_bytes(gzip.compress(change(data)) if packed else change(data))
    with pytest.raises(DataError, match="idx3-ubyte"):
        open_source(str(file), options())


@pytest.mark.parametrize(("name", "modes"), [("ring8", 8), ("grid25", 25), ("moons", 64), ("gaussian1d", 1)])
def test_toys_cover_their_own_modes(options, name, modes):
    source = open_source(name, options(limit=20000))
    points = everything(source)["vector"].numpy()
    assert source.spec.shape == source.modes.shape[1:]
    assert source.modes.shape[0] == modes
    found = count_modes(points, source.modes, std=source.std)
    assert found.captured == found.total == modes
    assert found.high_quality > 0.98
    next_points = next(source.batches(7))["vector"]
    assert next_points.dtype == torch.float32
    assert next_points.shape == (7, source.spec.size)


def test_toy_splits_differ_and_a_limit_is_a_prefix(options):
    train, test = (everything(open_source("ring8", options(split=split)))["vector"] for split in ("train", "test"))
    assert not torch.equal(train[:10], test[:10])
    assert torch.equal(everything(open_source("ring8", options(limit=10)))["vector"], train[:10])
    assert open_source("ring8", options(labels=False)).spec == VectorSpec(size=2)


@pytest.mark.parametrize(
    ("kind", "options_of_kind"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_keep_every_pixel_whatever_their_suffix(tmp_path, options, kind, options_of_kind):
    pixels = noise(9, 13, 3, seed=0)
    (tmp_path / "a.jpg").write_bytes(image_bytes(pixels, kind, **options_of_kind))
    np.testing.assert_array_equal(stored(open_source(str(tmp_path), options()))[0], pixels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_gray_of_16_bits_round_trips(tmp_path, options, kind):
    pixels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    (tmp_path / "a.png").write_bytes(image_bytes(pixels, kind))
    source = open_source(str(tmp_path), options())
    assert source.spec == ImageSpec(channels=1, height=256, width=256, bits=16)
    batch = next(source.batches(1))
    assert (batch["image"].min(), batch["image"].max()) == (-1, 1)
    np.testing.assert_array_equal(encode(batch["image"], source.spec)[0], pixels)
    shallow = open_source(str(tmp_path), options(channels="rgb"))
    assert (shallow.spec.channels, shallow.spec.bits) == (3, 8)
    assert stored(shallow)[0, 255, 255].tolist() == [255, 255, 255]


@pytest.mark.parametrize("bits", [8, 16])
def test_encode_undoes_decode(bits):
    values = torch.arange(2**bits, dtype=torch.int32).reshape(1, 1, 2 ** (bits // 2), -1)
    values = values.to(torch.uint8 if bits == 8 else torch.uint16)
    spec = ImageSpec(height=values.shape[2], width=values.shape[3], bits=bits)
    np.testing.assert_array_equal(
        encode(decode({"image": values}, spec)["image"], spec), values.permute(0, 2, 3, 1).numpy()
    )


def test_palette_and_one_bit_images_are_unpacked(tmp_path, options):
    image = Image.fromarray(noise(8, 8, 3, seed=0)).quantize(4)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(stored(open_source(str(tmp_path), options()))[0], np.asarray(image.convert("RGB")))
    bits = noise(8, 8, 1, seed=1)[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(stored(open_source(str(tmp_path), options()))[0, ..., 0], bits * 255)


def test_alpha_is_kept_where_most_have_it_and_shown_on_white_where_not(tmp_path, options):
    clear = np.zeros((4, 4, 4), np.uint8)
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(image_bytes(clear))
    assert open_source(str(tmp_path), options()).spec.channels == 4
    for name in ("c", "d"):
        (tmp_path / f"{name}.png").write_bytes(image_bytes(clear[..., :3]))
    source = open_source(str(tmp_path), options())
    assert source.spec.channels == 3
    assert stored(source)[:, 0, 0, 0].tolist() == [255, 255, 0, 0]
    assert any("transparency shows white" in note for note in source.notes)
    assert open_source(str(tmp_path), options(channels="rgba")).spec.channels == 4


def test_cmyk_is_converted_with_a_note(tmp_path, options):
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    source = open_source(str(tmp_path), options())
    assert stored(source)[0, 0, 0].tolist() == [255, 255, 255]
    assert "CMYK" in source.notes[0]


def test_a_rotation_told_by_exif_is_applied(tmp_path, options):
    pixels = noise(4, 6, 3, seed=0)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(image_bytes(pixels, exif=exif))
    np.testing.assert_array_equal(stored(open_source(str(tmp_path), options()))[0], np.rot90(pixels, -1))


def test_different_sizes_are_refused_with_two_examples_and_the_command(tmp_path, options):
    write_images(tmp_path / "pets", 3, height=40, width=50)
    (tmp_path / "pets" / "odd.png").write_bytes(image_bytes(noise(33, 70, 3, seed=9)))
    with pytest.raises(DataError) as caught:
        open_source(str(tmp_path / "pets"), options())
    text = str(caught.value)
    for part in ("4 images of 2 sizes", "000.png 50x40", "odd.png 70x33", "organza data check", "--resize 32"):
        assert part in text


def test_resize_crops_the_centre_or_stretches(tmp_path, options):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    (tmp_path / "a.png").write_bytes(image_bytes(pixels))
    centre = open_source(str(tmp_path), options(resize="10"))
    assert centre.spec.shape == (3, 10, 10)
    assert stored(centre)[0, :, 2:8].min() > 250
    wide = open_source(str(tmp_path), options(resize="30x10", crop="none"))
    assert wide.spec.shape == (3, 10, 30)
    assert stored(wide)[0, 5, 2, 0] == 0
    assert stored(wide)[0, 5, 15, 0] == 255


def test_arrays_obey_the_same_options(tmp_path, options):
    np.save(tmp_path / "a.npy", noise(4 * 16, 16, 3, seed=0, dtype=np.uint16).reshape(4, 16, 16, 3))
    source = open_source(str(tmp_path / "a.npy"), options(resize="8x4", channels="gray", limit=3))
    assert source.spec == ImageSpec(channels=1, height=4, width=8, bits=16)
    assert len(source) == 3


def test_files_beyond_a_limit_are_not_judged(tmp_path, options):
    write_images(tmp_path, 12)
    (tmp_path / "zzz.png").write_bytes(b"no image")
    assert len(open_source(str(tmp_path), options(limit=5, strict=True))) == 5


def test_a_limit_takes_the_first_and_keeps_the_classes(tmp_path, options):
    write_images(tmp_path / "a", 3)
    write_images(tmp_path / "b", 3, seed=1)
    source = open_source(str(tmp_path), options(limit=2))
    assert everything(source)["label"].tolist() == [0, 0]
    assert source.spec.classes == ("a", "b")
    assert "1 of 2 classes has no image" in source.notes[0]
    assert open_source("mnist", options(limit=5)).spec.num_classes == 10


@pytest.mark.parametrize(("wrong", "meant"), [("mnits", "mnist"), ("fashion", "fashion-mnist"), ("Ring8", "ring8")])
def test_an_unknown_name_says_what_was_meant_and_that_no_path_was_found(options, wrong, meant):
    with pytest.raises(DataError, match=f"no such path was found .* Did you mean '{meant}'"):
        open_source(wrong, options())


def test_a_path_that_is_nearly_right_is_named(tmp_path, options):
    write_images(tmp_path / "my cats", 3)
    with pytest.raises(DataError, match=r"organza data check '.*/my cats'\."):
        open_source(str(tmp_path / "my_cat"), options())


@pytest.mark.parametrize("source", ["", "\0", "a\0b/c", "x" * 5000, "nothing/here"])
def test_impossible_sources_are_data_errors(options, source):
    with pytest.raises(DataError):
        open_source(source, options())


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8bbroken", b"PK\x03\x04 no zip"])
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".zip", ".dat"])
def test_files_of_no_known_kind_are_data_errors(tmp_path, options, data, suffix):
    (tmp_path / f"a{suffix}").write_bytes(data)
    with pytest.raises(DataError, match="a\\" + suffix):
        open_source(str(tmp_path / f"a{suffix}"), options())


@pytest.mark.parametrize(
    "fields", [{"resize": "big"}, {"resize": "0"}, {"resize": "99999"}, {"limit": 0}, {"max_bad": 2}, {"workers": -1}]
)
def test_options_that_make_no_sense_are_usage_errors(fields):
    with pytest.raises(UsageError, match="--" + next(iter(fields)).replace("_", "-")):
        DataOptions(**fields)


def test_resize_is_width_by_height():
    assert DataOptions(resize="64").size == (64, 64)
    assert DataOptions(resize="64x48").size == (48, 64)


def test_the_options_do_not_load_torch():
    code = "import sys; from organza.data.options import DataOptions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_samples_are_held_out_the_same_ones_every_time_and_none_is_lost(tmp_path: Path) -> None:
    images = np.arange(100, dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), dtype=np.uint8)
    path = tmp_path / "hundred.npy"
    np.save(path, images)
    seen = {}
    for split in ("train", "test"):
        source = open_source(str(path), DataOptions(hold_out=0.2, split=split))
        seen[split] = source.read(np.arange(len(source)))["image"][:, 0, 0, 0].tolist()
        again = open_source(str(path), DataOptions(hold_out=0.2, split=split))
        assert again.read(np.arange(len(again)))["image"][:, 0, 0, 0].tolist() == seen[split]
    assert (len(seen["train"]), len(seen["test"])) == (80, 20)
    assert sorted(seen["train"] + seen["test"]) == list(range(100))


def test_folders_hold_out_files_with_their_labels_in_memory_and_streamed(tmp_path: Path) -> None:
    for index in range(40):
        folder = tmp_path / "images" / ("dark" if index < 20 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 6 * index, dtype=np.uint8)).save(folder / f"{index:02d}.png")
    whole = open_pictures(tmp_path / "images", name="images", options=DataOptions(), memory_limit=1)
    kept = np.array([3, 21, 39])
    for source in (whole.subset(kept), Subset(whole, kept)):
        batch = source.read(np.arange(3))
        assert batch["image"][:, 0, 0, 0].tolist() == [18, 126, 234]
        assert batch["label"].tolist() == [0, 1, 1]
        assert len(next(source.batches(2))["image"]) == 2
        source.close()


def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.zeros((2, 4, 4), dtype=np.uint8))
    with pytest.raises(DataError, match="leaves none for the train split"):
        open_source(str(tmp_path / "two.npy"), DataOptions(hold_out=0.9))
    with pytest.raises(UsageError, match="--hold-out is 1"):
        DataOptions(hold_out=1.0)
