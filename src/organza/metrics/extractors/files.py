"""Weight files that others made: hashed first, then read without running anything that is in them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from organza.errors import DataError, cause


def read_checked(path: Path, *, sha256: str, what: str) -> bytes:
    """The bytes of a file whose SHA-256 sum is `sha256`; `what` tells the user what the file should be.

    Raises:
        DataError: There is no such file, or it is another one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({cause(error)}); it needs to be {what}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path} is not {what}: its SHA-256 sum is {found}, and {sha256} is needed. Scores of other weights do not "
            "compare. Get the file again, or give the right one with --weights FILE."
        )
    return data


def state_dict(data: bytes) -> dict[str, Any]:
    """The tensors of a .pth file, read by torch's restricted loader: nothing but tensors and plain containers."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
