"""Every illness the doctor knows, the surest signs first: where several speak, the first is the likeliest cause."""

from __future__ import annotations

from collections.abc import Callable

from organza.doctor import balance, diversity, numerics, overfitting, plumbing
from organza.doctor.finding import Finding
from organza.doctor.history import History

Detector = Callable[[History], Finding | None]

CATALOGUE: tuple[Detector, ...] = (
    numerics.non_finite,
    plumbing.range_mismatch,
    numerics.penalty_disconnected,
    balance.dead_discriminator,
    numerics.rate_too_high,
    balance.exploding_scores,
    numerics.rate_too_low,
    numerics.penalty_dominates,
    plumbing.batch_statistics,
    plumbing.average_lags,
    overfitting.augmentation_leak,
    overfitting.memorisation,
    overfitting.discriminator_overfits,
    balance.discriminator_wins,
    balance.generator_wins,
    diversity.mode_collapse,
    balance.oscillation,
    diversity.sameness,
    diversity.missing_modes,
    plumbing.label_imbalance,
    plumbing.data_bound,
)


AT_ONCE = {
    numerics.non_finite,
    numerics.penalty_disconnected,
    numerics.rate_too_high,
    balance.dead_discriminator,
    plumbing.label_imbalance,
}
"""Illnesses that show at once; the others wait until the players have had time to learn something."""


def diagnose(history: History) -> list[Finding]:
    """What is wrong with a run as it stands, likeliest cause first."""
    asked = [detector for detector in CATALOGUE if history.is_warm or detector in AT_ONCE]
    return [finding for detector in asked if (finding := detector(history)) is not None]
