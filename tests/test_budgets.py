"""A larger budget for a run that has one: it goes on, is on record, and what is used up is told anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import organza
from organza.budgets import extend, extensions, in_todays_budget
from organza.cli.__main__ import main
from organza.errors import UsageError
from organza.game import Clock
from organza.run import Run
from organza.settings import RunSettings

COUNT = 70_000
"""Points in ring8."""


def trained(folder: Path, **budget: float) -> Run:
    settings = RunSettings(device="cpu", doctor="off", **budget)
    return organza.train("vanilla:tiny", data="ring8", run=folder, settings=settings)


def weights(run: Run) -> torch.Tensor:
    player = run.game().players["generator"]
    return torch.cat([parameter.detach().flatten() for parameter in player.network.parameters()])


def test_a_finished_run_goes_on_with_a_larger_budget_and_is_done_again(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", samples=320)
    for _ in range(2):
        run = organza.resume(run, samples=960)
    assert run.settings.samples == 960
    assert extensions(run) == [{"samples": 320, "from": 320, "to": 960, "unit": "samples"}]
    ends = {row["samples"]: row["progress"] for row in run.rows()}
    assert (ends[320], ends[960]) == (1.0, 1.0)
    assert (run.folder / "report.html").exists()


def test_with_more_it_may_be_stopped_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    at_once, twice = (trained(tmp_path / name, samples=320) for name in ("at once", "twice"))
    organza.resume(at_once, samples=960)
    settings = RunSettings(device="cpu", doctor="off", samples=320, pause_at=640)
    organza.resume(organza.resume(twice, samples=960, settings=settings))
    assert torch.equal(weights(at_once), weights(twice))


def test_a_run_that_was_stopped_takes_a_larger_budget_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    train = ["train", "vanilla:tiny", "--data", "ring8", "--device", "cpu", "--run", folder]
    assert main([*train, "--samples", "320", "--pause-at", "160"]) == 0
    assert main(["resume", folder, "--samples", "480"]) == 0
    assert organza.open(folder).rows()[-1]["samples"] == 480
    capsys.readouterr()
    assert main([*train, "--samples", "960"]) == 1
    assert "samples (480 in the run, 960 now)" in capsys.readouterr().err


def test_minutes_that_were_used_up_are_a_smaller_share_of_more(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", minutes=1e-3).folder
    last = organza.open(folder).rows()[-1]["samples"]
    run = extend(organza.open(folder), RunSettings(minutes=4e-3), count=COUNT)
    run = extend(run, RunSettings(minutes=8e-3), count=COUNT)
    assert in_todays_budget(Clock(samples=last, progress=1.0), run).progress == pytest.approx(1 / 8)
    assert in_todays_budget(Clock(samples=last + 16, progress=0.3), run).progress == 0.3
    assert json.loads((folder / "run.json").read_text())["settings"]["minutes"] == 8e-3


@pytest.mark.parametrize(
    ("had", "now", "message"),
    [
        ({"samples": 64}, {"samples": 32}, r"a budget of 64 samples already, which cannot be cut to 32"),
        ({"samples": 64}, {"epochs": 1e-4}, r"a budget of 64 samples already, which cannot be cut to 7"),
        ({"samples": 64}, {"minutes": 1.0}, r"is 64 samples, so a larger one must be in samples or epochs, too"),
        ({"minutes": 1e-3}, {"samples": 10**6}, r"is 0\.001 minutes, so a larger one must be in minutes, too"),
        ({"samples": 64}, {"samples": 64, "epochs": 1.0}, "give one budget, not 2"),
    ],
    ids=str,
)
def test_a_smaller_budget_or_one_of_another_kind_is_refused(
    had: dict[str, float], now: dict[str, float], message: str, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", **had)
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(UsageError, match=message):
        organza.resume(run, **now)
    assert (run.folder / "run.json").read_bytes() == before
