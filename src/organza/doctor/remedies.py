"""Proposed changes, phrased in the fields that the run's recipe has; advice in words where it has none that help."""

from __future__ import annotations

import math
from typing import Any

from organza.doctor.finding import Change
from organza.doctor.history import History

RATES = {"generator": "generator_lr", "critic": "critic_lr"}
GENTLE_RATE = 1e-3
PENALTY = 0.1
"""Weight of R1 and R2 that suits small images in [-1, 1] (measured on digits)."""


def pick(history: History, wanted: dict[str, Any], advice: str) -> Change:
    """The wanted values of the fields that the recipe has and that they change; the advice if there are none."""
    known = history.fields
    fields = {name: value for name, value in wanted.items() if name in known and not same(known[name], value)}
    return Change(fields) if fields else Change(advice=advice)


def same(old: Any, new: Any) -> bool:
    """Whether two values of a field are equal; JSON has lists where fields have tuples."""
    return list(old) == list(new) if isinstance(old, list | tuple) and isinstance(new, list | tuple) else old == new


def rate(history: History, player: str, factor: float) -> dict[str, Any]:
    """The step size of a player times a factor."""
    name = RATES[player]
    value = history.fields.get(name)
    return {name: float(f"{value * factor:.3g}")} if isinstance(value, int | float) and value > 0 else {}


def back(history: History, *names: str) -> dict[str, Any]:
    """The preset's own values of fields that were changed from them."""
    fields, defaults = history.fields, history.defaults
    known = [name for name in names if name in fields and name in defaults]
    return {name: defaults[name] for name in known if not same(fields[name], defaults[name])}


def bounded(history: History) -> dict[str, Any]:
    """The recipe's fields without the penalties that its batch norm forbids: samples of a batch are coupled there."""
    is_free = history.fields.get("critic_norm") != "batch"
    return {name: value for name, value in history.fields.items() if is_free or name not in ("r1", "r2")}


def gentler_critic(history: History) -> Change:
    """Against a critic that wins: a loss whose gradient does not vanish, equal step sizes, a penalty."""
    fields = history.fields
    wanted: dict[str, Any] = {}
    if fields.get("loss") == "minimax":
        wanted["loss"] = "nonsaturating"
    if fields.get("critic_lr", 0) > 2 * fields.get("generator_lr", 1):
        wanted["critic_lr"] = fields["generator_lr"]
    if wanted:
        return pick(history, wanted | calmer(history), "")
    return penalise(history)


def penalise(history: History) -> Change:
    """Keep the critic flat where the data lies (Mescheder et al. 2018, arXiv:1801.04406)."""
    fields = bounded(history)
    r1 = fields.get("r1")
    if steered(history):
        target = round((fields["penalty_target"] + math.log(2)) / 2, 3)
        return pick(history, {"penalty_target": target}, "lower the critic's step size")
    if r1 == 0 and history.defaults.get("r1"):
        return pick(history, back(history, "loss", "r1"), "")
    if isinstance(r1, int | float):
        return pick(history, {"r1": max(10 * r1, PENALTY), "r2": max(10 * fields.get("r2", 0), PENALTY)}, "")
    wanted = {"loss": "nonsaturating"} if fields.get("loss") == "wasserstein" else rate(history, "critic", 0.2)
    return pick(history, wanted, "add a gradient penalty (R1 and R2) to the critic's loss")


def steered(history: History) -> bool:
    """Whether the weights of the penalties follow a target, so that what they are at the start matters little."""
    fields, is_image = history.fields, history.config.get("spec", {}).get("kind") != "vector"
    return is_image and bool(fields.get("penalty_target") and (fields.get("r1") or fields.get("r2")))


def lighter_penalty(history: History) -> Change:
    """Against penalties that drown the game."""
    if steered(history):
        return pick(history, {"penalty_target": round(0.9 * history.fields["penalty_target"], 3)}, "")
    wanted = {name: value for name, value in back(history, "r1", "r2").items() if value < history.fields[name]} or {
        name: PENALTY if weight > 10 * PENALTY else weight / 10
        for name in ("r1", "r2")
        if isinstance(weight := history.fields.get(name), int | float) and weight > 0
    }
    return pick(history, wanted, "lower the weight of the penalty a hundredfold")


def slower(history: History) -> Change:
    """Smaller steps: those of the preset if they are, else a fifth."""
    gentle = back(history, *RATES.values())
    if gentle and all(value < history.fields[name] for name, value in gentle.items()):
        return pick(history, gentle, "")
    wanted: dict[str, Any] = {}
    for name in RATES.values():
        value = history.fields.get(name)
        if isinstance(value, int | float) and value > 0:
            wanted[name] = min(GENTLE_RATE, float(f"{value / 5:.3g}"))
    return pick(history, wanted, "lower the step sizes five times")


def steadier(history: History) -> Change:
    """Against players that circle: less momentum, a penalty, smaller steps, whichever the recipe lacks."""
    fields = bounded(history)
    if "r1" in fields and not (fields["r1"] and fields.get("r2", 1)):
        return pick(history, {"r1": fields["r1"] or PENALTY, "r2": fields.get("r2") or PENALTY}, "")
    return pick(history, calmer(history), "") if calmer(history) else slower(history)


def stronger(history: History, player: str) -> Change:
    """Larger steps for a player that cannot keep up: those of the other one, or four times its own."""
    fields, other = history.fields, {"critic": "generator_lr", "generator": "critic_lr"}[player]
    mine, theirs = fields.get(RATES[player], 0), fields.get(other, 0)
    wanted = {RATES[player]: theirs} if theirs > 1.5 * mine else rate(history, player, 4)
    return pick(history, wanted, f"raise the step size of the {player}, or give it more turns")


def varied(history: History) -> Change:
    """Against collapse: a game that rewards variety, and a critic that stays informative.

    Relativistic pairs with R1 and R2 have no collapsed minimum to fall into (Huang et al. 2024, arXiv:2501.05441). The
    textbook family has no penalties; batch and spectral norm, other losses and rates did not save it on digits.
    """
    fields = bounded(history)
    if history.config.get("recipe", {}).get("name") == "vanilla":
        return Change(recipe="dcgan:toy" if history.config.get("spec", {}).get("kind") == "vector" else "dcgan")
    wanted: dict[str, Any] = {"loss": "relativistic"}
    if "r1" in fields:
        wanted |= {"r1": fields["r1"] or PENALTY, "r2": fields.get("r2") or PENALTY}
    change = pick(history, wanted | calmer(history), "")
    return change if change.fields else slower(history)


def rarer(history: History, names: list[str]) -> Change:
    """Against augmentations that leak: act on half as many images; below a third of them, leave those out."""
    fields = history.fields
    share, kept = fields.get("augment_share", 0.0), [name for name in fields.get("augment", ()) if name not in names]
    wanted = {"augment_share": round(share / 2, 2)} if share > 1 / 3 else {"augment": tuple(kept)}
    return pick(history, wanted, f"augment with a lower probability, or without {', '.join(names)}")


def calmer(history: History) -> dict[str, Any]:
    """Less momentum, which lets each player answer what the other does now (Radford et al. 2016, arXiv:1511.06434)."""
    betas = history.fields.get("betas")
    return {"betas": (0.5, 0.999)} if betas and betas[0] > 0.5 else {}
