"""Groups of similar samples as classes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from organza.data import DataOptions, open_source
from organza.data.check import check
from organza.data.groups import distances, fit
from organza.errors import DataError, UsageError


def test_squared_distances_are_those_of_torch() -> None:
    torch.manual_seed(0)
    rows, centres = torch.randn(50, 7), torch.randn(4, 7)
    torch.testing.assert_close(distances(rows, centres), torch.cdist(rows, centres).square(), atol=1e-4, rtol=1e-4)


def test_clusters_of_equal_size_are_found_as_they_are() -> None:
    torch.manual_seed(0)
    kinds = torch.arange(6).repeat_interleave(50)
    rows = 20 * torch.eye(6)[kinds] + torch.randn(300, 6)
    centres, prices = fit(rows, 6)
    groups = (distances(rows, centres) + prices).argmin(1)
    purity = sum(torch.bincount(kinds[groups == group], minlength=6).max() for group in range(6)) / 300
    assert purity > 0.8


def test_groups_are_of_about_equal_size_where_the_data_is_not() -> None:
    torch.manual_seed(0)
    rows = torch.randn(3000, 4) * torch.tensor([5.0, 1.0, 1.0, 1.0])
    centres, prices = fit(rows, 8)
    sizes = torch.bincount((distances(rows, centres) + prices).argmin(1), minlength=8)
    assert sizes.min() > 0.8 * 3000 / 8
    assert sizes.max() < 1.2 * 3000 / 8


def test_a_source_without_labels_gets_groups_as_classes_that_read_and_stream_alike() -> None:
    options = DataOptions(labels=False, clusters=8, limit=400)
    source = open_source("mnist", options)
    assert source.spec.classes == tuple(f"group {group}" for group in range(8))
    assert source.notes[-1] == "8 groups of similar samples serve as classes"
    first = next(source.batches(64, seed=3))["label"]
    again = open_source("mnist", options)
    again.read(np.arange(400))  # finds all labels at once
    assert torch.equal(next(again.batches(64, seed=3))["label"], first)
    assert first.dtype == torch.int64


def test_groups_of_a_test_split_are_those_of_the_training_split() -> None:
    options = DataOptions(labels=False, clusters=8)
    train, test = (
        open_source("mnist", options),
        open_source("mnist", DataOptions(labels=False, clusters=8, split="test")),
    )
    label = test.read(np.arange(64))["label"]
    image = test.read(np.arange(64))["image"]
    rows = torch.nn.functional.interpolate(image.float() / 127.5 - 1, size=(16, 16), mode="area").flatten(1).double()
    centres, prices = train._centres, train._prices  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    assert torch.equal((distances(rows, centres) + prices).argmin(1), label)


def test_similar_digits_share_a_group_more_often_than_chance() -> None:
    digits = torch.cat([batch["label"] for batch in islice(open_source("mnist", DataOptions()).batches(1000), 2)])
    grouped = open_source("mnist", DataOptions(labels=False, clusters=32))
    groups = torch.cat([batch["label"] for batch in islice(grouped.batches(1000), 2)])
    purity = sum(torch.bincount(digits[groups == group], minlength=10).max() for group in range(32)) / len(digits)
    assert purity > 0.6


def test_data_with_labels_of_its_own_is_not_grouped() -> None:
    with pytest.raises(DataError, match="add --no-labels"):
        open_source("mnist", DataOptions(clusters=8))


def test_too_few_samples_for_so_many_groups_are_refused() -> None:
    with pytest.raises(DataError, match="take --clusters 2"):
        open_source("mnist", DataOptions(labels=False, clusters=64, limit=100))


def test_checking_a_folder_refuses_the_groups_that_training_would_refuse(tmp_path: Path) -> None:
    for index in range(6):
        Image.new("L", (8, 8), 40 * index).save(tmp_path / f"{index}.png")
    found = check(str(tmp_path), DataOptions(clusters=4))
    assert not found.ok
    assert "--clusters 4 does not suit the 6 samples" in found.error


def test_one_group_is_refused() -> None:
    with pytest.raises(UsageError, match="2 or more"):
        DataOptions(clusters=1)


def test_groups_do_not_depend_on_who_else_is_in_the_batch() -> None:
    source, again = (open_source("mnist", DataOptions(labels=False, clusters=16, limit=400)) for _ in range(2))
    whole = source.read(np.arange(400))["label"]
    assert torch.equal(whole, torch.cat([again.read(np.array([index]))["label"] for index in range(400)]))


def test_groups_of_another_source_are_kept_for_new_data() -> None:
    own = open_source("mnist", DataOptions(labels=False, clusters=8))
    options = DataOptions(labels=False, clusters=8, clusters_of="mnist", limit=10)  # far too few to fit on
    assert torch.equal(open_source("mnist", options).read(np.arange(10))["label"], own.read(np.arange(10))["label"])


@pytest.mark.parametrize("options", [DataOptions(labels=False, clusters=8, hold_out=0.5, limit=800)])
def test_both_parts_of_held_out_data_have_the_groups_of_the_training_part(options: DataOptions) -> None:
    train, test = (open_source("mnist", replace(options, split=split)) for split in ("train", "test"))
    assert len(train) == len(test) == 400
    assert train.spec == test.spec
    assert {*train.read(np.arange(400))["label"].tolist()} == set(range(8))
    assert len({*test.read(np.arange(400))["label"].tolist()}) > 4
