"""Walks: their ends, their lengths, their files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza.errors import UsageError
from organza.latent import film
from organza.latent.film import check_film, write_frames
from organza.latent.paths import Curve, between, swing, walk
from organza.latent.sheets import style_sheet, truncation_sheet
from organza.latent.space import Space, WSpace

Make = Callable[..., Space]


def unit(count: int) -> torch.Tensor:
    drawn = torch.randn(count, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1)


@pytest.mark.parametrize("curve", ["linear", "spherical"])
def test_a_way_begins_here_and_ends_there(curve: Curve) -> None:
    here, there = unit(10).split(5)
    torch.testing.assert_close(between(here, there, 0.0, curve=curve), here)
    torch.testing.assert_close(between(here, there, 1.0, curve=curve), there)


def test_a_way_over_the_sphere_stays_on_it_and_turns_evenly() -> None:
    here, there = unit(10).split(5)
    middle = between(here, there, 0.25, curve="spherical")
    torch.testing.assert_close(middle.norm(dim=1), torch.ones(5, dtype=torch.float64))
    whole, part = (here * there).sum(1).acos(), (here * middle).sum(1).acos()
    torch.testing.assert_close(part, whole / 4)


def test_a_straight_way_is_halved_at_the_mean() -> None:
    here, there = unit(4).view(2, 2, 6)
    torch.testing.assert_close(between(here, there, 0.5, curve="linear"), (here + there) / 2)


def test_a_loop_has_as_many_legs_as_stops_and_an_open_walk_ends_at_the_last() -> None:
    stops = list(unit(3)[:, None])
    assert len(walk(stops, frames=5, curve="linear")) == 15
    open_walk = walk(stops, frames=5, curve="linear", loop=False)
    assert len(open_walk) == 11
    assert open_walk[5] is not stops[1]
    torch.testing.assert_close(open_walk[5], stops[1])
    torch.testing.assert_close(open_walk[-1], stops[2])
    with pytest.raises(UsageError, match="at least 2 stops"):
        walk(stops[:1], frames=5, curve="linear")


def test_a_swing_goes_there_and_a_loop_comes_back() -> None:
    assert swing(5, loop=False) == [0, 0.25, 0.5, 0.75, 1]
    assert swing(4, loop=True) == pytest.approx([0, 0.5, 1, 0.5])


FRAMES = np.arange(6 * 2 * 8 * 8, dtype=np.uint8).reshape(6, 2, 8, 8, 1)


def test_a_gif_has_its_frames_and_a_strip_its_rows_and_columns(tmp_path: Path) -> None:
    write_frames(FRAMES, tmp_path / "a.gif", metadata={}, fps=20)
    with Image.open(tmp_path / "a.gif") as found:
        assert getattr(found, "n_frames", 0) == 6
        assert found.info["duration"] == 50
        assert b"trainedAlgorithmicMedia" in found.info["comment"]
    write_frames(FRAMES, tmp_path / "a.png", metadata={"Seed": "4"})
    with Image.open(tmp_path / "a.png") as found:
        assert found.size == (6 * 58 + 2, 2 * 58 + 2)
        assert found.info["Seed"] == "4"


def test_an_mp4_is_h264_and_marked(tmp_path: Path) -> None:
    write_frames(FRAMES, tmp_path / "a.mp4", metadata={})
    command = [film.ffmpeg(), "-i", str(tmp_path / "a.mp4")]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "h264" in told
    assert "trainedAlgorithmicMedia" in told


@pytest.mark.parametrize(
    ("name", "fps", "message"), [("a.avi", 12, "cannot write .avi"), ("a", 12, "a folder"), ("a.gif", 0, "above 0")]
)
def test_a_film_that_cannot_be_written_is_refused_before_it_is_made(name: str, fps: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_film(Path(name), fps)


def test_without_ffmpeg_an_mp4_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(film, "import_module", absent)
    with pytest.raises(UsageError, match=r'pip install "organza\[video\]" \(or: apt install ffmpeg\)'):
        check_film(tmp_path / "a.mp4", 12)


def test_the_margins_of_mixed_styles_are_unmixed_and_their_own_mixture_is_themselves(space: Make) -> None:
    here = space("stylegan2")
    assert isinstance(here, WSpace)
    w = here.draw(2, labels=here.labels(2))
    picture, crossover = style_sheet(here, w, w)
    assert crossover == max(1, here.styled.num_ws // 3)
    cells = np.asarray(picture)[2:, 2:].copy()
    step = 66  # 16 pixels four times, and 2 between
    rows = [[cells[y * step : y * step + 64, x * step : x * step + 64] for x in range(3)] for y in range(3)]
    for index in (1, 2):
        np.testing.assert_array_equal(rows[0][index], rows[index][0])
        np.testing.assert_array_equal(rows[index][index], rows[index][0])
    assert (rows[1][2] != rows[1][1]).any()
    assert (rows[1][2] != rows[2][2]).any()
    with pytest.raises(UsageError, match=f"from 1 to {here.styled.num_ws - 1}"):
        style_sheet(here, w, w, crossover=here.styled.num_ws)
    with pytest.raises(UsageError, match="needs W"):
        style_sheet(space("dcgan"), w, w)


def test_without_truncation_the_last_column_is_what_generate_makes_and_at_0_all_rows_are_alike(space: Make) -> None:
    here = space("stylegan2")
    labels = here.labels(2, label=1)
    picture = np.asarray(truncation_sheet(here, [0.0, 1.0], count=2, labels=labels))
    np.testing.assert_array_equal(picture[2:66, 2:66], picture[68:132, 2:66])
    image = here.pictures(here.draw(2, labels=labels))[0, :, :, 0]
    np.testing.assert_array_equal(picture[2:66:4, 68:132:4], image)
    with pytest.raises(UsageError, match="at least 0"):
        truncation_sheet(here, [-1.0])
