"""Gates, windows and what is to be reconstructed, against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from organza.data.spec import ImageSpec
from organza.nets.fastgan import FewShotCritic, FewShotGenerator, SkipGate, Stage, pyramid_distance, window

SIZES = [(1, 5, 5), (3, 8, 8), (1, 28, 28), (4, 9, 40), (3, 17, 30), (3, 64, 48)]


def spec(size: tuple[int, int, int]) -> ImageSpec:
    return ImageSpec(channels=size[0], height=size[1], width=size[2])


def critic(size: tuple[int, int, int]) -> FewShotCritic:
    return FewShotCritic(spec(size), width=4, widest=4, base=7)


def coordinates(height: int, width: int, *, count: int) -> torch.Tensor:
    """Images whose two channels are the row and the column of each pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns]).float().expand(count, 2, height, width)


def test_a_gate_is_one_number_between_0_and_1_per_channel() -> None:
    large = torch.rand(3, 6, 14, 12) + 0.5
    gate = SkipGate(5, 6)(torch.randn(3, 5, 7, 3), large) / large
    assert 0 < float(gate.detach().min()) < float(gate.detach().max()) < 1
    torch.testing.assert_close(gate, gate[:, :, :1, :1].expand_as(gate))


def test_a_stage_without_weights_passes_its_noise_through_the_gate() -> None:
    stage, noise = Stage(3, 2, norm="none", up=True, has_noise=True), torch.randn(5, 8 * 6)
    for parameter in stage.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(5, 3, 4, 3)
    assert float(stage(x, noise).detach().abs().max()) == 0
    assert stage.strength is not None
    nn.init.constant_(stage.strength, 0.7)
    expected = (0.7 * noise * torch.sigmoid(0.7 * noise)).view(5, 1, 8, 6).expand(5, 2, 8, 6)
    torch.testing.assert_close(stage(x, noise), expected)


def test_the_generator_has_the_channels_and_gates_of_the_paper() -> None:
    with torch.device("meta"):
        g = FewShotGenerator(spec((3, 256, 256)), latent=256, width=64, skip=4)
    assert [stage.conv.in_channels for stage in g.ups] == [1024, 512, 256, 128, 128, 64]  # at 4, 8, ... 128 pixels
    assert g.last[0].in_channels == 32
    gates = [(gate.layers[1].in_channels, gate.layers[1].out_channels) for gate in g.gates]
    assert gates == [(1024, 128), (512, 64), (256, 32)]  # 4 to 64, 8 to 128, 16 to 256 pixels
    assert g.noise_size == 2 * (8**2 + 32**2 + 128**2)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_of_any_size_are_made_and_reconstructed(size: tuple[int, int, int]) -> None:
    g, c = FewShotGenerator(spec(size), latent=6, width=1, skip=2), critic(size)
    image, place = g(torch.randn(3, 6), None, torch.randn(3, g.noise_size)), torch.rand(3, 2)
    assert image.shape == (3, *size)
    score, remade = c(torch.cat([image, image]), None, place)
    assert score.shape[0] == 6
    assert [made.shape for made in remade] == [view.shape for view in c.views(image, place)]


def test_decoders_come_back_from_far_beyond_white() -> None:
    c, image, place = critic((1, 28, 28)), torch.rand(4, 1, 28, 28) * 2 - 1, torch.rand(4, 2)
    biases = [decoder.get_parameter(f"{len(decoder) - 1}.bias") for decoder in c.decoders]
    for bias in biases:
        nn.init.constant_(bias, 50.0)
    made = c(image, None, place)[1]
    gradients = torch.autograd.grad(sum(part.mean() for part in made), biases)
    assert all(float(part.detach().min()) > 10 for part in made)
    assert all(float(gradient) == pytest.approx(1) for gradient in gradients)


def test_only_the_direction_of_the_latent_matters() -> None:
    g, z = FewShotGenerator(spec((1, 16, 16)), latent=6, width=1, skip=2).eval(), torch.randn(4, 6)
    torch.testing.assert_close(g(z), g(3 * z), atol=1e-5, rtol=1e-4)


def test_no_noise_is_noise_of_zero() -> None:
    g, z = FewShotGenerator(spec((1, 16, 16)), latent=6, width=1, skip=2).eval(), torch.randn(4, 6)
    for stage in (part for part in g.modules() if isinstance(part, Stage)):
        if stage.strength is not None:
            nn.init.ones_(stage.strength)
    torch.testing.assert_close(g(z), g(z, None, torch.zeros(4, g.noise_size)))
    assert not torch.allclose(g(z), g(z, None, torch.randn(4, g.noise_size)))


def test_windows_reach_from_border_to_border() -> None:
    place = torch.tensor([[0.0, 0.0], [0.999999, 0.999999], [0.5, 0.0]])
    cut = window(coordinates(9, 12, count=3), place, (4, 6))
    assert cut.shape == (3, 2, 4, 6)
    assert cut[:, :, 0, 0].tolist() == [[0, 0], [5, 6], [3, 0]]
    assert cut[:, :, -1, -1].tolist() == [[3, 5], [8, 11], [6, 5]]


def test_a_window_of_features_shows_the_same_part_as_that_of_the_image() -> None:
    image, place = torch.randn(64, 2, 24, 40), torch.rand(64, 2)
    small = window(avg_pool2d(image, 4), place, (3, 5))
    torch.testing.assert_close(small, avg_pool2d(window(image, place, (12, 20), step=4), 4))


def test_a_digit_is_reconstructed_at_half_its_size_and_a_quarter_of_it_at_full_size() -> None:
    image, place = torch.randn(2, 1, 28, 28), torch.tensor([[0.0, 0.0], [0.999999, 0.0]])
    whole, part = critic((1, 28, 28)).views(image, place)
    torch.testing.assert_close(whole, avg_pool2d(image, 2))
    torch.testing.assert_close(part, torch.stack([image[0, :, :14, :14], image[1, :, 14:, :14]]))


def test_the_pyramid_measures_each_size_alike() -> None:
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1  # its mean over 2x2 pixels is 0
    zero = torch.zeros(1, 1, 8, 8)
    assert float(pyramid_distance(zero + 0.3, zero)) == pytest.approx(0.3)
    assert float(pyramid_distance(zero + board, zero, levels=2)) == pytest.approx(0.5)
