"""organza generate RUN --out FILE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, final

from organza.cli.options import RunFolder, parse

DESCRIPTION = """Make samples from a run with its averaged generator.

--out decides the form: a grid (.png), arrays (.npz: images uint8 N x H x W x C, labels), a film of an
interpolation (.gif), or a folder with one file each. Pictures carry a machine-readable mark that a model made them."""


@final
@dataclass(frozen=True, kw_only=True)
class Generate:
    """What `organza generate` takes."""

    run: RunFolder
    """The run folder."""
    count: int = 64
    """How many samples."""
    seed: int = 0
    """Sample i depends on (seed, i) alone."""
    label: Optional[str] = None
    """A class by name or index; default: any."""
    out: Path = Path("samples.png")
    """A .png, .npz or .gif file, replaced if it is there; or a folder that is new or empty."""
    truncation: float = 1.0
    """Below 1 trades variety for typicality."""
    checkpoint: str = "newest"
    """newest, best (by the run's --best-by) or the folder of a checkpoint."""
    mark: bool = True
    """Mark pictures as made by a model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Generate and write."""
    given = parse(Generate, args, verb="generate", description=DESCRIPTION)
    from organza import devices
    from organza.generate import generate, interpolate, write
    from organza.run import open_run

    run, device = open_run(given.run), devices.choose(given.device)
    path = run.checkpoint(given.checkpoint)
    if given.out.suffix.lower() == ".gif":
        line = interpolate(
            run,
            given.out,
            count=given.count,
            seed=given.seed,
            label=given.label,
            truncation=given.truncation,
            mark=given.mark,
            device=device,
            checkpoint=path,
        )
    else:
        made = generate(
            run,
            given.count,
            seed=given.seed,
            label=given.label,
            truncation=given.truncation,
            device=device,
            checkpoint=path,
        )
        line = write(run, made, given.out, seed=given.seed, mark=given.mark)
    print(line)
    return 0
