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
from organza.hooks.crowd import Crowd, Look, fitting, look
from organza.recipe import find
from organza.recipes import RECIPES
from worlds import world_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="others do not say")


@pytest.mark.parametrize(
    ("cores", "threads", "most", "busy", "own", "wanted"),
    [
        (2, 2, 2, 20.0, 20.0, 2),  # alone
        (2, 2, 2, 12.0, 12.0, 2),  # alone, and not all threads have work
        (2, 2, 2, 20.0, 10.0, 1),
        (2, 2, 2, 20.0, 14.0, 1),
        (2, 2, 2, 20.0, 16.0, 2),  # hardly anything else
        (2, 1, 1, 20.0, 10.0, 1),
        (2, 1, 1, 10.0, 10.0, 1),  # never more than there were
        (2, 2, 2, 20.0, 1.0, 1),
        (2, 1, 2, 20.0, 10.0, 1),
        (2, 1, 2, 13.0, 10.0, 1),  # not quite room for another
        (2, 1, 2, 12.0, 10.0, 2),  # again
        (4, 4, 4, 40.0, 20.0, 2),
        (4, 2, 4, 40.0, 20.0, 2),
        (4, 2, 4, 30.0, 20.0, 3),
        (16, 8, 8, 160.0, 80.0, 8),
        (8, 8, 8, 80.0, 66.0, 7),
        (2, 2, 2, 0.0, 15.0, 2),  # where the system counts nothing
    ],
)
def test_threads_are_as_many_as_others_leave_room_for(
    cores: int, threads: int, most: int, busy: float, own: float, wanted: int
) -> None:
    before = Look(clock=5.0, busy=100.0, own=3.0)
    after = Look(clock=15.0, busy=100.0 + busy, own=3.0 + own)
    others, found = fitting(before, after, cores=cores, threads=threads, most=most)
    assert found == wanted
    assert others == pytest.approx((busy - own) / 10)
    again = fitting(before, after, cores=cores, threads=found, most=most)
    assert again == (others, found)  # it does not waver


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
@pytest.mark.parametrize("may_change", [True, False])
@pytest.mark.parametrize(("threads", "lines"), [(1, 0), (3, 1)])
def test_it_is_said_once_and_done_where_it_may_be(
    threads: int, lines: int, may_change: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    before = torch.get_num_threads()
    report = Report(Clock(), {}, {}, find("dcgan:tiny").recipe.build(world_for(RECIPES["dcgan"]).spec))
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    try:
        torch.set_num_threads(threads)
        hook = Crowd(said.append, command="organza resume runs/0001", may_change=may_change)
        hook(report)
        assert not said  # too early
        for busy, wanted in ((2500, 1), (2500, 1), (900, threads)):
            now = look()
            if now is None:
                pytest.skip("not all cores are ours")
            hook.before = Look(clock=now.clock - 1000, busy=now.busy - busy, own=now.own - 900)
            hook(report)
            assert torch.get_num_threads() == (wanted if may_change else threads)
        hook.end()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(said) == lines
    assert all("keep 1.6 of 3 cores busy, and 3 threads would wait" in line for line in said)
    what = "going on with 1" if may_change else "OMP_NUM_THREADS=1 organza resume runs/0001"
    assert all(what in line for line in said)
