"""Whatever lies in a folder or zip: named, counted, skipped under the cap; never a traceback, never fed to networks."""

import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from image_files import image_bytes, noise, write_images, zip_folder
from PIL import Image

from organza.data import open_source
from organza.data.check import check, render
from organza.errors import DataError

GOOD = 3


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def write_bad_files(folder):
    """One bad file of each kind; returns their names with a word of the expected reason."""
    sound = image_bytes(noise(32, 32, 3, seed=99))
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    for kind in ("gif", "webp", "tiff", "png"):
        frames[0].save(folder / f"film.{kind}", save_all=True, append_images=frames[1:])
    contents = {
        "empty.png": b"",
        "text.jpg": b"I am no image",
        "half.png": sound[: len(sound) // 2],
        "half.jpg": image_bytes(noise(64, 64, 3, seed=1), "JPEG")[:700],
        "half.webp": image_bytes(noise(64, 64, 3, seed=1), "WEBP")[:300],
        "bomb.png": png_header(60000, 60000),
        "zero.png": png_header(0, 0),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "float.tif")
    damaged = dict.fromkeys(("half.png", "half.jpg", "half.webp", "zero.png"), "")
    animated = {f"film.{kind}": "animated" for kind in ("gif", "webp", "tiff", "png")}
    return damaged | animated | {
        "empty.png": "empty",
        "text.jpg": "by its content",
        "bomb.png": "million pixels",
        "float.tif": "32-bit",
    }  # fmt: skip


@pytest.fixture
def hostile(tmp_path):
    folder = tmp_path / "hostile"
    write_images(folder, GOOD)
    expected = write_bad_files(folder)
    (folder / "notes.txt").write_text("hello")
    (folder / ".DS_Store").write_bytes(b"\0")
    return folder, expected


@pytest.mark.parametrize("zipped", [False, True])
def test_every_bad_file_is_named_and_none_is_used(hostile, options, tmp_path, zipped):
    folder, expected = hostile
    path = zip_folder(folder, tmp_path / "hostile.zip") if zipped else folder
    found = check(str(path), options(max_bad=1))
    assert found.ok
    assert found.count == GOOD
    assert found.bad.keys() == expected.keys()
    for name, word in expected.items():
        assert word in found.bad[name]
    assert found.ignored == {"notes.txt": "not an image", ".DS_Store": "hidden"}
    source = open_source(str(path), options(max_bad=1))
    assert len(source) == GOOD
    assert f"{len(expected)} bad files skipped" in source.notes[0]


def test_more_bad_files_than_the_cap_are_refused_with_the_command(hostile, options):
    folder, expected = hostile
    with pytest.raises(DataError, match=rf"{len(expected)} bad files .* --max-bad 0\.8"):
        open_source(str(folder), options())
    found = check(str(folder), options())
    assert not found.ok
    assert "bomb.png: more than 200 million pixels" in render(found)


def test_strict_refuses_a_single_bad_file(tmp_path, options):
    write_images(tmp_path, 30)
    (tmp_path / "empty.png").touch()
    assert len(open_source(str(tmp_path), options())) == 30
    with pytest.raises(DataError, match=r"empty\.png.*--strict"):
        open_source(str(tmp_path), options(strict=True))


def test_links_are_followed_but_never_in_circles(tmp_path, options):
    write_images(tmp_path / "in" / "cat", 2)
    write_images(tmp_path / "elsewhere", 2, seed=1)
    (tmp_path / "in" / "cat" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "self.png").symlink_to(tmp_path / "in" / "self.png")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "in" / "dog").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = check(str(tmp_path / "in"), options(max_bad=0.5))
    assert found.classes == {"cat": 2, "dog": 2}
    assert found.bad.keys() == {"self.png", "gone.png"}
    assert found.ignored.keys() == {"cat/loop"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_named_and_not_waited_for(tmp_path, options):
    write_images(tmp_path, 2)
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe" in check(str(tmp_path), options(max_bad=0.5)).bad["pipe.png"]


def test_a_photo_with_a_preview_is_one_image(tmp_path, options):
    first, second = (Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(2))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert len(open_source(str(tmp_path), options())) == 1


def test_damaged_exif_does_not_cost_the_image(tmp_path, options):
    (tmp_path / "a.jpg").write_bytes(image_bytes(noise(8, 8, 3, seed=0), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert len(open_source(str(tmp_path), options())) == 1


def test_a_folder_without_images_says_what_it_needs(tmp_path, options):
    with pytest.raises(DataError, match="holds no image"):
        open_source(str(tmp_path), options())
    assert not check(str(tmp_path), options()).ok


@pytest.mark.parametrize("name", ["../up.png", "/root.png", "a/../../b.png", "..\\up.png", "C:/x.png"])
def test_a_zip_whose_names_leave_it_is_refused(tmp_path, options, name):
    write_images(tmp_path / "in", 2)
    archive = zip_folder(tmp_path / "in", tmp_path / "a.zip", [(name, image_bytes(noise(8, 12, 3, seed=5)))])
    with pytest.raises(DataError, match="points outside"):
        open_source(str(archive), options())
    assert "points outside" in check(str(archive), options()).error


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_name_twice_is_refused(tmp_path, options):
    write_images(tmp_path / "in", 2)
    archive = zip_folder(tmp_path / "in", tmp_path / "a.zip", [("000.png", b"other")])
    with pytest.raises(DataError, match="twice"):
        open_source(str(archive), options())


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path, options):
    archive = tmp_path / "a.zip"
    target = zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with target, target.open("0.bmp", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(DataError, match="unpacks to more than"):
        open_source(str(archive), options())


def test_links_locks_and_damage_inside_a_zip_are_bad_files(tmp_path, options):
    images = write_images(tmp_path / "in", 3)
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    archive = zip_folder(tmp_path / "in", tmp_path / "a.zip", [(link, "000.png"), ("hurt.png", image_bytes(images[0]))])
    data = bytearray(archive.read_bytes())
    data[data.index(b"hurt.png") + 40] ^= 255
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(b"002.png"))
    data[directory + 8] |= 1
    archive.write_bytes(data)
    bad = check(str(archive), options(max_bad=1)).bad
    assert "symbolic link" in bad["link.png"]
    assert "encrypted" in bad["002.png"]
    assert "cannot be read" in bad["hurt.png"]


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path, options):
    write_images(tmp_path, 1)
    (tmp_path / "\x1b[2Jevil.png").touch()
    assert "\x1b" not in render(check(str(tmp_path), options(max_bad=1)))
