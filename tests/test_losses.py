"""Adversarial losses against closed forms and torch's own cross entropy."""

from __future__ import annotations

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import mse_loss, softplus

from organza import losses
from organza.losses import OBJECTIVES, Objective

REAL = torch.tensor([1.5, -0.5, 3.0, 0.25])
FAKE = torch.tensor([-2.0, 0.5, 1.0, -0.75])
objectives = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


def test_a_critic_that_cannot_tell_pays_two_ln_2() -> None:
    zero = torch.zeros(5)
    assert losses.cross_entropy_critic(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert losses.nonsaturating_generator(zero, zero).item() == pytest.approx(math.log(2))
    assert losses.relativistic_critic(zero, zero).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("smooth", [0.0, 0.1, 0.5])
def test_one_sided_smoothing_is_cross_entropy_with_the_real_target_lowered(smooth: float) -> None:
    expected = cross_entropy(REAL, torch.full_like(REAL, 1 - smooth)) + cross_entropy(FAKE, torch.zeros_like(FAKE))
    torch.testing.assert_close(losses.cross_entropy_critic(REAL, FAKE, smooth=smooth), expected)


def test_the_two_generators_of_the_original_game_are_cross_entropies() -> None:
    torch.testing.assert_close(losses.minimax_generator(REAL, FAKE), -softplus(FAKE).mean())
    torch.testing.assert_close(losses.minimax_generator(REAL, FAKE), -cross_entropy(FAKE, torch.zeros_like(FAKE)))
    torch.testing.assert_close(losses.nonsaturating_generator(REAL, FAKE), cross_entropy(FAKE, torch.ones_like(FAKE)))


def test_least_squares_is_half_the_mean_squared_error_to_one_and_zero() -> None:
    expected = (mse_loss(REAL, torch.full_like(REAL, 0.9)) + mse_loss(FAKE, torch.zeros_like(FAKE))) / 2
    torch.testing.assert_close(losses.least_squares_critic(REAL, FAKE, smooth=0.1), expected)
    torch.testing.assert_close(losses.least_squares_generator(REAL, FAKE), mse_loss(FAKE, torch.ones_like(FAKE)) / 2)


def test_hinge_by_hand() -> None:
    # Real 1.5, -0.5, 3, 0.25 miss the margin by 0, 1.5, 0, 0.75; fake -2, 0.5, 1, -0.75 by 0, 1.5, 2, 0.25.
    assert losses.hinge_critic(REAL, FAKE).item() == pytest.approx(2.25 / 4 + 3.75 / 4)
    assert losses.hinge_critic(REAL, FAKE, smooth=0.25).item() == pytest.approx((1.25 + 0.5) / 4 + 3.75 / 4)
    assert OBJECTIVES["hinge"].generator is losses.wasserstein_generator


def test_wasserstein_is_the_difference_of_the_means() -> None:
    assert losses.wasserstein_critic(REAL, FAKE).item() == pytest.approx(-0.3125 - 1.0625)
    assert losses.wasserstein_generator(REAL, FAKE).item() == pytest.approx(0.3125)


def test_relativistic_pairs_by_hand_and_each_side_mirrors_the_other() -> None:
    expected = sum(math.log1p(math.exp(f - r)) for r, f in zip(REAL.tolist(), FAKE.tolist(), strict=True)) / 4
    assert losses.relativistic_critic(REAL, FAKE).item() == pytest.approx(expected)
    assert torch.equal(losses.relativistic_generator(REAL, FAKE), losses.relativistic_critic(FAKE, REAL))


def test_relativistic_losses_do_not_see_a_constant_added_to_both_scores() -> None:
    for loss in (losses.relativistic_critic, losses.relativistic_generator):
        torch.testing.assert_close(loss(REAL + 8, FAKE + 8), loss(REAL, FAKE))


def test_the_nonsaturating_gradient_is_strong_where_the_minimax_one_has_vanished() -> None:
    def slope(loss: losses.GeneratorLoss) -> float:
        score = torch.tensor([-20.0], requires_grad=True)
        return torch.autograd.grad(loss(score, score), score)[0].item()

    assert abs(slope(losses.minimax_generator)) < 1e-8
    assert slope(losses.nonsaturating_generator) == pytest.approx(-1.0)


@objectives
def test_scores_in_bf16_are_computed_in_float32(objective: Objective) -> None:
    real, fake = REAL.bfloat16(), FAKE.bfloat16()
    for loss in (objective.critic, objective.generator):
        assert loss(real, fake).dtype == torch.float32
        assert torch.equal(loss(real, fake), loss(real.float(), fake.float()))


@objectives
def test_only_objectives_that_say_so_read_real_scores_or_smooth(objective: Objective) -> None:
    assert torch.equal(objective.generator(REAL, FAKE), objective.generator(REAL + 1, FAKE)) != objective.needs_real
    assert torch.equal(objective.critic(REAL, FAKE), objective.critic(REAL, FAKE, smooth=0.1)) != objective.smooths


@objectives
def test_the_critic_wants_real_above_fake_and_the_generator_wants_fake_higher(objective: Objective) -> None:
    def slopes(loss: losses.CriticLoss) -> tuple[Tensor, ...]:
        real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
        return torch.autograd.grad(loss(real, fake), [real, fake], materialize_grads=True)

    on_real, on_fake = slopes(objective.critic)
    assert (on_real < 0).all()
    assert (on_fake > 0).all() or objective.critic is losses.least_squares_critic  # fake scores are at their target, 0
    assert (slopes(objective.generator)[1] < 0).all()


@objectives
def test_watched_scores_keep_their_gaps_and_a_game_of_pairs_puts_0_midway(objective: Objective) -> None:
    watched = objective.watch(REAL + 50, FAKE + 50)
    real, fake = watched["real_score"], watched["fake_score"]
    torch.testing.assert_close(real - fake, REAL - FAKE)
    if objective.needs_real:
        assert (real.mean() + fake.mean()).item() == pytest.approx(0, abs=1e-5)
    else:
        torch.testing.assert_close(real, REAL + 50 - objective.neutral)


@objectives
def test_a_critic_that_is_content_with_undecided_scores_sees_no_lead(objective: Objective) -> None:
    undecided = torch.full((4,), objective.neutral, requires_grad=True)
    assert not objective.lead(undecided, undecided).any()
    slope = torch.autograd.grad(objective.critic(undecided, undecided, smooth=0.0), undecided)[0]
    torch.testing.assert_close(slope, torch.zeros(4), msg="real and fake pull alike there")
    assert (objective.lead(undecided + 1, undecided) > 0).all()


def test_annotations_are_checked_in_this_suite() -> None:
    with pytest.raises(TypeCheckError):
        losses.hinge_critic(torch.tensor([1]), FAKE)
