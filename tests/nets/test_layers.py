"""Small parts: norms, initial weights, labels, sizes, precision."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from organza.nets.conv import Pad
from organza.nets.layers import Float32, Init, Norm, initialise, normed
from organza.nets.mlp import Fourier, Labelled, Reshape, mlp
from organza.nets.small_conv import Crop

torch.manual_seed(0)


def applied(norm: Norm, layer: nn.Module, x: Tensor, *, axes: int) -> Tensor:
    return nn.Sequential(*normed(layer, 6, norm=norm, axes=axes))(x)


@pytest.mark.parametrize(
    ("norm", "axes", "over"),
    [("batch", 2, (0, 2, 3)), ("instance", 2, (2, 3)), ("layer", 2, (1, 2, 3)), ("batch", 0, (0,)), ("layer", 0, (1,))],
)
def test_a_norm_gives_mean_0_and_variance_1_over_its_own_axes(norm: Norm, axes: int, over: tuple[int, ...]) -> None:
    layer, x = (nn.Conv2d(2, 6, 1), torch.randn(5, 2, 8, 8)) if axes else (nn.Linear(2, 6), torch.randn(50, 2))
    out = applied(norm, layer, 5 * x + 3, axes=axes)
    torch.testing.assert_close(out.mean(over), torch.zeros_like(out.mean(over)), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(over, correction=0), torch.ones_like(out.mean(over)), atol=1e-2, rtol=0)


def test_instance_norm_of_vectors_is_over_the_channels() -> None:
    out = applied("instance", nn.Linear(2, 6), torch.randn(5, 2), axes=0)
    torch.testing.assert_close(out.mean(1), torch.zeros(5), atol=1e-5, rtol=0)


def test_no_norm_is_the_layer_alone() -> None:
    layer = nn.Linear(2, 6)
    assert normed(layer, 6, norm="none", axes=0) == [layer]


@pytest.mark.parametrize("layer", [nn.Linear(7, 6), nn.Conv2d(2, 6, 3)])
def test_spectral_norm_makes_the_largest_singular_value_1(layer: nn.Module) -> None:
    (wrapped,) = normed(layer, 6, norm="spectral", axes=2)
    for _ in range(100):  # power iterations
        wrapped.weight  # noqa: B018
    largest = torch.linalg.matrix_norm(wrapped.weight.detach().flatten(1), ord=2)
    assert largest.item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("init", "spread"),
    [("normal", 0.02), ("he", (2 / (1 + 0.2**2) / 400) ** 0.5), ("xavier", (2 / 700) ** 0.5)],
)
def test_weights_are_drawn_with_the_spread_of_their_source_and_biases_are_zero(init: Init, spread: float) -> None:
    layer = initialise(nn.Sequential(nn.Linear(400, 300)), init)[0]
    assert layer.weight.std().item() == pytest.approx(spread, rel=0.02)  # 120,000 weights: the error is 0.2 %
    assert abs(layer.weight.mean().item()) < 5 * spread / 120_000**0.5
    assert not layer.bias.any()


def test_convolutions_are_drawn_anew_and_norms_and_defaults_left_alone() -> None:
    def network() -> nn.Sequential:
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(8, 64, 5), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 8, 5))

    drawn, plain = initialise(network(), "normal"), initialise(network(), "default")
    for index in (0, 2):
        assert drawn[index].weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert torch.equal(plain[index].weight, network()[index].weight)
    assert (drawn[1].weight == 1).all()


def test_orthogonal_weights_have_orthonormal_rows() -> None:
    weight = initialise(nn.Linear(30, 20), "orthogonal").weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(20), atol=1e-5, rtol=0)


def test_initial_weights_reach_through_spectral_norm() -> None:
    network = initialise(nn.Sequential(*normed(nn.Linear(200, 200), 200, norm="spectral", axes=0)), "normal")
    assert network[0].parametrizations.weight.original.std().item() == pytest.approx(0.02, rel=0.03)
    assert not network[0].bias.any()


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer", "spectral"])
def test_an_mlp_has_the_widths_it_was_given_and_a_plain_end(norm: Norm) -> None:
    network = mlp(3, (5, 7), 2, norm=norm)
    assert network(torch.randn(4, 3)).shape == (4, 2)
    linear = [module for module in network if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(3, 5), (5, 7), (7, 2)]
    assert network[-1] is linear[-1]
    assert mlp(3, (), 2)(torch.randn(4, 3)).shape == (4, 2)


def test_a_labelled_network_sees_a_one_hot_code_beside_its_input() -> None:
    x, label = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    labelled = Labelled(nn.Identity(), 2)
    assert torch.equal(labelled(x, label), torch.cat([x, one_hot(label, 2).float()], dim=1))
    assert torch.equal(labelled(x), x)


def test_fourier_features_stand_beside_the_coordinates_and_cover_the_scales() -> None:
    waves = Fourier(2, 16, low=0.5, high=30.0)
    x = torch.randn(8, 2)
    y = waves(x)
    assert y.shape == (8, waves.outputs)
    assert torch.equal(y[:, :2], x)
    assert float(y[:, 2:].abs().max()) <= 1
    lengths = waves.waves.norm(dim=1)
    assert float(lengths.min()) == pytest.approx(0.5)
    assert float(lengths.max()) == pytest.approx(30.0)


def test_reshape_and_crop() -> None:
    x = torch.arange(2 * 12.0).reshape(2, 12)
    assert torch.equal(Reshape(3, 2, 2)(x), x.reshape(2, 3, 2, 2))
    image = torch.randn(2, 3, 8, 10)
    assert torch.equal(Crop(5, 7)(image), image[:, :, :5, :7])
    assert torch.equal(Crop(8, 10)(image), image)


def test_padding_repeats_the_last_row_and_column_of_odd_maps() -> None:
    for rows, columns in itertools.product((3, 4), (5, 6)):
        image = torch.randn(1, 1, rows, columns)
        padded = Pad(-(-rows // 2), -(-columns // 2))(image)
        assert padded.shape == (1, 1, 4, 6)
        assert torch.equal(padded[..., :rows, :columns], image)
        assert torch.equal(padded[..., -1, :columns], image[..., -1, :])
        assert torch.equal(padded[..., :rows, -1], image[..., :, -1])


def test_a_float32_layer_stays_in_float32_under_autocast() -> None:
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        out = Float32(layer)(x.bfloat16())
    assert out.dtype == torch.float32
    assert torch.equal(out, layer(x.bfloat16().float()))
