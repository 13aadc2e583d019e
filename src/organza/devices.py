"""Where to compute and how precisely."""

from __future__ import annotations

import ctypes
import os

import torch

from organza.errors import UsageError

MALLOC = {
    "no blocks of their own": (-4, 0),  # M_MMAP_MAX
    "return memory above 2 GiB only": (-1, 2**31 - 1),  # M_TRIM_THRESHOLD
    "grow by 64 MiB": (-2, 2**26),  # M_TOP_PAD
    "one arena": (-8, 1),  # M_ARENA_MAX
}
"""glibc's mallopt parameters, by what they do: (parameter, value)."""


def prepare() -> None:
    """Make this process fit to compute. Call it before the first parallel region; calling it again is harmless.

    Denormal numbers appear wherever gradient penalties push gradients towards zero, and slow a CPU down tenfold; each
    worker thread inherits the setting when it is created, hence the order.

    glibc gives large blocks back to the system at each free, so that every step of a training loop faults the same
    pages in again; told to keep them, it made a step of the `vanilla:conv` preset a third shorter, and an evaluation
    of small images more than twice as fast.
    """
    torch.set_flush_denormal(True)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc: nothing to set
    for option, value in MALLOC.values():
        mallopt(option, value)


def choose(device: str) -> str:
    """`auto` to the best device there is: cuda, then mps, then cpu. Any other name is checked and returned.

    All that computes asks here first, so the process is prepared, too.
    """
    prepare()
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in available:
        raise UsageError(f"unknown device {device!r}; known: auto, cpu, cuda, cuda:N, mps")
    if not available[kind]:
        raise UsageError(f"this torch ({torch.__version__}) finds no {kind} device; run with --device auto or cpu")
    index = device.partition(":")[2]
    if index and (not index.isdecimal() or int(index) >= torch.cuda.device_count() or "RANK" in os.environ):
        raise UsageError(
            f"there is no device {device!r} here: {torch.cuda.device_count()} GPUs, and each rank takes its own; run "
            "with --device cuda"
        )
    return device


def precision(choice: str, device: str) -> torch.dtype:
    """`auto` to bfloat16 on GPUs that have it and float32 elsewhere; `bf16` and `float32` as asked."""
    if choice == "float32":
        return torch.float32
    if choice == "bf16":
        return torch.bfloat16
    has_fast_bf16 = device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] >= 8
    return torch.bfloat16 if has_fast_bf16 else torch.float32
