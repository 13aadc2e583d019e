"""What others take of the processor is told once, and only where threads wait for it."""

from __future__ import annotations

import sys

import pytest
import torch

from organza.game import Clock, Report
from organza.hooks import crowd
from organza.hooks.crowd import Crowd, Look, look, taken
from organza.recipe import find
from worlds import world_for


@pytest.mark.parametrize(
    ("idle", "own", "others"),
    [(0.0, 20.0, 0.0), (0.0, 10.0, 1.0), (10.0, 10.0, 0.0), (1.0, 12.0, 0.7), (0.0, 16.0, 0.0)],
    ids=["alone", "one other", "alone on one core", "most of one", "hardly any"],
)
def test_what_is_neither_idle_nor_ours_is_taken_by_others(idle: float, own: float, others: float) -> None:
    before, after = Look(clock=5.0, idle=100.0, own=3.0), Look(clock=15.0, idle=100.0 + idle, own=3.0 + own)
    assert taken(before, after, cores=2) == pytest.approx(others)


@pytest.mark.skipif(sys.platform != "linux", reason="others do not say")
def test_the_system_says_how_much_was_idle_and_ours() -> None:
    before = look()
    torch.rand(500, 500).inverse()
    after = look()
    assert before
    assert after
    assert after.clock > before.clock
    assert after.own > before.own
    assert after.idle >= before.idle


@pytest.mark.parametrize(("threads", "lines"), [(1, 0), (2, 1)])
def test_it_is_said_once_and_with_what_to_do(threads: int, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    hook = Crowd(said.append, command="organza resume runs/0001")
    game = find("dcgan:tiny").recipe.build(world_for(type(find("dcgan:tiny").recipe)).spec)
    report = Report(Clock(), {}, {}, game)
    hook(report)
    assert not said  # too early
    monkeypatch.setattr(crowd, "AFTER_S", 0.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    if hook.before:
        hook.before = Look(clock=hook.before.clock - 1000, idle=hook.before.idle, own=hook.before.own)
        for _ in range(3):
            hook(report)
        assert len(said) == lines
        assert all("OMP_NUM_THREADS=1 organza resume runs/0001" in line for line in said)
