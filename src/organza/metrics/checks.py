"""The border of the measures: what feature matrices must be, checked once and in one place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from organza.errors import MeasureError


def check_features(sets: Mapping[str, np.ndarray], *, least: int) -> list[np.ndarray]:
    """The sets as float64 matrices of one width, or an error that says what is wrong with which of them.

    Args:
        sets: Name to features (N, D), of any real dtype; N may differ from set to set. Not modified; float64 is not
            copied.
        least: The fewest rows that the measure makes sense for.

    Returns:
        The matrices in the order given.

    Raises:
        MeasureError: A set is no matrix, is empty, holds too few rows or NaN or infinity, or the widths differ.
    """
    matrices = {name: np.asarray(features, dtype=np.float64) for name, features in sets.items()}
    for name, x in matrices.items():
        if x.ndim != 2 or x.shape[1] == 0:
            raise MeasureError(f"{name} has the shape {x.shape}; needed is (N, D): one row of D features per sample")
        if len(x) < least:
            samples = "1 sample" if len(x) == 1 else f"{len(x):,} samples"
            raise MeasureError(f"the {name} side holds {samples}; this measure needs {least:,} or more")
        finite = np.isfinite(x).all(axis=1)
        if not finite.all():
            raise MeasureError(
                f"{len(x) - finite.sum():,} of {len(x):,} rows of {name} hold NaN or infinity, first row "
                f"{int(np.argmin(finite)):,}; look at those samples and at the network that gave the features"
            )
    widths = {name: x.shape[1] for name, x in matrices.items()}
    if len(set(widths.values())) > 1:
        found = " and ".join(f"{name} is {width:,} wide" for name, width in widths.items())
        raise MeasureError(f"{found}; all must be features of one network and layer")
    return list(matrices.values())


def check_labels(labels: np.ndarray, *, name: str, classes: int) -> np.ndarray:
    """The labels as integers, any shape, or an error that says which number is none of 0 to `classes` - 1.

    Raises:
        MeasureError: There are no labels, they are not whole numbers, or one is out of range.
    """
    array = np.asarray(labels)
    if array.size == 0:
        raise MeasureError(f"{name} is empty; one label per sample is needed")
    if not np.issubdtype(array.dtype, np.integer):
        raise MeasureError(f"{name} is of the type {array.dtype}; needed are whole numbers, for example by argmax")
    wrong = array[(array < 0) | (array >= classes)]
    if len(wrong):
        raise MeasureError(f"{name} holds the label {wrong[0]}; with {classes:,} classes they are 0 to {classes - 1:,}")
    return array
