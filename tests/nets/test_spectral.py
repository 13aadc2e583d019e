"""Spectral norm against singular values, and that looking at a network does not change it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from organza.nets.layers import initialise
from organza.nets.residual import DownConv, UpConv
from organza.nets.spectral import START, SpectralNorm, advance, spectrally_normed

LAYERS = [
    lambda: nn.Linear(7, 6),
    lambda: nn.Conv2d(3, 6, 3),
    lambda: nn.Conv1d(3, 6, 3),
    lambda: nn.Embedding(4, 9),
    lambda: UpConv(3, 6),
    lambda: DownConv(3, 6),
]


@pytest.mark.parametrize("make", LAYERS)
def test_the_largest_singular_value_becomes_1(make: object) -> None:
    torch.manual_seed(0)
    layer = make()  # type: ignore[operator]
    plain = layer.weight.detach().clone()
    spectrally_normed(layer)
    for _ in range(200):
        advance(layer)
    largest = torch.linalg.matrix_norm(plain.flatten(1), ord=2)
    torch.testing.assert_close(layer.weight, plain / largest, atol=1e-4, rtol=1e-4)


def test_the_start_is_near_the_singular_vectors_of_the_weights_that_were_drawn() -> None:
    torch.manual_seed(0)
    network = spectrally_normed(initialise(nn.Sequential(nn.Linear(64, 64)), "normal"))
    assert torch.linalg.matrix_norm(network[0].weight, ord=2).item() == pytest.approx(1.0, abs=0.05)


def test_a_step_is_one_power_iteration() -> None:
    torch.manual_seed(0)
    layer = spectrally_normed(nn.Conv2d(2, 5, 3))
    norm = layer.parametrizations.weight[0]
    matrix, left = layer.parametrizations.weight.original.detach().flatten(1), norm.left.clone()
    advance(layer)
    right = matrix.T @ left
    right /= right.norm()
    left = matrix @ right
    torch.testing.assert_close(norm.right, right)
    torch.testing.assert_close(norm.left, left / left.norm())


def test_passes_change_nothing_in_training_or_evaluation() -> None:
    torch.manual_seed(0)
    network = spectrally_normed(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))).train()
    before = copy.deepcopy(network.state_dict())
    x = torch.randn(3, 4)
    first = network(x)
    assert torch.equal(first, network(x))
    assert torch.equal(first, network.eval()(x))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_gradient_is_that_of_the_paper() -> None:
    """Eq. 12: (grad - lambda u v^T) / sigma, with lambda the inner product of grad and the normed weight."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3, bias=False)
    plain = layer.weight.detach().clone()
    spectrally_normed(layer)
    for _ in range(300):
        advance(layer)
    grad = torch.randn(3, 4)
    (layer.weight * grad).sum().backward()
    left, sigma, right = torch.linalg.svd(plain, full_matrices=False)
    expected = (grad - (grad * plain / sigma[0]).sum() * left[:, :1] @ right[:1]) / sigma[0]
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, expected, atol=1e-4, rtol=1e-3)


def test_layers_can_be_skipped_with_all_that_is_in_them() -> None:
    inner = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network = spectrally_normed(nn.Sequential(nn.Linear(3, 3), inner, nn.BatchNorm1d(3)), skip=[inner])
    normed = [name for name, module in network.named_modules() if isinstance(module, SpectralNorm)]
    assert normed == ["0.parametrizations.weight.0"]


def test_a_deep_copy_has_buffers_of_its_own() -> None:
    network = spectrally_normed(nn.Sequential(nn.Linear(3, 3)))
    twin = copy.deepcopy(network)
    before = {key: value.clone() for key, value in twin.state_dict().items()}
    with torch.no_grad():
        network[0].parametrizations.weight.original.mul_(torch.randn(3, 3))
    advance(network)
    assert all(torch.equal(value, before[key]) for key, value in twin.state_dict().items())
    x = torch.randn(2, 3)
    assert not torch.equal(twin(x), network(x))


def test_a_network_of_normed_layers_is_nowhere_steeper_than_1() -> None:
    torch.manual_seed(0)
    network = spectrally_normed(
        nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    )
    for _ in range(200):
        advance(network)
    x = torch.randn(100, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    assert float(gradient.norm(dim=1).max()) <= 1 + 1e-4
    assert START > 0
