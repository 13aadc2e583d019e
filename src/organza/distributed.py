"""Ranks: torch.distributed and torchrun do the work; here is the little that a GAN needs beside them.

Players are not wrapped: gradients are averaged by hand, one flat all_reduce a turn, so that several forward passes a
turn and second derivatives stay ordinary autograd. Control values travel on the host by gloo, gradients on GPUs by
nccl.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NoReturn, final

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from organza.errors import DistributedError, UsageError


def rank() -> int:
    """This process's number, 0 in a run of one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes the run folder."""
    return rank() == 0


def start(device: str, *, timeout_s: float = 600) -> None:
    """Join the other ranks if torchrun started this process; otherwise do nothing."""
    if "RANK" not in os.environ or dist.is_initialized():
        return
    if device.startswith("cuda"):
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"process {local + 1} of this machine finds no GPU of its own ({torch.cuda.device_count()})"
            )
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    with naming_the_phase("joining the other ranks"):
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))


def stop() -> None:
    """Leave the group, if there is one, all ranks together, so that nobody's last message is lost; see also `leave`."""
    if dist.is_initialized():
        with suppress(RuntimeError):  # another rank is gone
            dist.barrier()
        dist.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End a process that torchrun started, without Python's own shutdown.

    In that, on a full machine, a thread of torch's now and then outlives the interpreter and aborts the process
    ("terminate called without an active exception"), so that a run that has ended well counts as failed. A script of
    yours under torchrun should end by it, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def naming_the_phase(phase: str) -> Iterator[None]:
    """Turn a failed collective into an error that says which rank noticed and what it was doing."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if world() == 1 and "RANK" not in os.environ:
            raise
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise DistributedError(
            f"rank {os.environ.get('RANK', '0')} lost contact with another rank while {phase} ({reason}). "
            "What the run has saved is intact: go on from its newest checkpoint with organza resume RUN"
        ) from error


def average_gradients(parameters: Sequence[nn.Parameter], values: Tensor) -> tuple[Tensor, Tensor]:
    """Average the gradients over all ranks, in place, and a few values with them.

    Args:
        parameters: The same ones on every rank, those without a gradient included.
        values: This rank's loss and whatever else belongs to the turn, (K,).

    Returns:
        The norm of the averaged gradient, a scalar, and the averaged values; non-finite on every rank if on any.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world() > 1:
        flat = torch.cat([values.float(), *(gradient.reshape(-1).float() for gradient in gradients)])
        with naming_the_phase("averaging gradients"):
            dist.all_reduce(flat)
        flat /= world()
        values, rest = flat[: len(values)], flat[len(values) :]
        parts = rest.split([gradient.numel() for gradient in gradients])
        if gradients:
            torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])
    if not gradients:
        return values.new_zeros(()), values
    norms = torch._foreach_norm(gradients)
    return torch.linalg.vector_norm(torch.stack([norm.float() for norm in norms])), values


@contextmanager
def main_first() -> Iterator[None]:
    """Rank 0 does this before the others, for as long as it takes: what it downloads or caches, they find."""
    if world() == 1:
        yield
        return
    with naming_the_phase("waiting for rank 0 to open the data"):
        patient: Any = dist.new_group(backend="gloo", timeout=timedelta(days=1))
        if not is_main():
            dist.barrier(patient)
    yield
    if is_main():
        with naming_the_phase("opening the data"):
            dist.barrier(patient)


@final
class Agreement:
    """The largest of some values over all ranks, so that everybody decides alike; one round late, so that nobody waits.

    Args:
        first: What the first round brings. A single rank agrees with itself at once.
    """

    def __init__(self, first: Sequence[float]) -> None:
        self.sent, self.work = torch.tensor(first, dtype=torch.float64), None

    def exchange(self, values: Sequence[float]) -> list[float]:
        """What all ranks agreed on in the round before; the next one will bring these values."""
        if world() == 1:
            return list(values)
        agreed = self.receive()
        self.sent = torch.tensor(values, dtype=torch.float64)
        with naming_the_phase("agreeing on the next step"):
            self.work = dist.all_reduce(self.sent, op=dist.ReduceOp.MAX, async_op=True)
        return agreed

    def receive(self) -> list[float]:
        """Wait for the round that is under way; due once at the end, before the ranks part."""
        if self.work is not None:
            with naming_the_phase("agreeing on the next step"):
                self.work.wait()
            self.work = None
        return self.sent.tolist()


def broadcast_text(text: str, *, phase: str = "sharing the run folder's name") -> str:
    """Rank 0's text, on every rank."""
    if world() == 1:
        return text
    box = [text]
    with naming_the_phase(phase):
        dist.broadcast_object_list(box, src=0)
    return str(box[0])


def add_up(values: Tensor) -> None:
    """Replace the values, on the host, by their sum over all ranks."""
    if world() > 1:
        with naming_the_phase("gathering samples"):
            dist.all_reduce(values)


def broadcast_buffers(modules: Iterable[nn.Module]) -> None:
    """Give every rank the buffers of rank 0: batch statistics differ between ranks until then.

    A module with a method `join_ranks` joins what the ranks have instead; it is handed a function that adds tensors up.
    """
    if world() > 1:
        with naming_the_phase("sharing batch statistics"):
            for part in (part for module in modules for part in module.modules()):
                if callable(join := getattr(part, "join_ranks", None)):
                    join(dist.all_reduce)
                    continue
                for buffer in part.buffers(recurse=False):
                    dist.broadcast(buffer, src=0)


def seed_noise(seed: int) -> None:
    """Seed the generators in use. `torch.manual_seed` does the same but takes 0.3 ms to note where it was called."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def step_seed(seed: int, samples: int) -> int:
    """A seed for the step that begins at this position of the data stream; the same on every rank."""
    return int(np.random.SeedSequence([seed, 0x57E9, samples]).generate_state(1, np.uint64)[0] >> np.uint64(2))
