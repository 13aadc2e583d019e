"""The alias-free generator: its filters are the textbook's, its bands the paper's, and it commutes with translation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.equivariance import rotation_equivariance, translated, translation_equivariance, turned
from organza.nets.style3 import (
    AliasFreeGenerator,
    Band,
    Equivariance,
    FilteredLayer,
    FourierFeatures,
    bands,
    kaiser_beta,
    lowpass,
    origin,
)

SIZES = [(1, 28, 28), (3, 33, 47), (4, 21, 37), (2, 8, 8), (1, 5, 64), (1, 1, 1)]
sizes = pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, size)) for size in SIZES])
FILTERS = [(12, 2.0, 2.3, 32.0), (24, 5.0, 3.0, 128.0), (12, 8.0, 8.5, 64.0), (36, 8.0, 1.0, 64.0)]
filters = pytest.mark.parametrize(("taps", "cutoff", "half_width", "rate"), FILTERS)


def spec(size: tuple[int, int, int]) -> ImageSpec:
    return ImageSpec(channels=size[0], height=size[1], width=size[2])


def generator(size: tuple[int, int, int] = (1, 28, 28), **options: object) -> AliasFreeGenerator:
    torch.manual_seed(0)
    small = {"latent": 5, "w_size": 6, "layers": 5, "margin": 8, "width": 4, "widest": 8} | options
    return AliasFreeGenerator(spec(size), **small).eval()  # type: ignore[arg-type]


@filters
def test_filters_are_windowed_sincs(taps: int, cutoff: float, half_width: float, rate: float) -> None:
    found = lowpass(taps, cutoff=cutoff, half_width=half_width, rate=rate).numpy()
    place = np.arange(taps) - (taps - 1) / 2
    expected = np.sinc(2 * cutoff / rate * place) * np.kaiser(taps, kaiser_beta(taps, 4 * half_width / rate))
    assert np.allclose(found, expected / expected.sum(), atol=1e-14)


@filters
def test_filters_are_those_of_scipy(taps: int, cutoff: float, half_width: float, rate: float) -> None:
    signal = pytest.importorskip("scipy.signal")
    found = lowpass(taps, cutoff=cutoff, half_width=half_width, rate=rate).numpy()
    assert np.allclose(found, signal.firwin(taps, cutoff, width=2 * half_width, fs=rate), atol=1e-14)


def test_filters_pass_and_stop_what_they_should() -> None:
    taps = lowpass(36, cutoff=8.0, half_width=2.0, rate=64.0).numpy()
    for frequency, expected in ((0.0, 1.0), (4.0, 1.0), (8.0, 0.5), (12.0, 0.0), (30.0, 0.0)):
        wave = np.exp(-2j * np.pi * frequency / 64 * (np.arange(36) - 17.5))
        assert abs(taps @ wave) == pytest.approx(expected, abs=0.02)


def test_the_radial_filter_is_the_same_in_every_direction() -> None:
    taps = lowpass(24, cutoff=8.0, half_width=4.0, rate=64.0, is_radial=True).numpy()
    assert taps.sum() == pytest.approx(1)
    assert np.allclose(taps, taps.T)
    place = (np.arange(24) - 11.5) / 64

    def response(frequency: float, angle: float) -> float:
        phase = np.add.outer(place * math.sin(angle), place * math.cos(angle)) * frequency
        return float((taps * np.exp(-2j * np.pi * phase)).sum().real)

    for frequency in (4.0, 7.0, 9.0):
        straight, slanted = response(frequency, 0.0), response(frequency, math.pi / 4)
        assert slanted == pytest.approx(straight, abs=0.02)


def test_the_bands_at_256_pixels_are_those_of_the_paper() -> None:
    found = bands(ImageSpec(channels=3, height=256, width=256))
    assert [band.rate for band in found] == [16] * 3 + [32] * 2 + [64] * 2 + [128] * 3 + [256] * 4
    assert [band.rows for band in found] == [36] * 3 + [52] * 2 + [84] * 2 + [148] * 3 + [276] * 3 + [256]
    assert [band.cutoff for band in found[::2]] == pytest.approx([2, 4, 8, 16, 32, 64, 128])
    assert [band.channels for band in found] == [512] * 9 + [362, 256, 181, 128, 128]
    assert all(band.cutoff <= band.rate / 2 for band in found)


@sizes
@pytest.mark.parametrize("equivariance", ["translation", "rotation"])
def test_images_of_any_size_are_made(size: tuple[int, int, int], equivariance: Equivariance) -> None:
    g = generator(size, equivariance=equivariance, margin=2, num_classes=3)
    z, label = torch.randn(2, 5), torch.tensor([0, 2])
    images = g(z, label)
    assert images.shape == (2, *size)
    assert torch.equal(images, g.synthesis(g.mapping(z, label)))


def test_every_row_of_w_matters() -> None:
    g = generator(margin=2)
    torch.nn.init.normal_(g.features.affine.weight)
    w, v = g.mapping(torch.randn(2, 5)), g.mapping(torch.randn(2, 5))
    for row in range(g.num_ws):
        changed = w.clone()
        changed[:, row] = v[:, row]
        assert not torch.allclose(g.synthesis(changed), g.synthesis(w)), row


@pytest.mark.parametrize("shift", [(3.0, -2.0), (0.5, 0.0), (1.3, 2.6)], ids=str)
@pytest.mark.parametrize("equivariance", ["translation", "rotation"])
def test_moving_the_features_moves_the_image(shift: tuple[float, float], equivariance: Equivariance) -> None:
    g = generator((1, 32, 32), equivariance=equivariance)
    assert translation_equivariance(g, g.mapping(torch.randn(4, 5)), shift) > 55


def test_short_filters_and_thin_margins_are_what_breaks_it() -> None:
    z = torch.randn(4, 5)

    def decibels(**options: object) -> float:
        g = generator((1, 32, 32), **options)
        return translation_equivariance(g, g.mapping(z), (3.0, 1.5))

    assert decibels() > decibels(taps=2) + 6
    assert decibels() > decibels(margin=0) + 6


def test_a_shifted_wave_is_the_wave_of_the_shifted_places() -> None:
    place = torch.arange(48, dtype=torch.float32)

    def wave(move: float) -> torch.Tensor:
        return torch.cos(0.9 * (place - move) + 0.3)[:, None] * torch.sin(0.4 * (place - 2 * move))[None]

    moved, reach = translated(wave(0.0)[None, None], (1.4, 2.8))
    inner = slice(reach, -reach)
    assert torch.allclose(moved[0, 0, inner, inner], wave(1.4)[inner, inner], atol=2e-3)


ANGLES = (0.4, math.pi / 4, 2.0, 4.5)


class Waves(torch.nn.Module):
    """Fourier features as images: in their band they are what a generator would be that commutes with every move."""

    def __init__(self, size: tuple[int, int, int], cutoff: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        side = max(4, 2 ** math.ceil(math.log2(max(size[1:]))))
        band = Band(cutoff, cutoff, rate=side, margin=0, rows=size[1], columns=size[2], channels=size[0])
        self.features = FourierFeatures(spec(size), band, w_size=2)

    def synthesis(self, w: torch.Tensor, shift: tuple[float, float] = (0.0, 0.0), angle: float = 0.0) -> torch.Tensor:
        return self.features(w[:, 0], shift, angle)


@pytest.mark.parametrize("size", [(8, 32, 32), (8, 40, 27)], ids=str)
def test_waves_within_the_band_commute_with_every_turn(size: tuple[int, int, int]) -> None:
    g, w = Waves(size, cutoff=0.25 * 2 ** math.ceil(math.log2(size[1]))), torch.zeros(1, 1, 2)
    assert rotation_equivariance(g, w, *ANGLES) > 60  # type: ignore[arg-type]
    assert rotation_equivariance(g, w, math.pi) > 100  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 33, 47)], ids=str)
def test_a_generator_of_turns_turns_and_one_of_moves_does_not(size: tuple[int, int, int]) -> None:
    kinds: tuple[Equivariance, Equivariance] = ("rotation", "translation")
    generators = [generator(size, equivariance=kind) for kind in kinds]
    z = torch.randn(4, 5)
    turns, moves = (rotation_equivariance(g, g.mapping(z), *ANGLES) for g in generators)
    assert turns > 60
    assert moves < 40


def test_a_turned_image_is_the_image_at_the_places_before_the_turn() -> None:
    axis = torch.arange(33, dtype=torch.float64) - 16
    places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=2)

    def wave(places: torch.Tensor) -> torch.Tensor:
        return torch.cos(0.9 * places[..., 0] - 0.4 * places[..., 1] + 0.3)

    known = places[places.norm(dim=2) <= 33 / 2 - 8]
    for angle in (0.0, *ANGLES):
        found = turned(wave(places)[None, None], angle)[:, 0]
        assert torch.allclose(found, wave(origin(known, (0.0, 0.0), angle)), atol=2e-3)
    quarter = wave(places).rot90(1)[None, None]
    assert torch.allclose(turned(wave(places)[None, None], math.pi / 2), turned(quarter, 0.0), atol=1e-9)


def test_images_that_leave_nothing_to_compare_are_refused() -> None:
    g = generator((1, 16, 16), margin=2)
    w = g.mapping(torch.randn(2, 5))
    with pytest.raises(UsageError, match="--resize 32"):
        rotation_equivariance(g, w, 1.0)
    with pytest.raises(UsageError, match="smaller shifts"):
        translation_equivariance(g, w, (8.0, 0.0))


def test_many_moves_are_measured_as_one() -> None:
    g = generator((1, 32, 32))
    w, shifts = g.mapping(torch.randn(4, 5)), [(3.0, -2.0), (2.0, 3.0)]
    each = [10 ** (-translation_equivariance(g, w, shift) / 10) for shift in shifts]
    assert translation_equivariance(g, w, *shifts) == pytest.approx(-10 * math.log10(sum(each) / 2), abs=1e-6)


def test_a_layer_divides_its_input_by_its_running_magnitude() -> None:
    band = bands(spec((1, 16, 16)), layers=3, margin=2, width=4, widest=4)[0]
    layer = FilteredLayer(band, band, w_size=3, taps=6, equivariance="translation", decay=0.5)
    x, w = 5 * torch.randn(4, band.channels, band.rows, band.columns), torch.randn(4, 3)
    for _ in range(40):
        layer(x, w)
    assert float(layer.power) == pytest.approx(float(x.square().mean()), rel=1e-4)
    layer.eval()
    before = layer(x, w)
    layer.power.fill_(1.0)
    assert torch.allclose(layer(x / x.square().mean().sqrt(), w), before, atol=1e-4)


def test_the_generator_can_be_exported() -> None:
    g = generator(margin=2, num_classes=3)
    z, label = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    exported = torch.export.export(g, (z, label)).module()
    assert torch.allclose(exported(z, label), g(z, label), atol=1e-5)
