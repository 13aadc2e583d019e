"""Every preset, made narrow: it passes the checks of a run, and plays two steps of its own program."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from organza import RunSettings
from organza.assemble import build
from organza.game import Clock
from organza.recipe import Recipe, find
from organza.recipes import RECIPES
from organza.trainer import step
from worlds import World, lacking, shapes, twins

pytestmark = pytest.mark.slow

NARROW = {"width": 8, "widest": 16, "generator_width": 8, "critic_width": 8, "blocks": 1}
SEVERAL = 2
"""Samples per step where the preset has more than one."""


def presets(family: type[Recipe]) -> dict[str, Recipe]:
    return sys.modules[family.__module__].PRESETS  # type: ignore[attr-defined]


def world_of(family: type[Recipe], side: int) -> World:
    if family.pairs:
        return lacking(family.pairs, 8, size=side)
    return shapes(8, size=side) if family.needs_sources == "no" else twins(8, size=side)


CASES = [f"{name}:{preset}" for name, family in RECIPES.items() for preset in presets(family)]


@pytest.mark.parametrize("name", CASES)
def test_every_preset_begins(name: str) -> None:
    family, preset = name.split(":")
    recipe = find(name).recipe
    side = getattr(sys.modules[type(recipe).__module__], "SIDES", {}).get(preset, 64)
    narrow = {key: min(value, getattr(recipe, key)) for key, value in NARROW.items() if hasattr(recipe, key)}
    recipe = replace(recipe, **narrow, batch=min(recipe.batch, SEVERAL))
    world = world_of(RECIPES[family], side)
    game = build(recipe, world, RunSettings(), weights=None)
    for turn in range(2):
        assert step(game, world.batches(recipe.batch), Clock(step=turn), seed=turn).failed is None
