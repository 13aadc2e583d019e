"""Illnesses of the balance between the two players."""

from __future__ import annotations

from organza.doctor.diversity import WIDE
from organza.doctor.finding import Change, Evidence, Finding
from organza.doctor.history import History, Row, mean, median, number
from organza.doctor.remedies import gentler_critic, penalise, steadier, stronger

SURE = 0.98
FAINT = 0.1
RESTLESS = 0.6


def discriminator_wins(history: History) -> Finding | None:
    """The critic is sure of nearly every sample, and hardly any gradient reaches the generator.

    Source: Goodfellow et al. 2014, section 3; Arjovsky and Bottou 2017 (arXiv:1701.04862), theorem 2.4.
    """

    def sick(row: Row) -> bool | None:
        sides = number(row.get("real_accuracy")), number(row.get("fake_accuracy"))
        return None if None in sides else min(side for side in sides if side is not None) > SURE

    period = history.lasting(sick, rows=history.rows, times=max(5, len(history.rows) // 8))
    if period is None:
        return None
    norms = [norm for row in history.rows if (norm := number(row.get("grad_norm/generator"))) is not None]
    now, most = median(norms[-5:] or [0.0]), max(norms, default=0.0)
    faint = now < FAINT * most
    accuracy = mean(history.recent("real_accuracy", 5) + history.recent("fake_accuracy", 5))
    distance, best = history.recent("health/distance", 3), history.best("health/distance")
    learning = bool(distance) and distance[-1] <= 1.1 * best and distance[-1] < 0.5 * history.first("health/distance")
    collapsed = (history.recent("health/spread", 1) or [1.0])[0] < WIDE
    if not faint and (learning or collapsed):
        return None
    return Finding(
        name="discriminator_wins",
        title="the critic wins" + (" and the generator's gradient vanishes" if faint else ""),
        level="error",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("share of samples that the critic tells rightly", accuracy, SURE, "0.5 to 0.95"),
            Evidence("generator's gradient norm relative to its largest", now / max(most, 1e-12), FAINT, "above 0.1"),
        ),
        why="It tells real from fake nearly always, so its score no longer says which way better samples lie.",
        change=gentler_critic(history),
    )


def generator_wins(history: History) -> Finding | None:
    """The critic scores fakes above real samples, or cannot tell them apart though they are far apart."""

    def sick(row: Row) -> bool | None:
        distance, floor = number(row.get("health/distance")), number(row.get("health/floor"))
        gap, width = number(row.get("health/gap")), number(row.get("health/score_spread"))
        if distance is None or floor is None or gap is None or width is None:
            return None
        return gap < 0.2 * width and distance > 4 * floor

    period = history.lasting(sick, rows=history.exams)
    if period is None:
        return None
    gaps, widths = history.recent("health/gap", 3), history.recent("health/score_spread", 3)
    ratio = mean([gap / max(width, 1e-12) for gap, width in zip(gaps, widths, strict=False)])
    far = mean(history.recent("health/distance", 3)) / max(mean(history.recent("health/floor", 3)), 1e-12)
    return Finding(
        name="generator_wins",
        title="the generator fools a critic that cannot keep up",
        level="error",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("lead of real over fake scores, in standard deviations of the scores", ratio, 0.2, "0.5 to 1.9"),
            Evidence("distance of the fakes to the data, relative to real against real", far, 4.0, "below 4"),
        ),
        why="Fakes are plainly not like the data, and the critic does not see it, so nothing is learned from it.",
        change=stronger(history, "critic"),
    )


def oscillation(history: History) -> Finding | None:
    """The samples keep changing as much as they differ from one another, and come no closer to the data.

    Source: Goodfellow 2016 (arXiv:1701.00160), section 5.1; Mescheder et al. 2018 (arXiv:1801.04406).
    """
    drifts = [(row, drift) for row in history.exams if (drift := number(row.get("health/drift"))) is not None]
    restless = [drift > RESTLESS for _, drift in drifts]
    if len(restless) < 6 or sum(restless[-6:]) < 5:
        return None
    calm = max((index for index, state in enumerate(restless[:-6]) if not state), default=-1)
    period = int(drifts[calm + 1][0]["samples"]), int(drifts[-1][0]["samples"])
    distances = [value for row in history.exams if (value := number(row.get("health/distance"))) is not None]
    floor = max(mean(history.recent("health/floor", 1)), 1e-12)
    half = len(distances) // 2
    early, late = median(distances[:half]), median(distances[half:])
    if late < 0.8 * early or late < 3 * floor:
        return None
    return Finding(
        name="oscillation",
        title="the players circle without progress",
        level="warning",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("change of samples from the same latents", mean(history.recent("health/drift", 4)),
                     RESTLESS, "below 0.4, and falling"),
            Evidence("distance of the later half relative to the earlier", late / early, 0.8, "falling"),
        ),
        why="Each player undoes what the other has just done: the samples move, but not towards the data.",
        change=steadier(history),
    )  # fmt: skip


def exploding_scores(history: History) -> Finding | None:
    """The critic's scores grow without bound, as they do where little keeps it from being steep.

    Where its weights are clipped they cannot, and how large they are says nothing.

    Source: Arjovsky et al. 2017 (arXiv:1701.07875), section 3: the critic has to be Lipschitz.
    """

    def size(row: Row) -> float | None:
        sides = number(row.get("real_score")), number(row.get("fake_score"))
        return max((abs(side) for side in sides if side is not None), default=None)

    def sick(row: Row) -> bool | None:
        now = size(row)
        return None if now is None else now > 50

    period = history.lasting(sick, rows=history.rows, times=5)
    if period is None or history.fields.get("clip"):
        return None
    sizes = [value for row in history.rows if (value := size(row)) is not None]
    return Finding(
        name="exploding_scores",
        title="the critic's scores explode",
        level="error",
        since=period[0],
        until=period[1],
        evidence=(Evidence("mean score, absolute", sizes[-1], 50, "below 20"),),
        why="Nothing keeps the critic from being as steep as it likes, so scores and gradients grow with every step.",
        change=penalise(history),
    )


def dead_discriminator(history: History) -> Finding | None:
    """The critic gives every sample the same score: no gradient passes through it."""

    def sick(row: Row) -> bool | None:
        width = number(row.get("health/score_spread"))
        return None if width is None else width < 1e-4

    period = history.lasting(sick, rows=history.exams, times=2)
    if period is None:
        return None
    return Finding(
        name="dead_discriminator",
        title="the critic is dead",
        level="error",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("standard deviation of its scores", mean(history.recent("health/score_spread", 2)), 1e-4, "O(1)"),
            Evidence("its gradient norm", mean(history.recent("grad_norm/critic", 2) or [0.0]), 1e-7, "O(1)"),
        ),
        why="It gives every sample the same score, whatever it sees: its units are saturated or never move.",
        change=Change(
            {"critic_activation": "leaky_relu"} if "critic_activation" in history.fields else {},
            advice="use leaky ReLU in the critic, a smaller step size for it, and another seed or initialiser",
        ),
    )
