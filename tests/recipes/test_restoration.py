"""Families that give images back what they lack: every preset takes its turns, and refuses what teaches nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_contract import build

from organza.errors import UsageError
from organza.game import Clock
from organza.recipe import find
from organza.recipes import inpaint, srgan
from organza.trainer import step
from worlds import lacking

SHRUNK: dict[str, Any] = {"batch": 4, "width": 8, "blocks": 1, "critic_width": 8, "perceptual": "none"}
CASES = [
    *((f"inpaint:{name}", {"perceptual_layers": ()}) for name in inpaint.PRESETS),
    *((f"srgan:{name}", {"perceptual_layers": (), "perceptual_layer_weights": ()}) for name in srgan.PRESETS),
    ("inpaint", {"r1": 0.1, "flip": True}),
    ("inpaint", {"feature_matching": 1.0, "spare_known": True}),
    (
        "srgan",
        {"perceptual": "digits", "perceptual_layers": ("conv3", "conv1"), "perceptual_layer_weights": (1.0, 0.5)},
    ),
]


@pytest.mark.parametrize(("name", "fields"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_preset_takes_its_turns_and_leaves_the_data_alone(name: str, fields: dict[str, Any]) -> None:
    recipe = find(name, **SHRUNK | fields).recipe
    world = lacking(recipe.pairs, 12)
    game = build(recipe, world)
    for progress in (0.0, 0.9):
        batches = world.batches(4)
        kept = next(world.batches(4))
        seen = next(batches)
        report = step(game, iter([seen]), Clock(progress=progress), seed=0)
        assert report.failed is None
        assert torch.equal(seen["image"], kept["image"])
        assert not seen["image"].requires_grad


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("srgan", {"l1": 0.0, "adversarial": 0.0, "perceptual": "none"}, "nothing to learn"),
        ("srgan", {"kernel": 4}, "kernel must be odd"),
        ("srgan", {"critic_width": 0}, "critic_width must be above 0"),
        ("srgan", {"pretrain": 1.5}, "pretrain must be from 0 to 1"),
        ("inpaint", {"l1_holes": 0.0, "adversarial": 0.0, "perceptual": "none"}, "nothing to learn"),
        ("inpaint", {"share": 1.0}, "share must be above 0 and below 1"),
        ("inpaint", {"perceptual_layer_weights": (1.0,)}, "a weight for each of perceptual_layers; got 1 for 0"),
    ],
)
def test_fields_that_make_no_sense_are_refused(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(name, **fields)


def test_a_patch_without_a_hole_counts_as_real_if_it_is_spared() -> None:
    world = lacking("holes", 8)
    losses = []
    for spare in (False, True):
        recipe = replace(find("inpaint:tiny").recipe, spare_known=spare)  # type: ignore[call-arg]
        game = build(recipe, world)
        with torch.no_grad():
            game.players["critic"].network.head.layer.bias.fill_(1000.0)  # type: ignore[union-attr]
        batch = next(world.batches(8)) | game.draw(8)
        losses.append(float(game.turns[0].loss(batch, Clock()).total))
        holes = torch.nn.functional.adaptive_max_pool2d((batch["source"][:, 3:] < 0).float(), (4, 4))
    # Every score is about 1000: real ones cost 0 in the hinge game, fakes 1001, spared ones 0.
    assert losses[0] == pytest.approx(1001, rel=0.01)
    assert losses[1] == pytest.approx(1001 * float(holes.mean()), rel=0.01)
