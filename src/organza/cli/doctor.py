"""organza doctor: is this machine fit to train? organza doctor RUN: is this run healthy?"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from organza import __version__
from organza.errors import UsageError

PACKAGES = ("torch", "numpy", "pillow", "safetensors", "tyro", "rich", "jaxtyping", "matplotlib")


USAGE = """usage: organza doctor [RUN]

Without RUN: versions, devices, disk and a verdict on this machine; exit code 1 if something hinders training.
With RUN: what is wrong with the run, since when, the numbers behind it, and the one change to try; exit code 3 if it
is ill, 0 if it is healthy or has warnings only."""


def main(args: list[str]) -> int:
    """The findings of a run, or the environment and a verdict; exit code 1 if something hinders training here."""
    if args in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if len(args) > 1 or (args and args[0].startswith("-")):
        raise UsageError(f"organza doctor takes a run folder or nothing; got {' '.join(args)}")
    if args:
        return show(args[0])
    problems: list[str] = []
    print(f"organza      {__version__}")
    print(f"python       {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            print(f"{name:<12} {version(name)}")
        except PackageNotFoundError:
            problems.append(f'{name} is not installed: pip install "{name}"')
    problems += check_torch() + check_disk()
    for problem in problems:
        print(f"problem      {problem}")
    print("verdict      " + ("fit to train" if not problems else f"{len(problems)} to mend"))
    return 1 if problems else 0


def show(folder: str) -> int:
    """Print the findings of a run."""
    from organza.budgets import more_of
    from organza.doctor.catalogue import diagnose
    from organza.doctor.history import History
    from organza.doctor.visit import cure, exit_code, newest_exhibit, summary
    from organza.run import open_run

    run = open_run(folder)
    history = History(run.rows(), run.config)
    findings = diagnose(history)
    print(f"{folder}: {summary(findings, history)}")
    if not findings and not history.is_warm:
        print(f"Longer: {more_of(run)}")
    if not history.exams:
        print("It holds no examinations (trained with --doctor off, or hardly begun), so most illnesses go unseen.")
    for treated in run.interventions:
        words = ", ".join(f"{name} = {value}" for name, value in treated["fields"].items())
        print(f"treated: from {treated['samples']:,} samples on with {words} ({treated['reason']})")
    for finding in findings:
        print(f"\n{finding.level}: {finding.title}")
        when = f"{finding.since:,} to " if finding.since < finding.until else "at "
        print(f"  when     {when}{finding.until:,} samples")
        for evidence in finding.evidence:
            print(
                f"  measured {evidence.name}: {evidence.value:.4g} (limit {evidence.threshold:.4g}; {evidence.healthy})"
            )
        if picture := newest_exhibit(run.folder, finding):
            print(f"  look at  {picture}")
        print(f"  why      {finding.why}")
        print(f"  try      {finding.change.words()}")
        if command := cure(finding, run):
            print(f"           {command}")
    return exit_code(findings)


def check_torch() -> list[str]:
    """Devices, threads, and one backward pass to see that they compute."""
    try:
        import torch
    except Exception as error:
        return [f"torch cannot be imported: {error}"]
    from organza import devices

    devices.prepare()
    device = devices.choose("auto")
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    here = f"{cores} core{'s' * (cores > 1)}, {threads} thread{'s' * (threads > 1)}"
    print(f"device       {device} (--device auto), {here}")
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        print(f"cuda:{index}       {torch.cuda.get_device_name(index)}, {memory:.0f} GiB, capability {major}.{minor}")
    precision = "bf16" if devices.precision("auto", device) is torch.bfloat16 else "float32"
    print(f"precision    {precision} (--precision auto)")
    try:
        x = torch.ones(2, 2, device=device, requires_grad=True)
        (gradient,) = torch.autograd.grad((x @ x).square().sum(), x, create_graph=True)
        gradient.sum().backward()
    except RuntimeError as error:
        return [f"{device} cannot compute: {str(error).splitlines()[0]} (driver or torch build; try --device cpu)"]
    return []


def check_disk() -> list[str]:
    """Whether runs can be written here, and how much fits."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    print(f"disk         {free:.1f} GiB free in {Path.cwd()}")
    problems = [f"only {free:.1f} GiB free in the current folder"] if free < 1 else []
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            pass
    except OSError as error:
        problems.append(f"the current folder cannot be written ({error}); change folder or use --run DIR")
    return problems
