"""organza explore RUN truncation|styles|classes --out FILE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional, final

import tyro

from organza.cli.options import RunFolder, parse

DESCRIPTION = """A picture in rows and columns of what a run's generator does with its latents.

truncation: a row for each sample, a column for each truncation. styles (generators with W): rows give the coarse
styles, columns the fine ones. classes: a row for each sample, columns from class --label to --to-label."""


@final
@dataclass(frozen=True, kw_only=True)
class Explore:
    """What `organza explore` takes."""

    run: RunFolder
    """The run folder."""
    show: Annotated[Literal["truncation", "styles", "classes"], tyro.conf.Positional] = "truncation"
    """What."""
    out: Optional[Path] = None
    """A .png file, replaced if it is there; default: truncation.png, styles.png or classes.png."""
    count: int = 6
    """Rows."""
    columns: int = 7
    """Columns of styles and classes."""
    seed: int = 0
    """Row i shows sample i of it; the columns of styles show those of the next seed."""
    values: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    """Truncations."""
    crossover: Optional[int] = None
    """First layer that obeys the column; default: a third of the layers."""
    label: Optional[str] = None
    """A class by name or index; default: any. The first of classes."""
    to_label: Optional[str] = None
    """The last of classes."""
    truncation: float = 1.0
    """Of the points whose styles are mixed."""
    checkpoint: str = "newest"
    """newest, best (by the run's --best-by) or the folder of a checkpoint."""
    mark: bool = True
    """Mark the picture as made by a model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Make the picture."""
    given = parse(Explore, args, verb="explore", description=DESCRIPTION)
    from organza import devices, pictures
    from organza.errors import StorageError, UsageError
    from organza.generate import check_request, class_index, no_classes
    from organza.latent.paths import class_frames, swing
    from organza.latent.sheets import frames_sheet, style_sheet, truncation_sheet
    from organza.latent.space import open_space
    from organza.run import open_run

    out = given.out or Path(f"{given.show}.png")
    if out.suffix.lower() != ".png":
        raise UsageError(f"cannot write {out.suffix or 'a folder'}; use .png")
    check_request(given.count, given.seed, given.truncation)
    check_request(given.columns, given.seed, given.truncation)
    run, device = open_run(given.run), devices.choose(given.device)
    space = open_space(run, run.game(path=run.checkpoint(given.checkpoint), device=device))
    told = None if given.label is None else class_index(run, given.label, space.num_classes > 0)
    labels = space.labels(given.count, seed=given.seed, label=told)
    match given.show:
        case "truncation":
            picture = truncation_sheet(space, given.values, count=given.count, seed=given.seed, labels=labels)
            top = [f"{value:g}" for value in given.values]
            line = f"truncation {' '.join(top)}"
        case "styles":
            rows = space.draw(given.count, seed=given.seed, labels=labels, truncation=given.truncation)
            across = space.labels(given.columns, seed=given.seed + 1, label=told)
            columns = space.draw(given.columns, seed=given.seed + 1, labels=across, truncation=given.truncation)
            picture, crossover = style_sheet(space, rows, columns, crossover=given.crossover)
            top = ["coarse", *["fine"] * given.columns]
            line = f"styles: rows below layer {crossover}, columns from there on,"
        case "classes":
            there = None if given.to_label is None else class_index(run, given.to_label, space.num_classes > 0)
            if told is None or there is None:
                if not space.num_classes:
                    raise UsageError(no_classes(run))
                raise UsageError("classes are mixed from --label to --to-label; give both")
            shares = swing(given.columns, loop=False)
            frames = class_frames(space, given.count, here=told, there=there, shares=shares, seed=given.seed)
            picture, line = frames_sheet(frames), f"classes {given.label} to {given.to_label}"
            top = [given.label, *(f"{share:.0%}" for share in shares[1:-1]), given.to_label]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        notes = {"Model": run.folder.name, "Seed": str(given.seed), "Shows": line}
        picture = pictures.captioned(picture, top=top)
        pictures.save_png(picture, out, metadata=notes, mark=given.mark)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}") from error
    print(f"{line} in {out}")
    return 0
