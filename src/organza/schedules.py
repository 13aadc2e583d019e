"""Schedules: functions of the clock. Units are shares of the budget (`progress`), so any training length fits."""

from __future__ import annotations

import math

from organza.game import Clock, Schedule


def constant(value: float) -> Schedule:
    """Always `value`."""
    return lambda clock: value


def linear(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """From `start` to `end` in a straight line between the progress marks `begin` and `finish`; flat outside."""

    def value(clock: Clock) -> float:
        share = (clock.progress - begin) / max(finish - begin, 1e-12)
        return start + (end - start) * min(max(share, 0.0), 1.0)

    return value


def cosine(start: float, end: float, *, begin: float = 0.0, finish: float = 1.0) -> Schedule:
    """From `start` to `end` along half a cosine between the progress marks `begin` and `finish`; flat outside."""

    def value(clock: Clock) -> float:
        share = min(max((clock.progress - begin) / max(finish - begin, 1e-12), 0.0), 1.0)
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

    return value


def fading(schedule: Schedule, *, samples: float) -> Schedule:
    """The schedule divided by the root of how many times `samples` have been seen, once they have; 0: never.

    What suits a short run is too large in a long one, where weights must come to rest; the budget need not be known.

    Source: Karras et al. 2024 (arXiv:2312.02696), whose rates fall so.
    """
    if not samples:
        return schedule
    return lambda clock: schedule(clock) / math.sqrt(max(1.0, clock.samples / samples))


def ramp(value: float, *, samples: int) -> Schedule:
    """From 0 to `value` over the first `samples` samples, then flat: warm-up."""
    return lambda clock: value * min(1.0, clock.samples / max(samples, 1))
