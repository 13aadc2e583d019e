"""How the run went, in a sentence that its numbers support, and nothing beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from organza.doctor.history import WARM_STEPS, History
from organza.report.objective import Objective
from organza.report.timeline import Row, column, ending, human, keys, number


@final
@dataclass(frozen=True)
class Verdict:
    """What is said at the top of the page."""

    headline: str
    """Two to five words."""
    reason: str
    """The numbers behind it, as the rest of the sentence."""
    tone: Literal["calm", "watch", "alarm", "unknown"]


def judge(rows: Sequence[Row], objective: Objective) -> Verdict:
    """Who was winning over the last fifth of the run."""
    if not rows:
        return Verdict("Nothing to judge yet", "the run has recorded no numbers", "unknown")
    if rows[-1].get("failed"):
        return Verdict("The run broke down", "its last step gave non-finite numbers and was refused", "alarm")
    if "step" in rows[-1] and (steps := History(rows, {}).steps) < WARM_STEPS:
        told = f"all players took {human(steps)} steps; {WARM_STEPS} are the least"
        return Verdict("Too short to judge", told, "unknown")
    if objective.name == "relativistic":
        return judge_relativistic(rows)
    if not objective.has_zero:
        return judge_gap(rows, objective)
    return judge_accuracy(rows, objective)


def judge_accuracy(rows: Sequence[Row], objective: Objective) -> Verdict:
    """For games in which a positive score means `real`."""
    real, fake = ending(rows, "real_accuracy"), ending(rows, "fake_accuracy")
    if real is None or fake is None:
        return Verdict("No verdict on the balance", "the run recorded no critic scores", "unknown")
    beliefs = ending(rows, "d_real"), ending(rows, "d_fake")
    known = "50% is guessing"
    if objective.is_probability and None not in beliefs:
        known += f"; D(x) = {human(beliefs[0], digits=2)}, D(G(z)) = {human(beliefs[1], digits=2)}"
    told = f"over the last fifth of the run it recognised {real:.0%} of the real samples and {fake:.0%} of the fakes"
    told += f" ({known})"
    if real > 0.99 and fake > 0.99:
        return Verdict("The critic wins", f"{told}, which leaves the generator little to learn from", "alarm")
    if real + fake < 0.9:
        return Verdict("The generator fools the critic", f"{told}, which is worse than guessing", "watch")
    if real > 0.8 and fake > 0.8:
        return Verdict("The critic is ahead", f"{told}, which is usual while samples still improve", "calm")
    if abs(real - fake) > 0.6:
        side = "real" if real > fake else "fake"
        return Verdict(f"The critic calls nearly everything {side}", f"{told}; its scores have drifted", "watch")
    if critic_is_idle(rows):
        return Verdict("The critic has stopped learning", f"{told}, and its gradient is zero", "alarm")
    if abs(real - fake) > 0.3:
        told = f"it knows {'real samples' if real > fake else 'fakes'} far better than the others; {told}"
        return Verdict("The critic is one-sided", told, "watch")
    return Verdict("The game is in balance", f"the critic is often unsure; {told}", "calm")


def critic_is_idle(rows: Sequence[Row]) -> bool:
    """Whether the critic's gradient has vanished: then a balance means nothing."""
    norm = ending(rows, "grad_norm/critic")
    return norm is not None and norm < 1e-7


def judge_relativistic(rows: Sequence[Row]) -> Verdict:
    """For pairs of scores: from ln 2 (guessing) down to 0.3 the game is healthy, below 0.05 the signal is gone.

    Above 1 the critic does worse than a guess: it is sure and wrong.
    """
    loss = next((ending(rows, key) for key in keys(rows, "loss/critic/") if key.endswith("/relativistic")), None)
    if loss is None:
        return Verdict("No verdict on the balance", "the run recorded no relativistic critic loss", "unknown")
    told = f"the critic's loss was {human(loss)} over the last fifth of the run, where ln 2 = 0.69 is guessing"
    if loss < 0.05:
        return Verdict(
            "The critic wins", f"{told} and 0 is being sure, which leaves the generator little to learn", "alarm"
        )
    if loss < 0.3:
        return Verdict("The critic is ahead", told, "calm")
    if critic_is_idle(rows):
        return Verdict("The critic has stopped learning", f"{told}, and its gradient is zero", "alarm")
    if loss > 1:
        return Verdict("The critic is wrong about its pairs", f"{told}: its scores lag behind the generator", "watch")
    return Verdict("The game is in balance", told, "calm")


def judge_gap(rows: Sequence[Row], objective: Objective) -> Verdict:
    """For scores without a fixed zero: by how much real samples outscore fakes."""
    real, fake = ending(rows, "real_score"), ending(rows, "fake_score")
    if real is None or fake is None:
        return Verdict("No verdict on the balance", "the run recorded no critic scores", "unknown")
    gap = real - fake
    if objective.name == "least_squares":
        told = f"real samples scored {human(gap)} above fakes over the last fifth of the run, where 0 is guessing"
        told += " and 1 is being sure"
        if gap > 0.95:
            return Verdict("The critic wins", f"{told}; the generator has little to learn from", "alarm")
        return Verdict("The critic is ahead" if gap > 0.6 else "The game is in balance", told, "calm")
    pairs = zip(column(rows, "real_score"), column(rows, "fake_score"), strict=True)
    widest = max(x - y for x, y in pairs if x is not None and y is not None)
    told = f"real samples scored {human(gap)} above fakes at the end, and {human(widest)} at the widest"
    if gap < 0.5 * widest:
        return Verdict("The gap is closing", f"{told}: by the critic's measure fakes have come closer", "calm")
    return Verdict("The gap is still wide", f"{told}: by the critic's measure fakes are not close yet", "watch")


def judge_distance(rows: Sequence[Row]) -> str:
    """A sentence on the one measured distance to real data; empty if it was not measured twice."""
    measured = [(row["samples"], value) for row in rows if (value := number(row.get("distance"))) is not None]
    if len(measured) < 2:
        return ""
    first, latest = measured[0][1], measured[-1][1]
    best_at, best = min(measured, key=lambda pair: pair[1])
    moved = (
        f"fell from {human(first)} to {human(latest)}"
        if latest < first
        else f"went from {human(first)} to {human(latest)}"
    )
    sentence = f"The sliced Wasserstein distance to real data {moved}; lower is closer."
    if latest > 1.1 * best:
        sentence += (
            f" It was best, {human(best)}, at {best_at:,.0f} samples: an earlier checkpoint may make better samples."
        )
    return sentence
