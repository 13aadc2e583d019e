"""What others take of the processor is told once, and only where threads wait for it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time

import pytest
import torch

from organza.game import Clock, Report
from organza.hooks import crowd
from organza.hooks.crowd import Crowd, Look, advice, look
from organza.recipe import find
from organza.recipes import RECIPES
from worlds import world_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="others do not say")


@pytest.mark.parametrize(
    ("cores", "threads", "busy", "own", "fewer"),
    [
        (2, 2, 20.0, 20.0, None),  # alone
        (2, 2, 12.0, 12.0, None),  # alone, and not all threads have work
        (2, 2, 20.0, 10.0, 1),
        (2, 2, 20.0, 14.0, 1),
        (2, 2, 20.0, 16.0, None),  # hardly anything else
        (2, 1, 20.0, 10.0, None),
        (2, 2, 20.0, 1.0, 1),
        (4, 4, 40.0, 20.0, 2),
        (4, 2, 40.0, 20.0, None),  # whoever has heeded it is left in peace
        (16, 8, 160.0, 80.0, None),
        (8, 8, 80.0, 66.0, 7),
        (2, 2, 0.0, 15.0, None),  # where the system counts nothing
    ],
)
def test_threads_that_exceed_what_others_leave_are_too_many(
    cores: int, threads: int, busy: float, own: float, fewer: int | None
) -> None:
    before = Look(clock=5.0, busy=100.0, own=3.0)
    after = Look(clock=15.0, busy=100.0 + busy, own=3.0 + own)
    found = advice(before, after, cores=cores, threads=threads)
    assert (found and found[1]) == fewer
    if found:
        assert found[0] == pytest.approx((busy - own) / 10)


def spin(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


@linux
def test_what_this_process_and_its_workers_compute_is_their_own() -> None:
    before = look()
    if before is None:
        pytest.skip("not all cores are ours")
    child = multiprocessing.get_context("spawn").Process(target=spin, args=(60.0,))
    child.start()
    try:
        spin(0.1)
        while child.is_alive() and crowd.worker(child.pid) < 20:
            spin(0.01)
        after = look()
    finally:
        child.kill()
        child.join()
    assert after
    assert after.clock > before.clock
    assert after.own - before.own > 0.25
    assert after.busy >= before.busy


@linux
@pytest.mark.parametrize(("threads", "lines"), [(1, 0), (3, 1)])
def test_it_is_said_once_and_with_what_to_do(threads: int, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    hook = Crowd(said.append, command="organza resume runs/0001")
    report = Report(Clock(), {}, {}, find("dcgan:tiny").recipe.build(world_for(RECIPES["dcgan"]).spec))
    hook(report)
    assert not said  # too early
    now = look()
    if now is None:
        pytest.skip("not all cores are ours")
    hook.before = Look(clock=now.clock - 1000, busy=now.busy - 2500, own=now.own - 900)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for _ in range(3):
        hook(report)
    assert len(said) == lines
    assert all("keep 1.6 of 3 cores busy, and 3 threads" in line for line in said)
    assert all("OMP_NUM_THREADS=1 organza resume runs/0001" in line for line in said)
