"""Gradient penalties against closed forms, torch.func and the statistics of their finite-difference twins."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from organza.losses import OBJECTIVES
from organza.penalties import (
    Tightness,
    consistency,
    interpolated_gradient,
    lecam,
    off_diagonal,
    path_lengths,
    r1,
    r2,
    score_and_squared_gradient,
    squared_slope,
)

W = torch.tensor([3.0, 4.0])
DRAWS, SIZE = 64, 256


def linear(x: Tensor) -> Tensor:
    return x @ W


def within_error(estimates: Tensor, expected: float) -> bool:
    """Whether the mean of independent estimates is within four standard errors of what it should be."""
    return abs(float(estimates.mean()) - expected) < 4 * float(estimates.std()) / len(estimates) ** 0.5


@pytest.mark.parametrize("penalty", [r1, r2])
def test_of_a_linear_critic_it_is_the_squared_norm_of_its_weight(penalty: type[r1]) -> None:
    assert penalty(linear, torch.randn(7, 2)).item() == pytest.approx(25.0)
    assert penalty(lambda x: linear(x)[:, None], torch.randn(7, 2)).item() == pytest.approx(25.0)


def test_of_a_quadratic_critic_it_is_the_mean_squared_norm_of_the_samples() -> None:
    x = torch.randn(9, 3, 2, 2)
    expected = x.flatten(1).square().sum(1)
    torch.testing.assert_close(r1(lambda x: x.flatten(1).square().sum(1) / 2, x), expected.mean())
    score, squared = score_and_squared_gradient(lambda x: x.flatten(1).square().sum(1) / 2, x)
    torch.testing.assert_close(squared, expected)
    torch.testing.assert_close(score, expected / 2)


def test_the_gradient_in_the_critics_parameters_of_a_quadratic_form_is_the_analytic_one() -> None:
    matrix, x = torch.randn(3, 3, requires_grad=True), torch.randn(5, 3)
    r1(lambda x: ((x @ matrix) * x).sum(1), x).backward()
    symmetric = (matrix + matrix.T).detach()  # grad D = S x, so d mean |S x|^2 / dS = 2 mean S x x^T, and S = A + A^T
    in_s = 2 * symmetric @ x.T @ x / len(x)
    torch.testing.assert_close(matrix.grad, in_s + in_s.T)


def test_the_gradient_in_the_critics_parameters_agrees_with_torch_func_in_float64() -> None:
    torch.manual_seed(0)
    critic, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), torch.randn(6, 4)
    names, parameters = zip(*critic.named_parameters(), strict=True)

    def reference(*values: Tensor) -> Tensor:
        def score(sample: Tensor) -> Tensor:
            return functional_call(critic, dict(zip(names, values, strict=True)), (sample[None],)).squeeze()

        return vmap(grad(score))(x.double()).square().sum(1).mean()

    doubled = [parameter.detach().double().requires_grad_(True) for parameter in parameters]
    assert torch.autograd.gradcheck(reference, doubled)
    found = torch.autograd.grad(r1(critic, x), parameters, materialize_grads=True)
    expected = torch.autograd.grad(reference(*doubled), doubled, materialize_grads=True)
    for here, there in zip(found, expected, strict=True):
        torch.testing.assert_close(here, there.float(), rtol=1e-4, atol=1e-6)


def test_scores_are_those_of_the_critic() -> None:
    critic, x = nn.Linear(4, 1), torch.randn(6, 4)
    assert torch.equal(score_and_squared_gradient(critic, x)[0], critic(x))


def test_finite_differences_of_a_linear_critic_are_unbiased() -> None:
    noise = torch.randn(DRAWS, SIZE, 2, generator=torch.Generator().manual_seed(1))
    x = torch.zeros(SIZE, 2)
    assert within_error(torch.stack([r1(linear, x, noise=n) for n in noise]), 25.0)
    torch.testing.assert_close(
        squared_slope(linear, x, noise[0], epsilon=0.05), (noise[0] @ W).square(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("target", [0.0, 1.0, 5.0])
def test_finite_differences_of_the_interpolated_gradient_are_unbiased_in_both_terms(target: float) -> None:
    noise = torch.randn(DRAWS, SIZE, 2, generator=torch.Generator().manual_seed(2))
    x, mix = torch.zeros(SIZE, 2), torch.full((SIZE,), 0.5)
    estimates = [interpolated_gradient(linear, x, x, mix, target=target, noise=n) for n in noise]
    assert within_error(torch.stack(estimates), (5.0 - target) ** 2)


def test_finite_differences_of_a_smooth_critic_approach_the_slope_along_the_noise() -> None:
    x, noise = torch.randn(8, 3), torch.randn(8, 3)
    error = [
        (squared_slope(lambda x: x.sin().sum(1), x, noise, epsilon=epsilon) - (x.cos() * noise).sum(1).square())
        .abs()
        .max()
        for epsilon in (0.1, 0.01)
    ]
    assert error[1] < error[0] / 5


def test_a_linear_critic_of_unit_norm_has_no_interpolated_penalty() -> None:
    penalty = interpolated_gradient(lambda x: x @ (W / 5), torch.randn(6, 2), torch.randn(6, 2), torch.rand(6))
    assert penalty.item() == pytest.approx(0.0, abs=1e-10)


def test_the_interpolated_gradient_is_taken_between_fake_at_0_and_real_at_1() -> None:
    real, fake = torch.randn(6, 3), torch.randn(6, 3)
    for mix, point in ((1.0, real), (0.0, fake), (0.25, 0.25 * real + 0.75 * fake)):
        found = interpolated_gradient(lambda x: x.square().sum(1) / 2, real, fake, torch.full((6,), mix))
        torch.testing.assert_close(found, (point.norm(dim=1) - 1).square().mean())


def test_a_flat_critic_has_a_finite_parameter_gradient() -> None:
    weight = torch.zeros(2, requires_grad=True)
    interpolated_gradient(lambda x: x @ weight, torch.randn(4, 2), torch.randn(4, 2), torch.rand(4)).backward()
    assert torch.isfinite(weight.grad).all()


@pytest.mark.parametrize("noise", [None, torch.ones(5, 2)], ids=["exact", "finite differences"])
def test_no_gradient_flows_into_the_samples(noise: Tensor | None) -> None:
    weight = W.clone().requires_grad_(True)
    real, fake = (torch.randn(5, 2, requires_grad=True) for _ in range(2))

    def critic(x: Tensor) -> Tensor:
        return x.square() @ weight

    (r1(critic, real, noise=noise) + interpolated_gradient(critic, real, fake, torch.rand(5), noise=noise)).backward()
    assert weight.grad is not None
    assert real.grad is None
    assert fake.grad is None


def test_labels_may_be_closed_over() -> None:
    weights, label = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([0, 1, 1, 1])
    penalty = r1(lambda x: (x * weights[label]).sum(1), torch.randn(4, 2))
    assert penalty.item() == pytest.approx((25 + 3 * 4) / 4)


@pytest.mark.parametrize("noise", [None, torch.ones(5, 4)], ids=["exact", "finite differences"])
def test_under_autocast_the_critic_is_called_in_float32(noise: Tensor | None) -> None:
    critic, x = nn.Linear(4, 1), torch.randn(5, 4)
    expected = r1(critic, x, noise=noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = r1(critic, x, noise=noise)
        assert critic(x).dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_path_lengths_of_a_linear_synthesis_are_the_norms_of_the_transposed_map() -> None:
    maps, y = torch.randn(2, 3, 12), torch.randn(5, 12)  # two rows of w, three numbers each, images of 12 pixels
    lengths = path_lengths(
        lambda w: torch.einsum("nrd,rdp->np", w, maps).view(5, 3, 2, 2), torch.randn(5, 2, 3), y.view(5, 3, 2, 2)
    )
    expected = torch.stack([(y @ part.T).square().sum(1) for part in maps]).mean(0).sqrt()
    assert torch.allclose(lengths, expected, rtol=1e-5)


def test_path_lengths_train_the_synthesis_and_the_mapping() -> None:
    z, mapping, weight = torch.randn(4, 3), nn.Linear(3, 3), torch.randn(3, 8, requires_grad=True)
    w = mapping(z)[:, None].expand(-1, 2, -1)
    lengths = path_lengths(lambda w: (w.square().sum(1) @ weight).view(4, 2, 2, 2), w, torch.randn(4, 2, 2, 2))
    lengths.square().mean().backward()
    assert weight.grad is not None
    assert mapping.weight.grad is not None
    assert float(weight.grad.norm()) > 0
    assert float(mapping.weight.grad.norm()) > 0


def test_orthogonal_rows_of_any_length_cost_nothing_and_others_their_squared_products() -> None:
    rows = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    assert off_diagonal(rows).item() == 0
    turned = torch.linalg.qr(torch.randn(6, 6))[0][:4] * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]
    assert off_diagonal(turned.view(4, 3, 2)).item() == pytest.approx(0, abs=1e-8)
    assert off_diagonal(torch.tensor([[1.0, 2.0], [3.0, -1.0]])).item() == pytest.approx(2 * 1.0**2)
    weight = torch.randn(3, 2, 2, 2)
    gram = weight.flatten(1) @ weight.flatten(1).T
    torch.testing.assert_close(off_diagonal(weight), (gram * (1 - torch.eye(3))).square().sum())


def test_more_rows_than_columns_cost_what_the_definition_says() -> None:
    weight = torch.randn(40, 3, requires_grad=True)
    gram = weight @ weight.T
    expected = (gram * (1 - torch.eye(40))).square().sum()
    torch.testing.assert_close(off_diagonal(weight), expected)
    found = [torch.autograd.grad(value, weight)[0] for value in (off_diagonal(weight), expected)]
    torch.testing.assert_close(*found)


def test_lecam_is_the_squared_distance_of_each_side_to_the_running_mean_of_the_other() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])
    found = lecam(real, fake, torch.tensor(2.0), torch.tensor(-0.5))
    assert found.item() == pytest.approx((1.5**2 + 3.5**2) / 2 + (3.0**2 + 2.0**2) / 2)
    assert lecam(fake.new_full((3,), 0.25), fake.new_full((3,), 2.0), torch.tensor(2.0), torch.tensor(0.25)).item() == 0


def test_consistency_is_the_mean_squared_change_of_the_score() -> None:
    assert consistency(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item() == pytest.approx(2.5)


def test_the_factor_of_penalties_follows_the_critics_loss() -> None:
    tightness = Tightness(0.6, horizon=1000.0)
    after = tightness.adapt(samples=50)
    assert after is not None
    for loss in (0.5, 0.65, 0.9):  # too sure, not sure enough, worse than a guess
        after({"pair_loss": torch.tensor(loss)})
    assert tightness.factor.item() == pytest.approx(math.exp((0.1 - 0.05 + 0.6 - math.log(2)) * 50 / 1000))


@pytest.mark.parametrize(("loss", "bound"), [(0.0, 100.0), (5.0, 0.01)])
def test_the_factor_of_penalties_has_bounds(loss: float, bound: float) -> None:
    tightness = Tightness(0.6, horizon=1.0)
    after = tightness.adapt(samples=50)
    assert after is not None
    after({"pair_loss": torch.tensor(loss)})
    assert tightness.factor.item() == pytest.approx(bound)


def test_the_critics_loss_is_that_of_a_game_of_pairs() -> None:
    real, fake = torch.randn(2, 7)
    watched = Tightness(0.6).watch(real, fake)
    assert watched["pair_loss"].mean().item() == pytest.approx(OBJECTIVES["relativistic"].critic(real, fake).item())
    assert watched["penalty_factor"].tolist() == [1.0] * 7


def test_what_was_watched_stays_as_it_was() -> None:
    tightness = Tightness(0.6)
    watched, after = tightness.watch(torch.ones(3), torch.zeros(3)), tightness.adapt(samples=64)
    assert after is not None
    after({"pair_loss": torch.tensor(0.1)})
    assert watched["penalty_factor"].tolist() == [1.0] * 3
    assert tightness.factor > 1


def test_without_a_target_nothing_is_watched_and_nothing_moves() -> None:
    tightness = Tightness(0.0)
    assert tightness.adapt(samples=50) is None
    assert not tightness.watch(torch.ones(3), torch.zeros(3))
