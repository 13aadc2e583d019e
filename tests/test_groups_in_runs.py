"""What the rest of organza makes of a run whose classes are groups."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import organza
from organza.cli.__main__ import main
from organza.data import DataOptions, open_source
from organza.data.groups import KEPT
from organza.data.spec import ImageSpec
from organza.doctor.finding import Change, Finding
from organza.doctor.visit import cure, visit
from organza.errors import DataError
from organza.inputs import grid_labels
from organza.recipe import find
from organza.run import Run
from organza.settings import RunSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("grouped") / "run"
    options = DataOptions(labels=False, clusters=16, limit=2000)
    settings = RunSettings(run=folder, doctor_every=64, doctor_share=1.0)
    return organza.train("r3gan:tiny", samples=640, settings=settings, options=options)


def first_groups(run: Run) -> Tensor:
    return open_source("mnist", replace(run.data_options, limit=100)).read(np.arange(100))["label"]


def test_the_doctor_takes_no_group_for_a_class(run: Run) -> None:
    row = next(row for row in reversed(run.rows()) if "health/counts" in row)
    assert len(row["health/counts"]) == len(row["health/shares"]) == 16  # clusters of its own
    assert "label_imbalance" not in {finding.name for finding in visit(run)}


def test_groups_are_made_like_classes(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "group.png"
    assert main(["generate", str(run.folder), "--count", "4", "--label", "group 03", "--out", str(out)]) == 0
    assert out.exists()


def test_a_run_with_groups_is_scored_against_data_that_has_labels(run: Run) -> None:
    records = organza.evaluate(run, count=200)
    assert {"frechet", "recognised"} <= {record.measure for record in records}
    assert "accuracy" not in {record.measure for record in records}


@pytest.mark.parametrize("clusters", [[], ["--clusters", "16"]])
def test_fine_tuning_on_other_data_keeps_the_groups(run: Run, tmp_path: Path, clusters: list[str]) -> None:
    tuned = tmp_path / "tuned"
    train = ["finetune", str(run.folder), "--data", "mnist", "--limit", "100", "--samples", "32", "--run", str(tuned)]
    assert main([*train, "--doctor", "off", *clusters]) == 0
    saved = json.loads((tuned / "run.json").read_text())
    assert saved["data"]["options"]["clusters"] == 16
    assert saved["recipe"]["why"] == []
    shutil.move(tuned, tmp_path / "elsewhere")
    moved = organza.open(tmp_path / "elsewhere")
    assert torch.equal(first_groups(moved), first_groups(run))  # though fitted on other samples they would differ
    assert organza.resume(moved, samples=64).spec == run.spec
    change = Change(fields={"r1": 1.0})
    told = Finding(name="", title="", level="error", since=0, until=1, evidence=(), why="", change=change)
    assert f"--clusters-of {moved.folder.resolve()}" in cure(told, moved)


def test_groups_that_cannot_be_read_or_do_not_suit_the_images_are_data_errors(run: Run, tmp_path: Path) -> None:
    options = replace(run.data_options, limit=8)
    with pytest.raises(DataError, match="holds 16 groups, not 8: take --clusters 16"):
        open_source("mnist", replace(options, clusters=8))
    with pytest.raises(DataError, match="another kind than those of stacked-mnist: take --channels gray"):
        open_source("stacked-mnist", options)
    with pytest.raises(DataError, match="another kind than those of moons: give samples of the same shape"):
        open_source("moons", options)
    (tmp_path / KEPT).write_bytes(b"no tensors")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"cannot read the groups in .*delete it: groups are then found anew"):
        open_source("mnist", replace(options, clusters_of=str(tmp_path)))


def test_a_resumed_run_has_the_groups_that_it_had(run: Run) -> None:
    assert organza.resume(run).spec == run.spec


@pytest.mark.parametrize(("classes", "count"), [(10, 64), (64, 64), (128, 64), (100, 30)])
def test_a_grid_shows_all_classes_or_evenly_spaced_ones(classes: int, count: int) -> None:
    spec = ImageSpec(classes=tuple(f"group {index:03d}" for index in range(classes)), grouped=True)
    labels = grid_labels(find("r3gan:tiny", conditional="yes").recipe.build(spec), spec, count)
    assert labels is not None
    shown = labels.unique()
    assert len(shown) == min(classes, count)
    assert (shown.diff() <= -(-classes // count)).all()
    assert int(shown[-1]) >= classes - -(-classes // count)
