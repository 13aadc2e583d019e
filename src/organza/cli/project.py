"""organza project RUN IMAGE..."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional, final

import tyro

from organza.cli.options import RunFolder, parse

DESCRIPTION = """Find the points from which a run's generator makes images that you have (inversion).

By pixel errors at several scales, from the nearest of many random samples; the nearest of them is the baseline that
is told beside the result. Writes NAME.png (target, inversion, [tuned,] difference), NAME.safetensors (the point) and
NAME.json (numbers). Images of another size are cut around the centre and resized."""

MADE = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4")
"""Endings of what can only be meant as a file."""


@final
@dataclass(frozen=True, kw_only=True)
class Project:
    """What `organza project` takes."""

    run: RunFolder
    """The run folder."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE ...")]
    """Image files, or folders of them; sub-folders are not read."""
    space: Literal["auto", "z", "w", "w+"] = "auto"
    """auto: w where there is one, else z; w+: another w for each layer, nearer and worse to edit."""
    steps: int = 400
    """Of the search, from each start."""
    starts: int = 4
    """Starts, the nearest of the random samples."""
    among: int = 1000
    """Random samples."""
    rate: float = 0.1
    """Largest step, in deviations of a coordinate."""
    label: Optional[str] = None
    """Class of the images, by name or index; default: that of the nearest random samples."""
    tune: int = 0
    """Steps of pivotal tuning: a copy of the generator is trained to make the image from the point. 0: none."""
    tune_rate: float = 3e-4
    """Step size of that."""
    locality: float = 0.1
    """Weight of what tuning changes elsewhere."""
    seed: int = 0
    """Of all that is random."""
    out: Optional[Path] = None
    """Folder for the files, or of a single image the .png, the other files beside it; default: RUN/projections."""
    checkpoint: str = "newest"
    """newest, best (by the run's --best-by) or the folder of a checkpoint."""
    mark: bool = True
    """Mark pictures as made by a model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Invert each image and write what was found."""
    given = parse(Project, args, verb="project", description=DESCRIPTION)
    from organza import devices
    from organza.data.scan import looks_like_image
    from organza.errors import UsageError
    from organza.generate import class_index
    from organza.latent.files import read_target, write_inversion
    from organza.latent.invert import invert, psnr, tune
    from organza.latent.space import open_space
    from organza.run import open_run

    images: list[Path] = []
    for path in given.images:
        inside = sorted(file for file in path.iterdir() if looks_like_image(file.name)) if path.is_dir() else [path]
        if not inside:
            below = next((one.parent for one in sorted(path.rglob("*")) if looks_like_image(one.name)), None)
            deep = f"; those in sub-folders are not read unless named, such as {below}" if below else ""
            raise UsageError(f"{path} holds no images{deep}; name image files, or a folder of them")
        images += inside
    names = [path.stem for path in images]
    if not names or len(set(names)) < len(names) or given.tune < 0:
        raise UsageError("give one or more images whose names differ before the ending, and --tune of at least 0")
    out = given.out
    file = out if out and out.suffix.lower() in MADE and not out.is_dir() else None
    if file and (file.suffix.lower() != ".png" or len(images) > 1):
        raise UsageError(
            f"--out {file} names a file, and {len(images)} image{'s' * (len(images) > 1)} are to be projected: name a "
            "folder, or for a single image a .png"
        )
    run, device = open_run(given.run), devices.choose(given.device)
    checkpoint = run.checkpoint(given.checkpoint)
    game = run.game(path=checkpoint, device=device)
    space = open_space(run, game, "w" if given.space == "w+" else given.space)
    told = None if given.label is None else class_index(run, given.label, space.num_classes > 0)
    folder = out or run.folder / "projections"
    if file:
        folder, names = file.parent, [file.stem]
    overwritten = {(folder / f"{name}.png").resolve() for name in names} & {path.resolve() for path in images}
    if overwritten:
        raise UsageError(f"the result would replace {min(overwritten)}; name another place with --out FOLDER")
    targets = [read_target(path, space.spec) for path in images]
    note = {"checkpoint": checkpoint.name, "is_free": given.space == "w+", "steps": given.steps, "seed": given.seed}
    for name, (image, resized) in zip(names, targets, strict=True):
        target = image.to(space.device)
        found = invert(
            space,
            target,
            steps=given.steps,
            starts=given.starts,
            among=given.among,
            is_free=given.space == "w+",
            label=told,
            rate=given.rate,
            seed=given.seed,
        )
        tuned = None
        if given.tune:
            options = {"steps": given.tune, "rate": given.tune_rate, "locality": given.locality, "seed": given.seed}
            tuned = tune(space, found, target, **options)
        write_inversion(folder, name, space, target, found, tuned=tuned, note=note, mark=given.mark)
        after = "" if tuned is None else f", tuned {tuned[1].rms:.4f} ({tuned[1].psnr:.1f} dB)"
        print(
            f"{name}: pixel error {found.rms:.4f} ({found.psnr:.1f} dB){after}; nearest of {given.among:,} random "
            f"samples {found.baseline:.4f} ({psnr(found.baseline):.1f} dB); {found.distance:.2f} typical distances "
            "from the mean" + (f"; {resized}" if resized else "")
        )
    print(f"{len(names)} projection{'s' if len(names) > 1 else ''} in {folder}")
    return 0
