"""organza evaluate RUN|FOLDER|NPZ [--against SRC]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional, final

import tyro

from organza.cli.options import parse

DESCRIPTION = """Score a run, or samples in a folder, .zip, .npz or .npy file, against real data.

Beside each score stands its floor: the same measure real against real. Records with everything that a score
depends on go to RUN/scores.jsonl. FID, KID and IS are scores of --extractor inception alone.

Results of a run that makes images from images are also compared with their truths, one by one, where unseen pairs are
known; beside those scores stand baselines, which need no model."""


@final
@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """What `organza evaluate` takes."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, or samples."""
    against: Optional[str] = None
    """Source of the real samples; default: the run's own data."""
    split: Optional[Literal["train", "test"]] = None
    """Which part of it; default: the one that was trained on, or unseen, for runs that make images from images."""
    count: int = 10_000
    """Samples of each side, at most."""
    extractor: Optional[str] = None
    """inception, dinov2, clip, efficientnet-lite0, digits, fashion or pixels; default: what suits the data."""
    weights: Optional[Path] = None
    """File (dinov2, clip: folder) of the extractor's weights."""
    seed: int = 0
    """Sample i depends on (seed, i) alone."""
    truncation: float = 1.0
    """Below 1 trades variety for typicality."""
    checkpoint: str = "newest"
    """newest, best or the folder of a checkpoint."""
    measures: tuple[str, ...] = ()
    """Which to compute, such as frechet kernel precision psnr ssim; default: all that can be."""
    resize: Optional[str] = None
    """Size to bring images from files to."""
    offline: bool = False
    """Never download weights or data."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    out: Optional[Path] = None
    """File to append the records to; default: RUN/scores.jsonl, or none for samples in files."""
    json: bool = False
    """Print the records, one JSON object a line, and nothing else."""


def main(args: list[str]) -> int:
    """Score, print, and keep the records."""
    given = parse(Evaluate, args, verb="evaluate", description=DESCRIPTION)
    from organza import devices, distributed
    from organza.metrics.record import append
    from organza.report.scores import show
    from organza.scoring import evaluate, meanings

    distributed.start(devices.choose(given.device))
    records = evaluate(
        given.target,
        given.against,
        extractor=given.extractor,
        weights=given.weights,
        count=given.count,
        split=given.split,
        seed=given.seed,
        truncation=given.truncation,
        checkpoint=given.checkpoint,
        device=given.device,
        measures=given.measures or None,
        resize=given.resize,
        offline=given.offline,
    )
    distributed.stop()
    if not records:  # another rank has them
        return 0
    folder = Path(given.target)
    out = given.out or (folder / "scores.jsonl" if (folder / "run.json").exists() else None)
    if out is not None:
        append(out, records)
    if given.json:
        print("\n".join(record.as_json() for record in records))
        return 0
    show(records, meanings(records))
    if out is not None:
        print(f"{len(records)} record{'s' * (len(records) > 1)} added to {out}")
    return 0
