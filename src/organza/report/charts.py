"""Which curves the report shows, from which numbers, and one sentence each on how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

from organza.report.objective import Objective
from organza.report.timeline import Row, column, human, keys, last
from organza.truth import WORDS

MOST_POINTS = 500


@final
@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    label: str
    values: list[float | None]
    colour: str
    """A name that page.css knows: real, fake, or a number."""


@final
@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart, as page.js draws it."""

    title: str
    reading: str
    """One sentence on how to read it."""
    series: list[Series]
    x: list[float]
    """Samples seen."""
    logarithmic: bool = False
    percent: bool = False
    low: float | None = None
    """Bottom of the axis; None: from the values."""
    high: float | None = None
    """Top of the axis; None: from the values."""
    marks: list[tuple[float, str]] = field(default_factory=list)
    """Levels to draw across, and their names."""
    note: str = ""
    """What the picture leaves out."""

    def as_json(self) -> dict[str, Any]:
        """For page.js."""
        return asdict(self)


def charts(rows: Sequence[Row], objective: Objective) -> list[Chart]:
    """Every chart for which the run recorded numbers, in reading order."""
    made = [
        probabilities(rows, objective) if objective.is_probability else scores(rows, objective),
        *losses(rows, objective),
        accuracies(rows, objective),
        gradients(rows),
        distance(rows),
        variety(rows),
        *evaluations(rows),
        rates(rows),
        speed(rows),
    ]
    return [chart for chart in made if chart is not None]


def chart_of(rows: Sequence[Row], lines: Sequence[tuple[str, str, str]], **options: Any) -> Chart | None:
    """A chart of (key, label, colour) lines, thinned to what the eye can tell apart; None without a single number."""
    found = {key: column(rows, key) for key, _, _ in lines}
    present = [index for index in range(len(rows)) if any(values[index] is not None for values in found.values())]
    if not present:
        return None
    x = [float(rows[index]["samples"]) for index in present]
    size = -(-len(x) // MOST_POINTS)
    series = [
        Series(label, thin([found[key][index] for index in present], size), colour)
        for key, label, colour in lines
        if any(value is not None for value in found[key])
    ]
    if size > 1:
        options["note"] = " ".join(
            filter(None, [options.get("note", ""), f"Each point is the mean of {size} records."])
        )
    return Chart(series=series, x=[value for value in thin(x, size) if value is not None], **options)


def thin(values: Sequence[float | None], size: int) -> list[float | None]:
    """The means of `size` values each; what is missing does not count."""
    parts = [[v for v in values[start : start + size] if v is not None] for start in range(0, len(values), size)]
    return [sum(part) / len(part) if part else None for part in parts]


def probabilities(rows: Sequence[Row], objective: Objective) -> Chart | None:
    """D(x) and D(G(z))."""
    doubt = "" if objective.name else " (if this recipe's scores are meant as probabilities)"
    return chart_of(
        rows,
        [("d_real", "D(x), on real", "real"), ("d_fake", "D(G(z)), on fakes", "fake")],
        title="What the critic believes",
        reading=f"D is the critic's probability that a sample is real{doubt}: at the equilibrium both lines meet at "
        "0.5, where it can only guess; with one near 1 and the other near 0 the generator's gradient can vanish, and "
        "then it stops learning.",
        low=0.0,
        high=1.0,
        marks=[(0.5, "guessing")],
    )


def scores(rows: Sequence[Row], objective: Objective) -> Chart | None:
    """Mean raw scores, where they are no probabilities."""
    return chart_of(
        rows,
        [("real_score", "real", "real"), ("fake_score", "fakes", "fake")],
        title="What the critic scores",
        reading=objective.scores,
        marks=[(0.5, "guessing")] if objective.name == "least_squares" else [],
    )


def losses(rows: Sequence[Row], objective: Objective) -> list[Chart | None]:
    """All terms in one chart, or one chart per turn where there are many."""
    found = keys(rows, "loss/")
    turns = list(dict.fromkeys(key.split("/")[1] for key in found))
    groups = [found] if len(found) <= 3 else [[key for key in found if key.split("/")[1] == turn] for turn in turns]
    levels = f"; {objective.levels}" if objective.levels else ""
    reading = (
        "GAN losses are not meant to fall: each player is measured against an opponent that learns as well, so level "
        "lines are a healthy game, while a critic near its lowest and a generator that climbs mean the critic wins"
        f"{levels}."
    )
    made: list[Chart | None] = []
    for group in groups:
        turn = group[0].split("/")[1] if len(groups) > 1 else ""
        lines = [(key, label_of(key), colour) for key, colour in zip(group, colours(group), strict=True)]
        low, high, note = robust_range([value for key in group for value in column(rows, key) if value is not None])
        title = f"Losses: {turn}" if turn else "Losses by turn"
        marks = loss_marks(turn, found, objective)
        made.append(chart_of(rows, lines, title=title, reading=reading, low=low, high=high, note=note, marks=marks))
        reading = "As for the turn before: watch for a lasting trend, not for the level."
    return made


def loss_marks(turn: str, found: Sequence[str], objective: Objective) -> list[tuple[float, str]]:
    """The levels at which the critic can only guess, for the players of this chart that play the known game."""
    levels = {"critic": objective.critic_level, "generator": objective.generator_level}
    marks: dict[float, str] = {}
    for player, level in levels.items():
        if turn in ("", player) and f"loss/{player}/{objective.name}" in found and level is not None:
            marks[level] = "both, guessing" if level in marks else f"{player}, guessing"
    return list(marks.items())


def label_of(key: str) -> str:
    """`loss/critic/gradient_penalty` as `critic: gradient penalty`."""
    parts = key.split("/")[1:]
    return ": ".join(part.replace("_", " ") for part in parts)


def colours(group: Sequence[str]) -> list[str]:
    """The critic's first line is green as real data, the generator's purple as fakes, further ones have others."""
    spare = iter(range(1, len(group) + 1))
    taken: set[str] = set()
    chosen = []
    for key in group:
        name = {"critic": "real", "generator": "fake"}.get(key.split("/")[1], "")
        chosen.append(name if name and name not in taken else str((next(spare) - 1) % 4 + 1))
        taken.add(name)
    return chosen


def robust_range(values: Sequence[float]) -> tuple[float | None, float | None, str]:
    """Bottom and top of an axis that single peaks do not squash, and a note on what is cut off."""
    if len(values) < 20:
        return None, None, ""
    ordered = sorted(values)
    low, high = ordered[len(values) // 50], ordered[-1 - len(values) // 50]
    reach = max(high - low, 1e-12)
    bottom = low - 0.3 * reach if ordered[0] < low - reach else None
    top = high + 0.3 * reach if ordered[-1] > high + reach else None
    cut = [f"up to {human(ordered[-1])}"] * (top is not None) + [f"down to {human(ordered[0])}"] * (bottom is not None)
    return bottom, top, f"Peaks {' and '.join(cut)} lie outside the picture." if cut else ""


def accuracies(rows: Sequence[Row], objective: Objective) -> Chart | None:
    """How often the critic is right; only where a score above 0 means `real`."""
    if not objective.has_zero:
        return None
    return chart_of(
        rows,
        [("real_accuracy", "real called real", "real"), ("fake_accuracy", "fakes called fake", "fake")],
        title="How often the critic is right",
        reading="Half is guessing and all is a critic that has won; waves that keep growing can be a generator that "
        "hops between a few kinds of sample (mode collapse), so look for repeats in the film.",
        low=0.0,
        high=1.0,
        percent=True,
        marks=[(0.5, "guessing")],
    )


def gradients(rows: Sequence[Row]) -> Chart | None:
    """Gradient norms of each turn."""
    found = keys(rows, "grad_norm/")
    return chart_of(
        rows,
        [(key, key.split("/")[1], colour) for key, colour in zip(found, colours(found), strict=True)],
        title="Gradient norms",
        reading="How hard each player is pushed, on a logarithmic scale: level within a factor of ten is healthy, a "
        "generator that sinks towards nothing is the vanishing gradient, and lines that climb without end announce a "
        "breakdown.",
        logarithmic=True,
    )


def distance(rows: Sequence[Row]) -> Chart | None:
    """Sliced Wasserstein distance."""
    return chart_of(
        rows,
        [("distance", "distance", "fake")],
        title="Distance to real data",
        reading="The one curve here that measures the samples and should fall (sliced Wasserstein distance): it "
        "compares numbers, not what an eye sees, and stays above 0 even between two sets of real data.",
        low=0.0,
    )


SHARES = {"precision": "real", "recall": "fake", "density": "1", "coverage": "2", "recognised": "3"}
"""Evaluated measures that share a chart, and their colours."""


PAIRWISE = {words.title.partition("-")[0] for words in WORDS.values()}
"""Evaluated measures of results beside their truths."""
SCORED = (
    "Of 2,000 samples, always from the same latents; compare it with other moments of this run only, and score the "
    "finished run with organza evaluate."
)
BESIDE = (
    "The mean over up to 500 images that are not trained on, always the same, each result beside its own truth; the "
    "dotted levels need no model at all, so a model is of use where it is better than these."
)


def evaluations(rows: Sequence[Row]) -> list[Chart | None]:
    """What --evaluate-every measured: fidelity and variety together, each distance for itself."""
    found = {key: key.partition("/")[2] for key in keys(rows, "score/")}
    shares = {key: name for key, name in found.items() if name.split("-")[0] in SHARES}
    made = [
        chart_of(
            rows,
            [(key, name, "fake")],
            title=f"Evaluated: {name}",
            reading=BESIDE if name.split("-")[0] in PAIRWISE else SCORED,
            marks=[(last(rows, level) or 0.0, level.rpartition("/")[2]) for level in keys(rows, f"baseline/{name}/")],
        )
        for key, name in found.items()
        if key not in shares
    ]
    lines = [(key, name, SHARES[name.split("-")[0]]) for key, name in shares.items()]
    together = chart_of(
        rows,
        lines,
        title="Fidelity and variety",
        reading="Precision and density fall when samples look wrong, recall and coverage when kinds of sample are "
        "missing: a generator that gains the first at the cost of the second is collapsing.",
        low=0.0,
    )
    return [*made, together]


def variety(rows: Sequence[Row]) -> Chart | None:
    """How varied the doctor found the fakes, relative to real samples."""
    return chart_of(
        rows,
        [("health/spread", "spread of all", "fake"), ("health/twin", "distance to the most similar other", "1")],
        title="Variety of the fakes",
        reading="Both lines are relative to real samples and belong near 1: a low spread is mode collapse, a low "
        "distance to the most similar other one means few prototypes.",
        low=0.0,
        marks=[(1.0, "real samples")],
    )


def rates(rows: Sequence[Row]) -> Chart | None:
    """Learning rates."""
    found = keys(rows, "lr/")
    return chart_of(
        rows,
        [(key, key.split("/")[1], colour) for key, colour in zip(found, colours(found), strict=True)],
        title="Learning rate",
        reading="The step size of each optimizer: it follows the recipe's schedule, and is halved when the run had to "
        "go back to a checkpoint.",
        low=0.0,
    )


def speed(rows: Sequence[Row]) -> Chart | None:
    """Real samples per second."""
    return chart_of(
        rows,
        [("samples_per_s", "samples/s", "1")],
        title="Speed",
        reading="Real samples seen per second; a dip is the machine at other work, such as writing a checkpoint, and "
        "says nothing about the game.",
        low=0.0,
    )
