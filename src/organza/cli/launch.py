"""Several processes on this machine: torchrun, started from here."""

from __future__ import annotations

import os
import sys

from organza.errors import DistributedError, UsageError


def needs_launch(devices: int) -> bool:
    """Whether this process has to start others rather than train."""
    return devices > 1 and "RANK" not in os.environ


def launch(devices: int, args: list[str]) -> int:
    """Run `organza ARGS` in `devices` processes, wait for them, and return the exit code of the first that failed.

    Raises:
        UsageError: There are not so many devices; a process for each would bring the machine to its knees.
        DistributedError: A rank was killed; the message names it.
    """
    cores = os.cpu_count() or 1
    if devices > cores:
        raise UsageError(f"--devices {devices} means so many processes, and there are {cores} cores here; take fewer")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // devices)))
    os.environ.setdefault("LOGLEVEL", "CRITICAL")  # the launcher's own log tells nothing that is not said below
    torchrun = ["--standalone", "--nproc-per-node", str(devices), "-m", "--", "organza", *args]
    try:
        run(get_args_parser().parse_args(torchrun))
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        killed = ((rank, one) for rank, one in error.failures.items() if one.exitcode < 0)
        rank, failure = next(killed, error.get_first_failure())  # others fail when they miss it, maybe at the same look
        if failure.exitcode in (1, 2, 3, 130, 143):  # it has said itself what is wrong, or how to go on
            return failure.exitcode
        how = (
            f"was killed by signal {-failure.exitcode}"
            if failure.exitcode < 0
            else f"ended with code {failure.exitcode}"
        )
        print(file=sys.stderr)
        raise DistributedError(
            f"rank {rank} of {devices} {how} (process {failure.pid}), so the run ended. What it has saved is intact: "
            "go on from its newest checkpoint with organza resume RUN"
        ) from None
    return 0
