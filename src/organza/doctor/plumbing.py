"""Illnesses around the game: ranges, statistics, averages, labels and the supply of data."""

from __future__ import annotations

from organza.doctor.finding import Change, Evidence, Finding
from organza.doctor.history import IN_A_ROW, History, Row, mean, median, number
from organza.doctor.remedies import pick


def range_mismatch(history: History) -> Finding | None:
    """The generator's output and the data do not share a range, so a glance tells them apart."""

    def excess(row: Row) -> float | None:
        ends = [number(row.get(f"health/{name}")) for name in ("real_low", "real_high", "low", "high")]
        if None in ends:
            return None
        real_low, real_high, low, high = (end for end in ends if end is not None)
        width = max(real_high - real_low, 1e-12)
        if high - low < 0.25 * width:  # hardly any range at all: collapsed, not shifted
            return 0.0
        short, shorter = sorted(((low - real_low) / width, (real_high - high) / width))
        # A generator that has not learned yet stays away from both ends; a mistake leaves one end where it should be.
        return max(-short, shorter if abs(short) < 0.1 else 0.0)

    def sick(row: Row) -> bool | None:
        far = excess(row)
        return None if far is None else far > 0.4

    period = history.lasting(sick, rows=history.exams)
    if period is None or history.config.get("spec", {}).get("kind") != "image":
        return None
    last = history.exams[-1]
    return Finding(
        name="range_mismatch",
        title="the generator's output has another range than the data",
        level="error",
        since=period[0],
        until=period[1],
        evidence=tuple(
            Evidence(f"{side} end of the fakes", last[f"health/{side}"], last[f"health/real_{side}"],
                     f"{last[f'health/real_{side}']:.2f}, as in the data")
            for side in ("low", "high")
        ),
        why="The critic needs no more than the range to tell them apart, and the generator cannot change that.",
        change=Change(advice="end the generator in tanh for data in [-1, 1], or map its output there, in "
                      "the losses and in `generate` alike"),
    )  # fmt: skip


def batch_statistics(history: History) -> Finding | None:
    """Fakes in evaluation mode are not those of training mode: batch norm's running statistics are off."""
    period, times = worse(history, "health/distance_raw", "health/distance_batch")
    if period is None:
        return None
    return Finding(
        name="batch_statistics",
        title="samples in evaluation mode differ from those in training",
        level="error",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence("distance to the data in evaluation mode relative to training mode", times, 1.5, "below 1.1"),
        ),
        why="Batch norm's running statistics do not fit the weights: what is generated is not what was trained.",
        change=pick(
            history,
            {"generator_norm": "instance"},
            "use batch norm's default momentum, larger batches, or another norm in the generator",
        ),
    )


def average_lags(history: History) -> Finding | None:
    """The averaged weights make plainly worse samples than the weights of the moment."""
    period, times = worse(history, "health/distance", "health/distance_raw")
    if period is None:
        return None
    halflife = history.fields.get("halflife")
    return Finding(
        name="average_lags",
        title="the averaged weights lag behind",
        level="warning",
        since=period[0],
        until=period[1],
        evidence=(
            Evidence(
                "distance to the data of averaged weights relative to those of the moment", times, 1.5, "below 1.1"
            ),
        ),
        why="The average remembers too long: it still holds weights from before the generator had learned.",
        change=pick(
            history,
            {"halflife": halflife / 20} if isinstance(halflife, int | float) and halflife else {},
            "shorten the half-life of the average, or ramp it up",
        ),
    )


def worse(history: History, ours: str, theirs: str) -> tuple[tuple[int, int] | None, float]:
    """Since when one distance to the data is half as long again as another, and how many times as long lately."""

    def ratio(row: Row) -> float | None:
        far, near = number(row.get(ours, row.get("health/distance"))), number(row.get(theirs))
        floor = number(row.get("health/floor"))
        return None if far is None or near is None or floor is None else far / max(near, 1.5 * floor, 1e-12)

    def sick(row: Row) -> bool | None:
        times = ratio(row)
        return None if times is None else times > 1.5

    times = [value for row in history.exams[-IN_A_ROW:] if (value := ratio(row)) is not None]
    return history.lasting(sick, rows=history.exams), mean(times) if times else 1.0


def data_bound(history: History) -> Finding | None:
    """Training waits for its data."""

    def sick(row: Row) -> bool | None:
        share = number(row.get("data_wait"))
        return None if share is None else share > 0.3

    period = history.lasting(sick, rows=history.rows, times=max(5, len(history.rows) // 4))
    if period is None:
        return None
    workers = history.config.get("data", {}).get("options", {}).get("workers", 2)
    return Finding(
        name="data_bound",
        title="training waits for its data",
        level="warning",
        since=period[0],
        until=period[1],
        evidence=(Evidence("share of time spent waiting", median(history.recent("data_wait", 9)), 0.3, "below 0.05"),),
        why="The networks stand idle while samples are read and decoded.",
        change=Change(options={"workers": max(4, 2 * workers)},
                      advice="or store the images at the size they are trained at"),
    )  # fmt: skip


def label_imbalance(history: History) -> Finding | None:
    """Some classes have hardly any samples."""
    exams = [row for row in history.exams if isinstance(row.get("health/shares"), list)]
    classes = history.classes
    if not exams or len(classes) < 2:
        return None
    shares = exams[-1]["health/shares"]
    rare = [index for index, share in enumerate(shares) if share * len(shares) < 0.2]
    if not rare:
        return None
    return Finding(
        name="label_imbalance",
        title="some classes are rare in the data: " + ", ".join(repr(classes[index]) for index in rare[:5]),
        level="warning",
        since=int(exams[0]["samples"]),
        until=int(exams[-1]["samples"]),
        evidence=tuple(
            Evidence(f"share of {classes[index]!r} in the data", shares[index], 0.2 / len(shares),
                     f"about {1 / len(shares):.2f}")
            for index in rare[:8]
        ),
        why="The critic sees them seldom, so the generator will make them badly or not at all.",
        change=Change(advice="balance the data: more samples of the rare classes, or copies of their files"),
    )  # fmt: skip
