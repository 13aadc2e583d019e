"""Images in numpy files: .npy and .npz, of any count of channels."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from organza.data.files import examine
from organza.data.images import conform
from organza.data.memory import MEMORY_LIMIT, MemorySource
from organza.data.options import DataOptions
from organza.data.pictures import CHANNELS
from organza.data.source import Batch
from organza.data.spec import ImageSpec
from organza.errors import DataError

IMAGE_KEYS = ("images", "image", "x", "arr_0")
LABEL_KEYS = ("labels", "label", "y")
PIECE = 4096


def open_array(path: Path, *, name: str, options: DataOptions) -> MemorySource:
    """A .npy or .npz file; pickled objects in it are never loaded."""
    where = str(path)
    try:
        if zipfile.is_zipfile(path):
            images, labels = _read_npz(path, options)
        else:
            images, labels = _read_npy(path, options), None
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError, zlib.error, zipfile.BadZipFile) as error:
        hint = " Arrays of Python objects are never loaded." if "pickle" in str(error) else ""
        raise DataError(
            f"{where} cannot be read as numpy arrays ({error}).{hint} It needs numbers: save it again with "
            "np.savez(path, images=images, labels=labels), images as uint8 of shape (N, H, W, C)."
        ) from error
    return memory_source(channels_last(images, where), labels, name=name, where=where, options=options)


def _read_npy(path: Path, options: DataOptions) -> np.ndarray:
    images = np.load(path, mmap_mode="c", allow_pickle=False)
    if options.split == "test":
        raise DataError(f"{path} has no test part: it holds one array. Leave out --split test.")
    return images if images.nbytes > MEMORY_LIMIT else np.array(images)


def _read_npz(path: Path, options: DataOptions) -> tuple[np.ndarray, np.ndarray | None]:
    split = options.split
    image_keys = (f"x_{split}", f"{split}_images", *(IMAGE_KEYS if split == "train" else ()))
    label_keys = (f"y_{split}", f"{split}_labels", *(LABEL_KEYS if split == "train" else ()))
    with np.load(path, allow_pickle=False) as arrays:
        examine(arrays.zip, path)
        keys = {key.lower(): key for key in arrays.files}
        image_key = next((keys[key] for key in image_keys if key in keys), None)
        label_key = next((keys[key] for key in label_keys if key in keys), None) if options.labels else None
        if image_key is None and len(keys) == 1 and split == "train":
            image_key, label_key = arrays.files[0], None
        if image_key is None:
            raise DataError(
                f"{path} holds the arrays {', '.join(arrays.files) or '(none)'}, but no {split} images: they need one "
                f"of the names {', '.join(image_keys)}. Save it again with "
                f"np.savez(path, {image_keys[0]}=images, {label_keys[0]}=labels)."
            )
        return arrays[image_key], None if label_key is None else arrays[label_key]


def channels_last(images: np.ndarray, where: str) -> np.ndarray:
    """NHW, NHWC or NCHW to (N, H, W, C); of the axes that could be the channels, the shorter one is."""
    if images.ndim == 3:
        return images[..., None]
    if images.ndim == 4 and images.shape[1] != images.shape[3]:
        return images if images.shape[3] < images.shape[1] else images.transpose(0, 2, 3, 1)
    raise DataError(
        f"{where} holds images of shape {images.shape}; it needs (N, H, W), (N, H, W, C) or (N, C, H, W), with fewer "
        "channels than rows and columns. Reshape the array and save it again."
    )


def memory_source(
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    name: str,
    where: str,
    options: DataOptions,
    classes: tuple[str, ...] = (),
) -> MemorySource:
    """Images (N, H, W, C) of any number type with labels (N,), brought to the shape that the options ask for."""
    if 0 in images.shape:
        raise DataError(f"{where} holds no images: its shape is {images.shape}. It needs at least one.")
    codes, classes = _classify(labels, count=len(images), where=where, classes=classes)
    kept = images[: options.limit]
    stored, notes = _quantise(kept, where)
    H, W, C = stored.shape[1:]
    height, width = options.size or (H, W)
    channels = C if options.channels == "auto" else CHANNELS[options.channels]
    if channels != C and C not in CHANNELS.values():
        raise DataError(f"{where} has {C} channels, which cannot become {options.channels}. Leave out --channels.")
    spec = ImageSpec(classes=classes, channels=channels, height=height, width=width, bits=8 * stored.itemsize)
    if (channels, height, width) == (C, H, W):
        ready = np.require(
            stored.transpose(0, 3, 1, 2), requirements=["W"] if isinstance(stored, np.memmap) else ["C", "W"]
        )
    else:
        ready = np.stack([conform(pixels, spec=spec, crop=options.crop) for pixels in stored])
    samples: Batch = {"image": torch.from_numpy(ready)}
    if codes is not None:
        samples["label"] = torch.from_numpy(codes[: options.limit])
    return MemorySource(samples, name=name, spec=spec, notes=notes)


def _quantise(images: np.ndarray, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Any numbers to uint8 or uint16, and a note if they changed. Floats may span [0, 1], [-1, 1] or [0, 255]."""
    if images.dtype in (np.uint8, np.uint16):
        return images, _dark(images)
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(255), ()
    low, high = (
        (float(bound) for bound in (images.min(), images.max())) if images.dtype.kind in "iuf" else (np.nan, np.nan)
    )
    if images.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return images.astype(np.uint8 if high <= 255 else np.uint16), _dark(images)
    ranges = {"[0, 1]": (0, 1), "[-1, 1]": (-1, 1), "[0, 255]": (0, 255)} if images.dtype.kind == "f" else {}
    for text, (bottom, top) in ranges.items():
        if bottom <= low and high <= top:
            out = np.empty(images.shape, dtype=np.uint8)
            for start in range(0, len(images), PIECE):
                piece = images[start : start + PIECE].astype(np.float32)
                out[start : start + PIECE] = np.rint((piece - bottom) * (255 / (top - bottom)))
            return out, (f"{images.dtype} values are taken to span {text} and stored with 8 bits.",)
    if np.isnan(low) and images.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))
        raise DataError(
            f"{where} holds NaN or infinity in {len(wrong):,} of {len(images):,} images, first in image {wrong[0]:,} "
            "(counted from 0). Mend or leave out those images and save again."
        )
    raise DataError(
        f"{where} holds {images.dtype} values from {low:g} to {high:g}; images need uint8, uint16, whole numbers from "
        "0 to 65535, or floats in [0, 1], [-1, 1] or [0, 255]. Scale them and save again."
    )


def _dark(images: np.ndarray) -> tuple[str, ...]:
    """A note where whole numbers reach no more than 1, as in masks: they would be all but black."""
    if images[:PIECE].max() > 1 or images.max() > 1:  # in a large file the first images tell mostly
        return ()
    top = 65535 if images.dtype == np.uint16 else 255
    return (
        f"The {images.dtype} values are 0 and 1 of {top}: nearly black. If 1 means white save images.astype(bool).",
    )


def _classify(
    labels: np.ndarray | None, *, count: int, where: str, classes: tuple[str, ...]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class indices (N,) int64 and class names: those given, or the distinct labels themselves."""
    if labels is None:
        return None, ()
    flat = labels.reshape(-1) if labels.size == len(labels) else labels
    if flat.shape != (count,) or flat.dtype.kind not in "iuUb":
        raise DataError(
            f"{where} has labels of shape {labels.shape} and type {labels.dtype} for {count:,} images; they need to be "
            f"whole numbers or text of shape ({count},). Mend them, or use --no-labels."
        )
    if classes and flat.max() < len(classes):
        return flat.astype(np.int64), classes
    names, indices = np.unique(flat, return_inverse=True)
    return indices.astype(np.int64), tuple(str(name) for name in names)
