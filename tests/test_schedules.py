"""Schedules: ends, middles and flat outsides."""

from __future__ import annotations

import math

import pytest

from organza.game import Clock, Schedule
from organza.schedules import constant, cosine, fading, linear, ramp


def at(schedule: Schedule, *progress: float) -> list[float]:
    return [schedule(Clock(progress=share)) for share in progress]


def test_constant_is_constant() -> None:
    assert at(constant(3.0), 0, 0.5, 1) == [3.0, 3.0, 3.0]


def test_linear_is_a_line_between_its_marks_and_flat_outside() -> None:
    assert at(linear(1.0, 3.0), 0, 0.25, 0.5, 1) == [1.0, 1.5, 2.0, 3.0]
    assert at(linear(1.0, 3.0, begin=0.2, finish=0.4), 0, 0.2, 0.4, 1) == [1.0, 1.0, 3.0, 3.0]
    assert at(linear(1.0, 3.0, begin=0.2, finish=0.4), 0.3) == pytest.approx([2.0])


def test_cosine_is_half_a_cosine_between_its_marks_and_flat_outside() -> None:
    assert at(cosine(2.0, 0.0), 0, 0.5, 1) == pytest.approx([2.0, 1.0, 0.0])
    assert at(cosine(2.0, 0.0), 1 / 3) == pytest.approx([1 + math.cos(math.pi / 3)])
    assert at(cosine(2.0, 1.0, begin=0.5, finish=0.75), 0, 0.5, 0.75, 1) == pytest.approx([2.0, 2.0, 1.0, 1.0])


@pytest.mark.parametrize("schedule", [linear(1.0, 2.0, begin=0.5, finish=0.5), cosine(1.0, 2.0, begin=0.5, finish=0.5)])
def test_marks_that_coincide_are_a_jump(schedule: Schedule) -> None:
    assert at(schedule, 0.4, 0.6) == [1.0, 2.0]


def test_a_ramp_counts_samples_whatever_the_budget() -> None:
    warm_up = ramp(4.0, samples=100)
    assert [warm_up(Clock(samples=seen, progress=0.9)) for seen in (0, 25, 100, 1_000)] == [0.0, 1.0, 4.0, 4.0]
    assert ramp(4.0, samples=0)(Clock(samples=1)) == 4.0


def test_a_fading_schedule_falls_as_the_root_of_the_samples_once_so_many_are_seen() -> None:
    faded = fading(constant(3.0), samples=100)
    assert [faded(Clock(samples=seen)) for seen in (0, 100, 400, 900)] == pytest.approx([3.0, 3.0, 1.5, 1.0])
    assert fading(constant(3.0), samples=0)(Clock(samples=10**9)) == 3.0
