"""pix2pix learns pixels first, then plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_contract import build, tiny

import organza
from organza.errors import UsageError
from organza.game import Clock
from organza.recipe import find
from organza.recipes import RECIPES
from organza.settings import RunSettings
from organza.trainer import draw
from worlds import world_for


@pytest.mark.parametrize(
    "fields", [{}, {"pretrain": 0.0}, {"feature_matching": 0.0}, {"adversarial": 0.0}, {"perceptual": "digits"}]
)
def test_the_critic_comes_when_the_pixels_have_been_learned(fields: dict[str, Any]) -> None:
    recipe, world = tiny("pix2pix", **fields), world_for(RECIPES["pix2pix"])
    game = build(recipe, world)
    batch = next(world.batches(4))
    batch |= draw(game, batch, 0)
    for progress in (0.0, 0.49, 0.5):
        clock, plays = Clock(progress=progress), recipe.pretrain <= progress and recipe.adversarial > 0
        assert [turn.name for turn in game.turns if turn.due(clock)] == ["critic"] * plays + ["generator"]
        terms = game.turns[-1].loss(batch, clock).terms
        matched = ["feature_matching"] * (plays and recipe.feature_matching > 0)
        compared = ["perceptual"] * (plays and recipe.is_compared)
        assert sorted(terms) == sorted(["l1", *["nonsaturating"] * plays, *matched, *compared])
        assert all(torch.isfinite(term) for term in terms.values())


def test_pixels_cannot_come_first_where_they_do_not_count() -> None:
    with pytest.raises(UsageError, match=r"l1, which is 0, so pretrain must be 0; got 0\.5"):
        tiny("pix2pix", l1=0.0, pretrain=0.5)


def test_by_default_the_game_comes_late_and_with_a_perceptual_loss(tmp_path: Path) -> None:
    recipe = replace(find("pix2pix").recipe, width=4, batch=8)
    settings = RunSettings(device="cpu", doctor="off", log_every=16)
    run = organza.train(recipe, data="edges-to-digits", samples=160, run=tmp_path / "run", settings=settings)
    assert run.config["recipe"]["fields"]["perceptual"] == "digits"
    losses = [{key.rpartition("/")[2] for key in row if key.startswith("loss/generator/")} for row in run.rows()]
    assert losses[0] == {"l1"}
    assert max(losses, key=len) == {"l1", "perceptual", "nonsaturating"}
