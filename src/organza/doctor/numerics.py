"""Illnesses of steps and terms: numbers that are not finite, penalties, step sizes."""

from __future__ import annotations

from organza.doctor.finding import Change, Evidence, Finding
from organza.doctor.history import History, Row, mean, median, number
from organza.doctor.remedies import RATES, back, lighter_penalty, pick, slower

ADVERSARIAL = {"minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"}


def non_finite(history: History) -> Finding | None:
    """Steps were refused because a loss or a gradient was not finite."""
    failed = [row for row in history.rows if row.get("failed")]
    if not failed or sum(1 for row in history.rows if row["samples"] > failed[-1]["samples"]) > 10:
        return None
    return Finding(
        name="non_finite",
        title="losses or gradients are not finite",
        level="error",
        since=int(failed[0]["samples"]),
        until=int(failed[-1]["samples"]),
        evidence=(Evidence("refused steps", float(len(failed)), 0.0, "none"),),
        why=f"{failed[-1]['failed'].capitalize()}.",
        change=slower(history),
    )


def penalty_disconnected(history: History) -> Finding | None:
    """A penalty has a value but no gradient: it is computed, and trains nothing.

    Compiled code that drops second derivatives does this, or a penalty on a detached score.
    """
    for pull, term in penalties(history):

        def sick(row: Row, pull: str = pull, term: str = term) -> bool | None:
            force, value = number(row.get(pull)), number(row.get(term))
            return None if force is None or value is None else abs(value) > 1e-9 and force < 1e-9

        period = history.lasting(sick, rows=history.exams, times=2)
        if period is not None:
            name = pull.rpartition("/")[2]
            return Finding(
                name="penalty_disconnected",
                title=f"the penalty {name} is disconnected from the weights",
                level="error",
                since=period[0],
                until=period[1],
                evidence=(
                    Evidence(f"value of {name}", history.recent(term, 1)[-1], 1e-9, "above 0"),
                    Evidence("norm of its gradient", history.recent(pull, 1)[-1], 1e-9, "above 0"),
                ),
                why="It has a value, but its gradient on the critic's weights is zero: it regularises nothing.",
                change=Change(advice="compute the penalty with create_graph=True on scores that are not detached, and "
                              "train it without --compile"),
            )  # fmt: skip
    return None


def penalty_dominates(history: History) -> Finding | None:
    """A penalty pulls at the critic far more strongly than the game does."""
    for pull, _ in penalties(history):
        turn = pull.split("/")[2]
        own = [key for key in keys(history, f"health/pull/{turn}/") if key.rpartition("/")[2] in ADVERSARIAL]

        def sick(row: Row, pull: str = pull, own: list[str] = own) -> bool | None:
            force, game = number(row.get(pull)), sum(number(row.get(key)) or 0.0 for key in own)
            gap, width = number(row.get("health/gap")), number(row.get("health/score_spread"))
            return None if force is None or gap is None or width is None else force > 2.5 * game and gap < 0.5 * width

        period = history.lasting(sick, rows=history.exams) if own else None
        if period is not None:
            name = pull.rpartition("/")[2]
            force = mean(history.recent(pull, 3))
            game = sum(mean(history.recent(key, 3)) for key in own)
            return Finding(
                name="penalty_dominates",
                title=f"the penalty {name} drowns the game",
                level="warning",
                since=period[0],
                until=period[1],
                evidence=(
                    Evidence(f"pull of {name} relative to that of the game", force / max(game, 1e-12), 2.5, "below 1"),
                    Evidence(
                        "lead of real over fake scores",
                        mean(history.recent("health/gap", 3)),
                        0.5 * mean(history.recent("health/score_spread", 3)),
                        "above 0.2",
                    ),
                ),
                why="The critic is kept so flat that it cannot tell real from fake, so the generator learns little.",
                change=lighter_penalty(history),
            )
    return None


def rate_too_high(history: History) -> Finding | None:
    """A step changes the weights by several per cent of their size, or did so once and ruined the run.

    A critic whose weights are clipped is left out: its box bounds them, so large steps bring it no further.
    """
    clipped = "critic" if history.fields.get("clip") else ""

    def sick(row: Row) -> bool | None:
        steps = steps_of(row, without=clipped)
        return max(steps) > 0.07 if steps else None

    period = history.lasting(sick, rows=history.exams)
    thrown = [int(row["samples"]) for row in history.exams if max(steps_of(row, without=clipped), default=0.0) > 0.3]
    if period is None and thrown and history.is_far(4):
        period = thrown[0], thrown[-1]
    return step_size(
        history,
        period,
        name="rate_too_high",
        threshold=0.07,
        healthy="0.0001 to 0.02",
        why="Each step throws the weights about, so neither player can build on what it has learned.",
        change=slower(history),
    )


def rate_too_low(history: History) -> Finding | None:
    """The weights of all players hardly move, and the samples stay far from the data."""

    def sick(row: Row) -> bool | None:
        steps, drift = steps_of(row), number(row.get("health/drift"))
        return None if not steps or drift is None else max(steps) < 5e-5 and drift < 0.1

    quickest = max((step for row in history.exams for step in steps_of(row)), default=0.0)
    if quickest > 1e-3 or not history.is_far(3):  # it has moved before, or need not move any more
        return None
    return step_size(
        history,
        history.lasting(sick, rows=history.exams),
        name="rate_too_low",
        threshold=5e-5,
        healthy="0.0001 to 0.02",
        why="The weights hardly move: at this pace training would take for ever.",
        change=pick(
            history,
            back(history, *RATES.values()) or {name: 2e-3 for name in RATES.values()},
            "raise the step sizes a hundredfold",
        ),
    )


def step_size(
    history: History,
    period: tuple[int, int] | None,
    *,
    name: str,
    threshold: float,
    healthy: str,
    why: str,
    change: Change,
) -> Finding | None:
    """A finding about the relative size of the players' steps, if there is a period."""
    if period is None:
        return None
    return Finding(
        name=name,
        title=f"the step sizes are {name.replace('rate_', '').replace('_', ' ')}",
        level="error" if name == "rate_too_high" else "warning",
        since=period[0],
        until=period[1],
        evidence=tuple(
            Evidence(f"change of the {player}'s weights in one step, as a share", median(values), threshold,
                     healthy)
            for player in ("generator", "critic")
            if (values := history.between(f"health/step/{player}", period))
        ),
        why=why,
        change=change,
    )  # fmt: skip


def steps_of(row: Row, *, without: str = "") -> list[float]:
    """The relative step sizes that an examination found, of all players but one."""
    found = {key.removeprefix("health/step/"): number(row[key]) for key in row if key.startswith("health/step/")}
    return [step for name, step in found.items() if step is not None and name != without]


def penalties(history: History) -> list[tuple[str, str]]:
    """Columns of the pull and the value of each term that is no adversarial loss."""
    pulls = [key for key in keys(history, "health/pull/") if key.rpartition("/")[2] not in ADVERSARIAL]
    return [(key, key.replace("health/pull/", "health/term/")) for key in pulls]


def keys(history: History, prefix: str) -> list[str]:
    """Columns of the newest two examinations that begin so: not each of them looks at everything."""
    return list(dict.fromkeys(key for row in history.exams[-2:] for key in row if key.startswith(prefix)))
