"""What the numbers of a game mean, in words."""

from __future__ import annotations

from typing import Any


def has_probabilities(row: dict[str, Any]) -> bool:
    """Whether a score tells how sure the critic is; that of a Wasserstein game has neither zero nor scale."""
    return not any(key.startswith("loss/") and key.endswith("/wasserstein") for key in row)


def balance(row: dict[str, Any]) -> str:
    """One line on who is winning, from a row of metrics.jsonl."""
    if row.get("failed"):
        return "a step gave non-finite numbers and was refused; the weights stay as they were"
    real, fake = row.get("real_accuracy"), row.get("fake_accuracy")
    if not isinstance(real, float) or not isinstance(fake, float):
        return "no scores yet"
    gap = float(row.get("real_score", 0)) - float(row.get("fake_score", 0))
    if gap < 0:
        return "the critic scores fakes above real samples: the generator fools it for now"
    if not has_probabilities(row):
        return f"real samples score {gap:.3g} above fakes: the critic's measure of how far they are from the data"
    if real > 0.99 and fake > 0.99:
        return "the critic tells real from fake nearly always: the generator's gradient may vanish"
    if real + fake > 1.6 and abs(real - fake) <= 0.3:
        return "the critic is ahead: normal while the samples still improve"
    if abs(real - fake) > 0.6:
        side = "real" if real > fake else "fake"
        return (
            f"the critic calls nearly everything {side}: its scores have drifted, the gap between them is what counts"
        )
    if abs(real - fake) > 0.3:
        return f"the critic is one-sided: it knows {'real samples' if real > fake else 'fakes'} far better"
    return "near balance: the critic is often unsure"
