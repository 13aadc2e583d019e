"""What scores and losses mean in each adversarial game: where it settles, and what may be read from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, final

from organza.report.timeline import Row, keys


@final
@dataclass(frozen=True, kw_only=True)
class Objective:
    """How to read one adversarial loss."""

    name: str
    is_probability: bool = False
    """Whether sigmoid(score) is the critic's probability that a sample is real."""
    has_zero: bool = True
    """Whether a score above 0 means `real`; elsewhere only the gap between scores counts."""
    critic_level: float | None = None
    """The critic's loss where it can only guess."""
    generator_level: float | None = None
    """The generator's loss there."""
    levels: str = ""
    """Both levels in words, as a clause."""
    scores: str = ""
    """How to read the mean raw scores, where they are no probabilities."""


MARGIN = (
    "The critic pushes real scores above +1 and fake scores below −1; lines that draw near each other and to 0 mean "
    "that it can no longer tell them apart, lines that part for good mean that it is winning."
)
TARGETS = (
    "The critic pulls real scores to 1 and fake scores to 0; where it can only guess both sit at 0.5, and lines that "
    "stay near 1 and 0 mean that it is winning."
)
GAP = (
    "Only the gap between the two lines counts in this game, for the scores have no fixed zero: a gap that narrows "
    "says that fakes come closer to real data, and both lines drifting together is harmless."
)
OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            name="nonsaturating",
            is_probability=True,
            critic_level=2 * log(2),
            generator_level=log(2),
            levels="a critic that can only guess has a loss of 2 ln 2 = 1.39 and leaves the generator at ln 2 = 0.69",
        ),
        Objective(
            name="minimax",
            is_probability=True,
            critic_level=2 * log(2),
            generator_level=-log(2),
            levels="a critic that can only guess has a loss of 2 ln 2 = 1.39 and leaves the generator at −ln 2 = −0.69",
        ),
        Objective(
            name="least_squares",
            has_zero=False,
            critic_level=0.25,
            generator_level=0.125,
            levels="a critic that can only guess has a loss of 0.25 and leaves the generator at 0.125",
            scores=TARGETS,
        ),
        Objective(
            name="hinge",
            critic_level=2.0,
            generator_level=0.0,
            levels="a critic that can only guess has a loss of 2, one that is sure of everything a loss of 0",
            scores=MARGIN,
        ),
        Objective(
            name="wasserstein",
            has_zero=False,
            levels="here the critic's loss, sign turned, estimates a distance to real data: its way to 0 is progress",
            scores=GAP,
        ),
        Objective(
            name="relativistic",
            has_zero=False,
            critic_level=log(2),
            generator_level=log(2),
            levels="where the critic can only guess both losses are ln 2 = 0.69",
            scores=GAP,
        ),
    )
}
UNKNOWN = Objective(name="", is_probability=True)
"""For a recipe of the user's own: scores are shown as probabilities, no level is drawn."""


def objective_of(config: dict[str, Any], rows: Sequence[Row]) -> Objective:
    """The adversarial loss of a run, from the recipe's field `loss` or else from the names of its terms."""
    recipe = config.get("recipe")
    fields = recipe.get("fields") if isinstance(recipe, dict) else None
    named = fields.get("loss") if isinstance(fields, dict) else None
    terms = [key.rpartition("/")[2] for key in keys(rows, "loss/")]
    return next((OBJECTIVES[name] for name in (named, *terms) if isinstance(name, str) and name in OBJECTIVES), UNKNOWN)
