"""Illnesses of variety: too few kinds of samples, or too few samples of a kind."""

from __future__ import annotations

import math

from organza.doctor.finding import Evidence, Finding
from organza.doctor.history import History, Row, mean, number
from organza.doctor.remedies import varied

WIDE = 0.5
DISTINCT = 0.25
PRESENT = 0.05


def mode_collapse(history: History) -> Finding | None:
    """The fakes of one moment are nearly all alike.

    Source: Goodfellow 2016 (arXiv:1701.00160), section 5.1.1 (the Helvetica scenario).
    """

    def sick(row: Row) -> bool | None:
        spread, kinds = number(row.get("health/spread")), kinds_of(history, row)
        return None if spread is None else spread < WIDE or (kinds is not None and kinds < 0.25)

    period = history.lasting(sick, rows=history.exams)
    if period is None:
        return None
    last = history.exams[-1]
    spread, kinds = number(last.get("health/spread")) or 0.0, kinds_of(history, last)
    evidence = [Evidence("spread of the fakes relative to real samples", spread, WIDE, "0.8 to 1.2")]
    if kinds is not None:
        evidence.append(Evidence("groups of real samples that the fakes reach, as a share", kinds, 0.25, "above 0.9"))
    return Finding(
        name="mode_collapse",
        title="the generator has collapsed",
        level="error",
        since=period[0],
        until=period[1],
        evidence=tuple(evidence),
        why="Whatever the latent, it makes the same few samples: the ones that fool this moment's critic.",
        change=varied(history),
    )


def missing_modes(history: History) -> Finding | None:
    """Groups of the data that the fakes hardly ever reach: partial collapse.

    Over three examinations a group counts as missing if it gets less than a twentieth of its share, and its share is
    large enough for at least 12 fakes.
    """
    exams = [
        row
        for row in history.exams
        if row.get("health/counts") and row.get("health/shares") and is_like_data(history, row)
    ]

    def absent(upto: int) -> set[int]:
        part = exams[max(0, upto - 3) : upto]
        counts = [sum(values) for values in zip(*(row["health/counts"] for row in part), strict=True)]
        total = sum(counts)
        shares = part[-1]["health/shares"]
        return {
            index
            for index, (count, share) in enumerate(zip(counts, shares, strict=True))
            if share * total >= 12 and count < PRESENT * share * total
        }

    if len(exams) < 5 or mode_collapse(history) is not None:  # which says it all
        return None
    gone = absent(len(exams)) & absent(len(exams) - 1) & absent(len(exams) - 2)
    if not gone:
        return None
    since = next(
        (index for index in range(len(exams) - 1, 2, -1) if not gone <= absent(index)),
        2,
    )
    last = exams[-1]
    counts, shares = last["health/counts"], last["health/shares"]
    names = [name_of(history, index) for index in sorted(gone)]
    return Finding(
        name="missing_modes",
        title=f"the generator leaves out {listing(names)}",
        level="warning" if len(gone) <= 0.3 * len(shares) else "error",
        since=int(exams[since]["samples"]),
        until=int(last["samples"]),
        evidence=tuple(
            Evidence(
                f"share of {name_of(history, index)} among the fakes",
                counts[index] / max(sum(counts), 1),
                PRESENT * shares[index],
                f"about {shares[index]:.2f}, as in the data",
            )
            for index in sorted(gone)[:8]
        ),
        why="Some of the data is never made: the critic no longer sends the generator there.",
        change=varied(history),
    )


def sameness(history: History) -> Finding | None:
    """Fakes come in near copies of one another, though together they spread as wide as the data.

    A conditional generator that ignores its latent does this: one sample per class.
    """

    def sick(row: Row) -> bool | None:
        twin, spread = number(row.get("health/twin")), number(row.get("health/spread"))
        return None if twin is None or spread is None else twin < DISTINCT and spread >= WIDE

    period = history.lasting(sick, rows=history.exams)
    if period is None:
        return None
    return Finding(
        name="sameness",
        title="the fakes of a batch are near copies of one another",
        level="warning",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("distance to the most similar other fake, relative to real samples",
                     mean(history.recent("health/twin", 3)), DISTINCT, "0.6 to 1.2"),
            Evidence("spread of all fakes relative to real samples",
                     mean(history.recent("health/spread", 3)), WIDE, "0.8 to 1.2"),
        ),
        why="The latent hardly matters: there are a few prototypes, and every fake is one of them.",
        change=varied(history),
    )  # fmt: skip


def kinds_of(history: History, row: Row) -> float | None:
    """The effective number of groups among the fakes relative to that of the data: exp of the entropies."""
    counts, shares = row.get("health/counts"), row.get("health/shares")
    if not is_like_data(history, row):
        return None
    if not isinstance(counts, list) or not isinstance(shares, list) or len(shares) < 4 or not sum(counts):
        return None
    return effective([count / sum(counts) for count in counts]) / effective(shares)


def is_like_data(history: History, row: Row) -> bool:
    """Whether the fakes are near enough to the data for their classes to mean anything; noise has one, too."""
    nearness = number(row.get("health/nearness"))
    return nearness is None or nearness < 1.7 or history.config.get("spec", {}).get("kind") == "vector"


def effective(shares: list[float]) -> float:
    """Exp of the entropy: how many equal groups would be as varied."""
    return math.exp(-sum(share * math.log(share) for share in shares if share > 0))


def name_of(history: History, index: int) -> str:
    """A class by its name, a cluster by its number."""
    return f"{history.classes[index]!r}" if index < len(history.classes) else f"cluster {index}"


def listing(names: list[str]) -> str:
    """`a, b and c`; long lists are cut."""
    if len(names) > 6:
        names = [*names[:5], f"{len(names) - 5} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
