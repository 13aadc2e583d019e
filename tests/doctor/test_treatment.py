"""The doctor beside a real run: it stops it or treats it, and what it did stays on the record."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import organza
from organza import Run, RunSettings
from organza.cli.__main__ import main
from organza.doctor.visit import ILL, visit
from organza.recipe import find

WILD = find("dcgan:tiny", critic_lr=0.9, generator_lr=0.9, final_rate=1.0).recipe
SETTINGS = RunSettings(
    samples=8_000, device="cpu", log_every=64, checkpoint_every=640, doctor_every=64, doctor_share=1.0
)


def events(run: Run) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "findings.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def treated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("treated") / "run"
    return organza.train(WILD, data="ring8", run=folder, settings=replace(SETTINGS, doctor="treat"))


def test_a_treatment_changes_the_recipe_and_is_on_the_record(treated: Run) -> None:
    run = organza.open(treated.folder)
    first = run.interventions[0]
    assert first["fields"]["critic_lr"] < 0.9
    assert run.recipe.critic_lr == run.interventions[-1]["fields"].get("critic_lr", first["fields"]["critic_lr"])
    assert run.config["recipe"]["fields"]["critic_lr"] == 0.9
    kinds = [event["event"] for event in events(run)]
    assert kinds.index("found") < kinds.index("treated")
    assert [event["picture"] for event in events(run) if event["event"] == "found" and "picture" in event]
    assert all((run.folder / event["picture"]).exists() for event in events(run) if "picture" in event)
    assert run.rows()[-1]["samples"] >= 8_000
    assert run.generate(4).shape == (4, 2)


def test_what_a_treatment_leaves_behind_is_kept_aside(treated: Run) -> None:
    left = list((treated.folder / "abandoned").iterdir())
    assert left
    assert all((path / "meta.json").exists() for path in left)


def test_a_treated_run_is_resumed_as_it_was_treated(treated: Run) -> None:
    before = (treated.folder / "metrics.jsonl").read_bytes()
    organza.resume(treated.folder)
    assert (treated.folder / "metrics.jsonl").read_bytes() == before
    again = organza.train(WILD, data="ring8", run=treated.folder, settings=replace(SETTINGS, doctor="treat"))
    assert again.interventions == organza.open(treated.folder).interventions


def test_a_run_that_is_told_to_stop_ends_at_the_first_error(tmp_path: Path) -> None:
    run = organza.train(WILD, data="ring8", run=tmp_path / "run", settings=replace(SETTINGS, doctor="stop"))
    assert run.rows()[-1]["samples"] < 8_000
    assert any(finding.level == "error" for finding in visit(run))


def test_an_ill_run_has_an_exit_code_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    run = organza.train(WILD, data="ring8", run=folder, settings=SETTINGS)
    assert main(["doctor", str(folder)]) == ILL
    told = capsys.readouterr().out
    assert visit(run)[0].title in told
    assert "organza train dcgan" in told
    page = (folder / "report.html").read_text()
    assert "What the doctor found" in page


def test_a_run_without_a_doctor_has_no_examinations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    run = organza.train("vanilla:tiny", data="ring8", run=folder, settings=replace(SETTINGS, samples=640, doctor="off"))
    assert not any(key.startswith("health/") for row in run.rows() for key in row)
    assert not (folder / "findings.jsonl").exists()
    assert main(["doctor", str(folder)]) == 0
    assert "no examinations" in capsys.readouterr().out


def test_a_run_that_begins_to_be_examined_late_is_not_examined_in_a_burst(tmp_path: Path) -> None:
    settings = RunSettings(samples=8_000, device="cpu", log_every=64, doctor="off", pause_at=6_000)
    run = organza.train("dcgan:tiny", data="ring8", run=tmp_path / "run", settings=settings)
    organza.resume(run, settings=replace(settings, doctor="warn", pause_at=None))
    exams = [row["progress"] for row in run.rows() if "health/spread" in row]
    assert exams[0] < 0.8
    assert exams[-1] == pytest.approx(1.0)
    assert len(exams) <= 4


def test_a_run_shorter_than_the_interval_is_examined_ten_times_and_at_its_end(tmp_path: Path) -> None:
    settings = RunSettings(samples=4_000, device="cpu", log_every=320)  # the interval is 10,000
    run = organza.train("dcgan:tiny", data="ring8", run=tmp_path / "run", settings=settings)
    exams = [row["progress"] for row in run.rows() if "health/spread" in row]
    assert len(exams) >= 10
    assert exams[-1] == pytest.approx(1.0)
    assert max(later - earlier for earlier, later in pairwise(exams)) < 0.2
