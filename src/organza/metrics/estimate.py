"""A number with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Estimate:
    """A measured value; the true one lies within two standard errors of it about 19 times in 20."""

    value: float
    """The estimate."""
    standard_error: float
    """Standard deviation of the estimate, >= 0, in the unit of the value."""
