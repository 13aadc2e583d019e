"""The provenance of a score: complete, kept, and asked before two scores are compared."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from organza.errors import MeasureError
from organza.metrics.record import OF_THE_MODEL, OF_THE_OUTCOME, Record, append, comparable, read, unlike
from organza.report.scores import place

RECORD = Record(
    name="MNIST-FD",
    measure="frechet",
    value=12.5,
    higher_is_better=False,
    standard_error=None,
    method="",
    floor=2.0,
    floor_method="two disjoint parts of train",
    n_floor=100,
    note="",
    details={},
    target="runs/a",
    checkpoint="000001000",
    weights="raw",
    seed=0,
    truncation=1.0,
    labels="none",
    extractor="digits",
    extractor_sha256="ab",
    layer="last",
    feature_dim=128,
    resize="none",
    quantise="uint8",
    range="v / 255",
    colour="gray",
    dtype="float32",
    tf32=False,
    batch_size=250,
    device="cpu",
    statistics_dtype="float64",
    n_real=100,
    n_fake=100,
    reference="mnist",
    reference_sha256="cd",
    split="train",
    mirrored=False,
    parameters={"k": 3},
    organza="0.1.0",
    torch="2.13",
    command="organza evaluate runs/a",
    created="2026-11-21T10:00:00+0000",
)
OF_THE_SAME = "score all of them against the same data, not mnist, shirts: organza evaluate RUN --against SOURCE"
PROTOCOL = """
name measure higher_is_better method floor_method n_floor seed truncation extractor extractor_sha256 layer feature_dim
resize quantise range colour dtype tf32 batch_size device statistics_dtype n_real n_fake reference reference_sha256
split mirrored parameters organza torch
"""


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {"k": 5} if isinstance(value, dict) else f"other {value}"


def test_every_field_is_either_compared_or_left_out_on_purpose() -> None:
    names = {one.name for one in fields(Record)}
    assert names == {*PROTOCOL.split(), *OF_THE_MODEL, *OF_THE_OUTCOME}


@pytest.mark.parametrize("name", PROTOCOL.split())
def test_a_difference_in_how_it_was_measured_forbids_to_compare(name: str) -> None:
    changed: dict[str, Any] = {name: other(getattr(RECORD, name))}
    assert unlike(RECORD, replace(RECORD, **changed)) == [name]


@pytest.mark.parametrize("name", [*OF_THE_MODEL, *OF_THE_OUTCOME])
def test_another_model_or_outcome_may_be_compared(name: str) -> None:
    changed: dict[str, Any] = {name: other(getattr(RECORD, name) or "")}
    assert unlike(RECORD, replace(RECORD, **changed)) == []


def test_a_record_comes_back_from_its_line_of_json() -> None:
    assert Record.from_json(RECORD.as_json()) == RECORD
    assert "\n" not in RECORD.as_json()


def test_what_json_lacks_is_null() -> None:
    line = replace(RECORD, value=float("inf"), details={"by_class": [float("nan"), 1.0]}).as_json()
    assert json.loads(line)["value"] is None
    assert json.loads(line)["details"] == {"by_class": [None, 1.0]}
    assert Record.from_json(line).value != RECORD.value


@pytest.mark.parametrize(("line", "told"), [("{", "not a record"), ("[]", "lacks"), ('{"name": "FID"}', "lacks")])
def test_other_lines_are_refused(line: str, told: str) -> None:
    with pytest.raises(MeasureError, match=told):
        Record.from_json(line)


def test_files_of_records_grow_and_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.jsonl"
    append(path, [RECORD])
    append(path, [replace(RECORD, value=1.0)])
    assert [record.value for record in read(path)] == [12.5, 1.0]
    with pytest.raises(MeasureError, match="organza evaluate"):
        read(tmp_path / "none.jsonl")


def test_the_newest_records_that_are_alike_are_compared() -> None:
    a = [RECORD, replace(RECORD, value=3.0), replace(RECORD, n_fake=7)]
    b = [replace(RECORD, target="runs/b", value=9.0)]
    groups, refused = comparable([a, b])
    assert [record.value for record in groups["MNIST-FD"]] == [3.0, 9.0]
    assert not refused


def test_what_differs_is_named() -> None:
    groups, refused = comparable([[RECORD], [replace(RECORD, n_fake=7, split="test")]])
    assert not groups
    assert refused == [
        "MNIST-FD: not comparable, for these differ: n_fake (100, 7), split (train, test); score all of them by the "
        "same organza evaluate RUN --count N"
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reference": "shirts"}, f"reference (mnist, shirts); {OF_THE_SAME}"),
        ({"reference": "shirts", "n_real": 9}, f"n_real (100, 9), reference (mnist, shirts); {OF_THE_SAME} --count N"),
        ({"seed": 1}, "seed (0, 1); score all of them by the same organza evaluate RUN"),
    ],
)
def test_what_mends_a_difference_is_told_and_what_follows_from_it_is_not(changes: dict[str, Any], told: str) -> None:
    other = replace(RECORD, reference_sha256="ef", n_floor=9, **changes)
    assert comparable([[RECORD], [other]])[1] == [f"MNIST-FD: not comparable, for these differ: {told}"]


def test_data_that_has_changed_under_its_name_is_told() -> None:
    refused = comparable([[RECORD], [replace(RECORD, reference_sha256="ef")]])[1]
    assert "differ: reference_sha256 (cd, ef); score all of them" in refused[0]


def test_where_a_score_is_missing_the_command_names_what_is_missing() -> None:
    same = comparable([[RECORD], [replace(RECORD, name="FID")]])[1]
    assert all("not every run has this score; score all of them by the same organza" in line for line in same)
    others = comparable([[RECORD], [replace(RECORD, name="FID", reference="shirts")]])[1]
    assert all(f"not {RECORD.reference}, shirts: organza evaluate RUN --against" in line for line in others)


def test_runs_share_a_place_where_they_are_within_two_standard_errors() -> None:
    def places(errors: float | None, *, higher: bool = False) -> list[str]:
        records = [
            replace(RECORD, value=value, standard_error=errors, higher_is_better=higher) for value in (10.0, 12.0, 20.0)
        ]
        return [place(one, records).strip() for one in records]

    assert places(None) == ["#1", "#2", "#3"]
    assert places(0.1) == ["#1", "#2", "#3"]
    assert places(1.0) == ["#1", "#1", "#3"]
    assert places(1.0, higher=True) == ["#2", "#2", "#1"]
    assert places(10.0) == ["#1", "#1", "#1"]
