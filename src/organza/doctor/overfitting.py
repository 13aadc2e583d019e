"""Illnesses of too little data: the critic, or the generator, knows the training samples by heart."""

from __future__ import annotations

from organza.doctor.finding import Change, Evidence, Finding
from organza.doctor.history import History, Row, mean, number
from organza.doctor.remedies import penalise, rarer

LEAKED = 0.6
OFTEN = 0.3
"""The share of images that an augmentation must act on to be learned; below it, fakes only look changed by chance."""


def discriminator_overfits(history: History) -> Finding | None:
    """The critic scores unseen real samples like fakes: it recognises the training samples, not what is real.

    r_v = (E D(seen) - E D(unseen)) / (E D(seen) - E D(fake)): 0 where it generalises, 1 where it has memorised.

    Source: Karras et al. 2020, ADA (arXiv:2006.06676), Eq. 1; Brock et al. 2018 (arXiv:1809.11096), section 4.2.
    """

    def memorised(row: Row) -> float | None:
        seen, unseen = number(row.get("health/gap")), number(row.get("health/gap_unseen"))
        width = number(row.get("health/score_spread"))
        if seen is None or unseen is None or width is None:
            return None
        return (seen - unseen) / seen if seen > 0.2 * width else 0.0

    def sick(row: Row) -> bool | None:
        share = memorised(row)
        return None if share is None else share > 0.4

    period = history.lasting(sick, rows=history.exams)
    if period is None:
        return None
    shares = [share for row in history.exams[-3:] if (share := memorised(row)) is not None]
    return Finding(
        name="discriminator_overfits",
        title="the critic knows the training samples by heart",
        level="error",
        since=period[0],
        until=period[1],
        evidence=(Evidence("share of its lead that unseen real samples lose (r_v)", mean(shares), 0.4, "below 0.2"),),
        why="Unseen real samples score much like fakes, so its advice to the generator is about single pictures.",
        change=penalise(history),
    )


def memorisation(history: History) -> Finding | None:
    """Fakes lie nearer to training samples than unseen real samples do: they are copies.

    Source: Meehan et al. 2020 (arXiv:2004.05675): the same comparison as a test statistic.
    """

    def sick(row: Row) -> bool | None:
        nearness = number(row.get("health/nearness"))
        return None if nearness is None else nearness < 0.5

    period = history.lasting(sick, rows=history.exams)
    if period is None:
        return None
    return Finding(
        name="memorisation",
        title="the generator copies training samples",
        level="error",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("distance to the nearest training sample, relative to unseen real samples",
                     mean(history.recent("health/nearness", 3)), 0.5, "0.8 to 1.5"),
        ),
        why="Fakes are nearer to the training data than unseen real samples: they are near copies.",
        change=Change(advice="train on more data, stop earlier, or take an earlier checkpoint, and look at the "
                      "nearest neighbours in the report"),
    )  # fmt: skip


def augmentation_leak(history: History) -> Finding | None:
    """The fakes look as if they had been augmented: the generator has learned what only the critic should see.

    Source: Karras et al. 2020, ADA (arXiv:2006.06676), section 2.2.
    """
    columns = sorted({key for row in history.exams[-3:] for key in row if key.startswith("health/leak/")})
    periods: dict[str, tuple[int, int]] = {}
    for column in columns:

        def sick(row: Row, column: str = column) -> bool | None:
            leaked, acts_on = number(row.get(column)), number(row.get("augment_share"))
            return None if leaked is None else leaked > LEAKED and (acts_on is None or acts_on > OFTEN)

        period = history.lasting(sick, rows=history.exams)
        if period is not None:
            periods[column] = period
    if not periods:
        return None
    names = {column: column.rpartition("/")[2] for column in periods}
    return Finding(
        name="augmentation_leak",
        title=f"augmentation leaks into the samples: {', '.join(names.values())}",
        level="error",
        since=min(begin for begin, _ in periods.values()),
        until=max(end for _, end in periods.values()),
        evidence=tuple(
            Evidence(
                f"share of fakes that look changed by {name}", mean(history.recent(column, 3)), LEAKED, "below 0.4"
            )
            for column, name in names.items()
        ),
        why="The critic hardly ever sees an image as it is, so the generator cannot tell what belongs to the data.",
        change=rarer(history, list(names.values())),
    )
