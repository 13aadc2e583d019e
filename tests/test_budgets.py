"""A larger budget for a run that has one: it goes on, is on record, and what is used up is told anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import organza
from organza.cli.__main__ import main
from organza.errors import UsageError
from organza.recipe import find
from organza.run import Run
from organza.settings import RunSettings


def trained(folder: Path, **budget: float) -> Run:
    settings = RunSettings(device="cpu", doctor="off", **budget)
    return organza.train("vanilla:tiny", data="ring8", run=folder, settings=settings)


def clock_of(run: Run) -> dict[str, float]:
    """That of the newest checkpoint."""
    return json.loads((run.checkpoint() / "meta.json").read_text())["clock"]


def weights(run: Run) -> torch.Tensor:
    player = run.game().players["generator"]
    return torch.cat([parameter.detach().flatten() for parameter in player.network.parameters()])


def test_a_finished_run_goes_on_with_a_larger_budget_and_is_done_again(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", samples=320)
    for _ in range(2):
        run = organza.resume(run, samples=960)
    assert run.settings.samples == 960
    assert [entry["samples"] for entry in run.config["extensions"]] == [320]
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
    run = trained(tmp_path / "run", minutes=1e-3)
    clocks = []
    for minutes in (10.0, 100.0):
        pause = RunSettings(device="cpu", doctor="off", pause_at=run.rows()[-1]["samples"] + 64)
        run = organza.resume(run, minutes=minutes, settings=pause)
        clocks.append(clock_of(run))
    assert 1e-3 <= clocks[0]["minutes"] <= clocks[1]["minutes"]
    assert [clock["progress"] for clock in clocks] == pytest.approx(
        [clocks[0]["minutes"] / 10, clocks[1]["minutes"] / 100]
    )
    shutil.rmtree(run.checkpoints / f"{clocks[1]['samples']:09d}")  # it goes back to before the larger budget
    settings = replace(pause, pause_at=clocks[1]["samples"] + 64)
    again = clock_of(organza.resume(run, settings=settings))
    assert again["progress"] == pytest.approx(again["minutes"] / 100)


def test_a_run_that_was_opened_before_gets_every_larger_budget(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", samples=64)
    for samples in (128, 192):
        organza.resume(run, samples=samples)
    with pytest.raises(UsageError, match="192 samples already"):
        organza.resume(run, samples=128)
    assert [entry["to"]["samples"] for entry in organza.open(run.folder).config["extensions"]] == [128, 192]


def test_a_run_that_ended_early_has_its_patience_anew(tmp_path: Path) -> None:
    settings = RunSettings(device="cpu", doctor="off", samples=6400, evaluate_every=64, patience=2)
    stuck = replace(find("vanilla:tiny").recipe, generator_lr=1e-12)
    run = organza.train(stuck, data="ring8", run=tmp_path / "run", settings=settings)
    first = run.rows()[-1]["samples"]
    assert first < 6400
    assert organza.resume(run).rows()[-1]["samples"] == first
    assert organza.resume(run, samples=12800).rows()[-1]["samples"] >= first + 2 * 64


def test_patience_waits_for_turns_that_come_later(tmp_path: Path) -> None:
    settings = RunSettings(device="cpu", doctor="off", samples=640, evaluate_every=64, patience=2)
    stuck = replace(find("pix2pix:tiny").recipe, generator_lr=1e-12, pretrain=0.5)
    run = organza.train(stuck, data="edges-to-digits", run=tmp_path / "run", settings=settings)
    assert any("stopped" in row for row in run.rows())
    assert 320 + 2 * 64 <= run.rows()[-1]["samples"] < 640


@pytest.mark.parametrize(
    ("had", "now", "message"),
    [
        ({"samples": 64}, {"samples": 32}, r"a budget of 64 samples already, which cannot be cut to 32"),
        ({"samples": 64}, {"epochs": 1e-4}, r"a budget of 64 samples already, which cannot be cut to 7"),
        ({"samples": 64}, {"minutes": 1.0}, r"is 64 samples, so a larger one must be in samples or epochs, too"),
        ({"minutes": 1e-3}, {"samples": 10**6}, r"is 0.001 minutes, so a larger one must be in minutes, too"),
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
