"""Proposed changes, phrased in the fields that the run's recipe has."""

from __future__ import annotations

from typing import Any, Literal

from organza.doctor.finding import Change
from organza.doctor.history import History

RATES = {"generator": "generator_lr", "critic": "critic_lr"}
GENTLE_RATE = 2e-4


def pick(history: History, wanted: dict[str, Any], advice: str) -> Change:
    """The wanted values of the fields that the recipe has and that they change; the advice if there are none."""
    known = history.fields
    fields = {name: value for name, value in wanted.items() if name in known and known[name] != value}
    return Change(fields) if fields else Change(advice=advice)


def rate(history: History, player: str, factor: float) -> dict[str, Any]:
    """The step size of a player times a factor."""
    name = RATES[player]
    value = history.fields.get(name)
    return {name: float(f"{value * factor:.3g}")} if isinstance(value, int | float) and value > 0 else {}


def gentler_critic(history: History) -> Change:
    """Against a critic that wins."""
    fields = history.fields
    if fields.get("loss") == "minimax":
        return pick(history, {"loss": "nonsaturating"} | rate(history, "critic", 0.25), "")
    if fields.get("critic_lr", 0) > 2 * fields.get("generator_lr", 1):
        return pick(history, {"critic_lr": fields["generator_lr"]}, "")
    if "r1" in fields:
        return penalise(history)
    return pick(
        history,
        rate(history, "critic", 0.25) | ({"smooth": 0.1} if fields.get("loss") == "nonsaturating" else {}),
        "lower the critic's step size, or penalise its gradient (R1)",
    )  # fmt: skip


def penalise(history: History) -> Change:
    """Keep the critic flat where the data lies."""
    fields = history.fields
    r1 = fields.get("r1")
    if isinstance(r1, int | float):
        return pick(history, {"r1": max(10 * r1, 0.1), "r2": max(10 * fields.get("r2", 0), 0.1)}, "")
    if fields.get("loss") == "wasserstein":
        return pick(history, {"loss": "nonsaturating"}, "")
    return pick(history, rate(history, "critic", 0.2), "add a gradient penalty (R1 and R2) to the critic's loss")


def slower(history: History, who: Literal["generator", "critic", "both"], *, with_penalty: bool = False) -> Change:
    """Smaller steps."""
    wanted: dict[str, Any] = {}
    for player in ("generator", "critic") if who == "both" else (who,):
        value = history.fields.get(RATES[player])
        if isinstance(value, int | float) and value > 0:
            wanted[RATES[player]] = min(GENTLE_RATE * 5, float(f"{value / 5:.3g}"))
    if with_penalty and history.fields.get("r1") == 0:
        wanted["r1"] = 0.1
    if with_penalty and momentum(history) > 0.5:
        wanted["betas"] = (0.5, 0.999)
    return pick(history, wanted, "lower the step sizes five times")


def stronger(history: History, player: str) -> Change:
    """Larger steps for a player that cannot keep up: those of the other one, or four times its own."""
    fields, other = history.fields, {"critic": "generator_lr", "generator": "critic_lr"}[player]
    mine, theirs = fields.get(RATES[player], 0), fields.get(other, 0)
    wanted = {RATES[player]: theirs} if theirs > 1.5 * mine else rate(history, player, 4)
    return pick(history, wanted, f"raise the step size of the {player}, or give it more turns")


def varied(history: History) -> Change:
    """Against collapse: a game that rewards variety, and a critic that stays informative.

    Relativistic pairs with R1 and R2 have no collapsed minimum to fall into (Huang et al. 2024, arXiv:2501.05441).
    """
    fields = history.fields
    if "r1" in fields:
        wanted: dict[str, Any] = {}
        if fields.get("loss") != "relativistic":
            wanted["loss"] = "relativistic"
        if not fields.get("r1") or not fields.get("r2"):
            wanted |= {"r1": fields.get("r1") or 0.1, "r2": fields.get("r2") or 0.1}
        return pick(history, wanted or rate(history, "generator", 0.5) | rate(history, "critic", 0.5), "")
    wanted = {"betas": (0.5, 0.999)} if momentum(history) > 0.5 else {}
    return pick(
        history, wanted | {"loss": "relativistic"}, "use relativistic pairs with R1 and R2, or the recipe dcgan"
    )


def momentum(history: History) -> float:
    """The first of Adam's decay rates; 0 where the recipe has none."""
    betas = history.fields.get("betas") or (0.0,)
    return float(betas[0])
