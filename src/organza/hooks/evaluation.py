"""Scores while training: so many samples against real ones, on all ranks together, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from organza import distributed
from organza.budgets import since_extended
from organza.data.options import DataOptions
from organza.data.registry import unseen_part
from organza.data.source import Source
from organza.errors import MeasureError, UsageError
from organza.features import look
from organza.game import Game, Report, Stop
from organza.hooks.console import say
from organza.inputs import is_paired, unseen
from organza.metrics.measures import called_here, compute, title_of
from organza.pools import pool_made, pool_of
from organza.recipe import unknown
from organza.reference import labels_for_all, looked
from organza.run import Run
from organza.scoring import choose_extractor, possible_measures, table_of
from organza.truth import WORDS, Truth, fills

EVALUATED = 2_000
"""Samples that are scored, always of the same latents."""
MEASURES = ("frechet", "precision", "recall", "density", "coverage", "recognised", "classes", "sliced", "modes")
"""Those that are quick, where they can be computed."""
SEEN = 500
"""Pairs of which results are compared with their truths, always the same: a mean over pairs is sure sooner."""
PREFIX, BASELINE = "score/", "baseline/"
"""Of the columns in metrics.jsonl: of scores, and of what needs no model, by score and name."""


@final
class Evaluation:
    """A hook that scores the samples of this moment and ends a run that no longer gets better.

    Args:
        run: Whose rows tell what was measured before.
        source: The training data.
        device: Where the extractor computes.
        game: What it does to images decides on measures.
        best_by: The measure that decides; `distance` is that of the checkpoints.
        patience: Evaluations without improvement before the run ends, of those since every turn is taken; None: never.
        distance: The distance of the checkpoints.
    """

    def __init__(
        self,
        run: Run,
        source: Source,
        *,
        device: str,
        game: Game,
        best_by: str,
        patience: int | None,
        distance: Callable[[Report], float],
    ) -> None:
        options = run.data_options
        self.source, self.best_by, self.patience, self.distance = source, best_by, patience, distance
        self.extractor, _ = choose_extractor(source, None, weights=None, device=device, offline=options.offline)
        self.real = looked(options.cache_folder, pool_of(source, start=0, stop=EVALUATED), self.extractor)
        self.labels = labels_for_all(self.real)
        self.table = table_of(source)
        possible = possible_measures(self.table, self.extractor, self.real, source.spec)
        self.keys = [key for key in possible if key in MEASURES]
        self.truth: Truth | None = None
        if source.spec.has_source and (held_out := unseen(run)) is not None:
            where = {"cache": options.cache_folder, "device": device, "offline": options.offline}
            self.truth = Truth(
                held_out, source, count=SEEN, reverses=game.reverses, fills=fills(game, options), **where
            )
            self.table = self.table | self.truth.table
        known = ["distance", *self.keys, *(self.truth.table if self.truth else ())]
        if best_by not in known:
            raise UsageError(f"--best-by {best_by} cannot be measured here; possible: {', '.join(known)}")
        self.complete = max((turn.begin for turn in game.turns), default=0.0)
        rows = [row for row in since_extended(run.rows()) if row.get("progress", 1.0) >= self.complete]
        self.history = course(rows, self.column(best_by))
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.newest: tuple[int, dict[str, float]] | None = None
        self.baselines: dict[str, float] = {}

    def __call__(self, report: Report) -> Stop | None:
        """Score, tell, and stop if there was no improvement for too long; every rank must call it."""
        if report.failed:
            return None
        values = self.measure(report)
        if not values:
            return None
        row: dict[str, Any] = {self.column(key): value for key, value in values.items()} | self.baselines
        if report.clock.progress >= self.complete:
            self.history.append(values[self.best_by])
        stop = None
        if self.patience is not None and is_stale(self.history, self.patience, higher_is_better=self.higher_is_better):
            stop = Stop(verdict(self.best_by, self.patience), is_final=True)
            row["stopped"] = stop.reason
        for listener in self.listeners:
            listener(row)
        return stop

    def judge(self, report: Report) -> float:
        """The score of a checkpoint, lower is better; every rank must call it. Only the first gets it."""
        value = self.measure(report).get(self.best_by, float("nan"))
        return -value if self.higher_is_better else value

    def measure(self, report: Report) -> dict[str, float]:
        """Values by measure, on the first rank; empty on the others, and where nothing can be measured."""
        if self.newest and self.newest[0] == report.clock.samples:
            return self.newest[1]
        distributed.broadcast_buffers(report.game.modules())
        game, values = report.game, {}
        labels = self.labels if game.is_conditional else None
        fake = look(pool_made(game, self.source.spec, count=EVALUATED, seed=3, labels=labels), self.extractor)
        beside = self.truth.judged(game, seed=3) if self.truth and self.truth.table else {}
        if distributed.is_main():
            try:
                found = compute(self.table, self.keys, self.real, fake) | beside
                values = {key: score.value for key, (score, _, _) in found.items()}
                self.baselines = {
                    f"{BASELINE}{self.table[key].title}/{name}": value
                    for key, (score, _, _) in beside.items()
                    for name, value in score.details["baselines"].items()
                }
                values["distance"] = self.distance(report)
            except MeasureError:
                values = {}  # the generator has broken down; the trainer and the doctor say so
        self.newest = report.clock.samples, values
        return values

    @property
    def higher_is_better(self) -> bool:
        """Of the measure that decides."""
        return self.best_by != "distance" and bool(self.table[self.best_by].higher_is_better)

    def column(self, key: str) -> str:
        """The column of a measure in metrics.jsonl."""
        if key == "distance":
            return f"{PREFIX}distance"
        name, label = (self.extractor.name, self.extractor.label) if self.extractor else ("", "")
        return PREFIX + title_of(key, self.table[key], extractor=name, label=label)


def check_measure(best_by: str, data: str, source: Source, options: DataOptions, game: Game) -> None:
    """Refuse a measure that no evaluation of such a game and data has, before a run folder is made for it."""
    pairwise = WORDS if source.spec.has_source else ()
    known = ["distance", *(key for key in table_of(source) if key in MEASURES), *pairwise]
    if best_by not in known:
        raise UsageError(unknown("measure", best_by, known, "for --best-by here") + called_here(best_by))
    if best_by not in pairwise:
        return
    held_out = unseen_part(data, options, source.spec)
    is_enough = held_out is not None and (best_by == "cycle" or is_paired(held_out))
    possible: list[str] = []
    if held_out is not None:
        where = {"cache": options.cache_folder, "device": "cpu", "offline": options.offline}
        possible = list(
            Truth(held_out, source, count=1, reverses=game.reverses, fills=fills(game, options), **where).table
        )
        held_out.close()
    if not is_enough:
        can_hold_out = best_by == "cycle" or is_paired(source)
        lacks = "no test split" if can_hold_out else "no test split in pairs, whose truths are known"
        mend = "keep some from training with --hold-out 0.1" if can_hold_out else "choose by another measure"
        raise UsageError(f"--best-by {best_by} judges results of unseen images, and {data} has {lacks}; {mend}")
    if best_by not in possible:
        others = ["distance", *(key for key in known if key in MEASURES), *possible]
        raise UsageError(f"--best-by {best_by} cannot be measured here; possible: {', '.join(others)}")


def show_scores(row: dict[str, Any]) -> None:
    """Print the scores of an evaluation."""
    words = [f"{key.removeprefix(PREFIX)} {value:.4g}" for key, value in row.items() if key.startswith(PREFIX)]
    say(f"scores: {', '.join(words)}")


def course(rows: Sequence[dict[str, Any]], column: str) -> list[float]:
    """What was measured before."""
    return [float(row[column]) for row in rows if column in row]


def verdict(best_by: str, patience: int | None) -> str:
    """Why a run ends early; it stands in its last row, under `stopped`."""
    return f"no improvement of {best_by} in {patience} evaluation{'' if patience == 1 else 's'}"


def is_stale(history: Sequence[float], patience: int, *, higher_is_better: bool) -> bool:
    """Whether none of the last `patience` values is better than the best one before them."""
    if len(history) <= patience:
        return False
    signed = [-value if higher_is_better else value for value in history]
    return min(signed[-patience:]) >= min(signed[:-patience])
