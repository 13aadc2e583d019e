import numpy as np
import pytest
from PIL import Image

from organza import __version__, pictures


@pytest.fixture
def digits() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), dtype=np.uint8)


def test_a_grid_holds_every_image_pixel_for_pixel_in_reading_order(digits):
    sheet = np.asarray(pictures.grid(digits, columns=3, pad=2, cell=1))
    assert sheet.shape == (3 * 30 + 2, 3 * 30 + 2)
    for index, image in enumerate(digits):
        y, x = 2 + index // 3 * 30, 2 + index % 3 * 30
        np.testing.assert_array_equal(sheet[y : y + 28, x : x + 28], image[:, :, 0])
    assert (sheet[:, :2] == 255).all()
    assert (sheet[62:90, 32:] == 255).all(), "the rest of a short row is empty"


def test_small_images_are_enlarged_by_a_whole_number(digits):
    sheet = np.asarray(pictures.grid(digits[:1], pad=0))
    assert sheet.shape == (56, 56)
    np.testing.assert_array_equal(sheet[::2, ::2], digits[0, :, :, 0])
    np.testing.assert_array_equal(sheet[1::2, 1::2], digits[0, :, :, 0])


def test_large_images_keep_their_size():
    assert pictures.grid(np.zeros((2, 64, 80, 3), np.uint8), columns=2, pad=1).size == (2 * 81 + 1, 66)


def test_gray_keeps_sixteen_bits_through_a_file(tmp_path):
    image = np.arange(28 * 28, dtype=np.uint16).reshape(1, 28, 28, 1) * 83
    pictures.save_png(pictures.grid(image, pad=0, cell=1), tmp_path / "deep.png", metadata={})
    with Image.open(tmp_path / "deep.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), image[0, :, :, 0])


def test_sixteen_bit_colour_is_rounded_to_eight():
    image = np.array([0, 128, 129, 257, 65535 - 128, 65535], np.uint16).reshape(1, 2, 3)
    assert np.asarray(pictures.picture(image)).ravel().tolist() == [0, 0, 1, 1, 255, 255]


def test_a_grid_of_rgba_is_transparent_between_the_images():
    images = np.full((2, 8, 8, 4), 200, np.uint8)
    sheet = pictures.grid(images, columns=2, pad=3, cell=1)
    assert sheet.mode == "RGBA"
    assert sheet.getpixel((0, 0))[3] == 0
    assert sheet.getpixel((3, 3)) == (200, 200, 200, 200)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGBA"), (5, "RGB")])
def test_any_number_of_channels_can_be_shown(channels, mode):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, channels), dtype=np.uint8)
    shown = pictures.picture(image)
    assert (shown.mode, shown.size) == (mode, (5, 4))
    kept = len(mode)
    np.testing.assert_array_equal(np.asarray(shown).reshape(4, 5, kept), image[:, :, :kept])


def test_the_axes_of_a_scatter_follow_from_the_real_points_alone():
    real = np.random.default_rng(0).normal(size=(500, 2))
    near, far = pictures.scatter(real[:1], real), pictures.scatter(np.array([[50.0, 0.0]]), real)
    alone = np.asarray(pictures.scatter(real[:0], real)).astype(int)
    for drawn in (near, far):
        changed = (np.asarray(drawn) != alone).any(axis=2)
        assert 0 < changed.sum() < 200, "one disc is added, and no other pixel moves"
    edge = np.nonzero((np.asarray(far) != alone).any(axis=(0, 2)))[0]
    assert edge.min() > 460, "a point beyond the frame lies on its edge"


def test_a_scatter_puts_fakes_where_they_are():
    real = np.array([[-1.0, -1.0], [1.0, 1.0]])
    drawn = np.asarray(pictures.scatter(np.tile([0.5, 0.5], (50, 1)), real)).astype(int)
    purple = np.argwhere(np.abs(drawn - np.array(pictures.FAKE_COLOUR)).max(axis=2) < 8)
    y, x = purple.mean(axis=0) / 480
    assert x == pytest.approx(0.7, abs=0.01)
    assert y == pytest.approx(0.3, abs=0.01), "the second number points up"


def test_points_that_are_not_finite_are_left_out():
    real = np.random.default_rng(0).normal(size=(100, 2))
    broken = np.array([[np.nan, 0.0], [np.inf, 1.0]])
    np.testing.assert_array_equal(pictures.scatter(broken, real), pictures.scatter(real[:0], real))


def test_single_numbers_are_drawn_as_histograms():
    real = np.random.default_rng(0).normal(size=(1000, 1))
    drawn = np.asarray(pictures.scatter(np.full((1000, 1), 2.0), real)).astype(int)
    assert drawn.shape == (480, 480, 3)
    purple = np.argwhere(drawn[:, :, 2] > drawn[:, :, 1] + 40)
    assert np.ptp(purple[:, 1]) < 20, "all fakes are in one bar"
    assert np.ptp(purple[:, 0]) > 400, "and the bar is cut off at the top"


def test_a_png_says_which_model_made_it(tmp_path):
    path = tmp_path / "made.png"
    metadata = {"Model": "0007-dcgan-müst 日本", "Seed": "3", "Samples": "64000"}
    pictures.save_png(Image.new("L", (4, 4)), path, metadata=metadata)
    with Image.open(path) as stored:
        stored.load()
        assert stored.text["Software"] == f"organza {__version__}"
        assert {key: stored.text[key] for key in metadata} == metadata
        packet = stored.text["XML:com.adobe.xmp"]
    term = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert f'Iptc4xmpExt:DigitalSourceType="{term}"' in packet


def test_an_unmarked_png_says_nothing(tmp_path):
    pictures.save_png(Image.new("L", (4, 4)), tmp_path / "real.png", metadata={"Model": "x"}, mark=False)
    with Image.open(tmp_path / "real.png") as stored:
        stored.load()
        assert stored.text == {}


def test_saving_leaves_no_temporary_file_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "picture.png"
    for level in (0, 255):
        pictures.save_png(Image.new("L", (2, 2), level), path, metadata={})
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]
    with Image.open(path) as stored:
        assert stored.getpixel((0, 0)) == 255


def test_a_failed_save_leaves_the_old_picture_and_nothing_else(tmp_path):
    path = tmp_path / "picture.png"
    pictures.save_png(Image.new("L", (2, 2), 7), path, metadata={})
    with pytest.raises(OSError, match="cannot write mode F"):
        pictures.save_png(Image.new("F", (2, 2)), path, metadata={})
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]
    with Image.open(path) as stored:
        assert stored.getpixel((0, 0)) == 7


def test_a_gif_keeps_its_frames_in_order(tmp_path):
    pages = [Image.new("L", (8, 8), level) for level in (0, 90, 180)]
    pages.append(Image.fromarray(np.full((8, 8), 65535, np.uint16)))
    pages.append(Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert("RGBA"))
    pages[-1].putpixel((0, 0), (255, 0, 0, 255))
    pictures.save_gif(pages, tmp_path / "film.gif", fps=10)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 5
        assert film.info["duration"] == 100
        assert pictures.SOURCE_TYPE.encode() in film.info["comment"]
        shown = []
        for index in range(5):
            film.seek(index)
            shown.append(film.convert("L").getpixel((4, 4)))
    assert shown == pytest.approx([0, 90, 180, 255, 255], abs=2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.gif"]


def test_captions_stand_over_columns_and_before_rows_and_leave_the_grid_as_it_is() -> None:
    sheet = pictures.grid(np.full((6, 20, 20, 1), 128, np.uint8), columns=3)
    page = np.asarray(pictures.captioned(sheet, top=["0", "1", "2"], left=["one", "two"]))
    height, width = np.asarray(sheet).shape
    np.testing.assert_array_equal(page[-height:, -width:, 0], np.asarray(sheet))
    above, before = page[:-height, -width:, 0] < 255, page[-height:, :-width, 0] < 255
    assert all(third.any() for third in np.array_split(above, 3, axis=1))
    assert all(half.any() for half in np.array_split(before, 2, axis=0))
    assert not (page[:-height, :-width] < 255).any()
