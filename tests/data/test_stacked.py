"""Stacked MNIST: three digits in one image."""

from __future__ import annotations

import numpy as np
import pytest

from organza.data import DataOptions, open_source
from organza.errors import DataError
from organza.metrics.extractors import load_extractor
from organza.metrics.modes import stacked_modes


def test_each_channel_is_a_digit_and_the_label_is_the_number_they_spell() -> None:
    batch = open_source("stacked-mnist", DataOptions(split="test")).read(np.arange(200))
    assert batch["image"].shape == (200, 3, 28, 28)
    images = batch["image"].permute(0, 2, 3, 1).numpy()
    extract = load_extractor("digits")
    seen = [extract(np.ascontiguousarray(images[..., [channel]])).probabilities for channel in range(3)]
    digits = np.stack([p.argmax(axis=1) for p in seen if p is not None], axis=1)
    assert (digits @ [100, 10, 1] == batch["label"].numpy()).mean() > 0.95


def test_the_data_itself_has_a_thousand_even_modes() -> None:
    source = open_source("stacked-mnist", DataOptions())
    label = source.read(np.arange(len(source)))["label"].numpy()
    modes = stacked_modes(np.stack([label // 100, label // 10 % 10, label % 10], axis=1))
    assert modes.captured == 1000
    assert modes.divergence < 0.02


def test_it_is_the_same_at_each_opening_and_another_in_the_test_split() -> None:
    train, again = (open_source("stacked-mnist", DataOptions(limit=50)) for _ in range(2))
    assert len(train) == 50
    assert (train.read(np.arange(50))["image"] == again.read(np.arange(50))["image"]).all()
    assert "label" not in open_source("stacked-mnist", DataOptions(labels=False)).read(np.arange(2))


def test_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="leave out --resize"):
        open_source("stacked-mnist", DataOptions(resize="32"))
