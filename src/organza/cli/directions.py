"""organza directions RUN --method sefa|pca."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional, final

from organza.cli.options import RunFolder, parse

DESCRIPTION = """Find directions in which a run's samples change, without labels, and keep them in the run folder.

sefa: where the layers that read the latent (w where there is one) stretch it most. pca: where w, or what the first
layer makes of latents, varies most. Writes RUN/directions/NAME.safetensors, NAME.json and a picture NAME.png: a row
for each direction, columns from -reach to reach deviations. Walk with: organza interpolate RUN --direction NAME:0"""


@final
@dataclass(frozen=True, kw_only=True)
class FindDirections:
    """What `organza directions` takes."""

    run: RunFolder
    """The run folder."""
    method: Literal["sefa", "pca"] = "sefa"
    """How to find them."""
    count: int = 8
    """How many."""
    name: Optional[str] = None
    """To keep them under; default: the method's."""
    space: Literal["auto", "z", "w"] = "auto"
    """Where they lie; auto: w where there is one."""
    layers: Optional[tuple[int, int]] = None
    """First and last layer that is meant (w alone); default: all."""
    samples: int = 5000
    """Points from which pca and the deviations are measured."""
    seed: int = 0
    """Of these; the picture moves the seed's first sample."""
    label: Optional[str] = None
    """Class of the sample in the picture, by name or index; default: any."""
    reach: float = 3.0
    """Of the picture, to both sides, in deviations."""
    columns: int = 7
    """Of the picture."""
    checkpoint: str = "newest"
    """newest, best (by the run's --best-by) or the folder of a checkpoint."""
    mark: bool = True
    """Mark the picture as made by a model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Find, keep and show."""
    given = parse(FindDirections, args, verb="directions", description=DESCRIPTION)
    import numpy as np

    from organza import devices, pictures
    from organza.generate import check_request, class_index
    from organza.latent.directions import find_directions, save_directions
    from organza.latent.sheets import direction_sheet
    from organza.latent.space import open_space
    from organza.run import open_run

    check_request(given.columns, given.seed, 1.0)
    run, device = open_run(given.run), devices.choose(given.device)
    checkpoint = run.checkpoint(given.checkpoint)
    space = open_space(run, run.game(path=checkpoint, device=device), given.space)
    told = None if given.label is None else class_index(run, given.label, space.num_classes > 0)
    found = find_directions(
        space,
        given.method,
        count=given.count,
        name=given.name,
        samples=given.samples,
        seed=given.seed,
        layers=given.layers,
    )
    labels = space.labels(1, seed=given.seed, label=told)
    point = space.draw(1, seed=given.seed, labels=labels)
    options = {"labels": labels, "reach": given.reach, "columns": given.columns, "layers": found.rows}
    picture = direction_sheet(space, point, found.steps, **options)
    note = {"checkpoint": checkpoint.name, "samples": given.samples, "seed": given.seed}
    path = save_directions(found, run.folder / "directions", note=note)
    notes = {"Model": run.folder.name, "Seed": str(given.seed), "Shows": f"directions {found.name}"}
    top = [f"{round(amount, 6) + 0.0:+.3g}" for amount in np.linspace(-given.reach, given.reach, given.columns)]
    left = [f"{index}  {share:.1%}" for index, share in enumerate(found.strengths.tolist())]
    picture = pictures.captioned(picture, top=top, left=left)
    pictures.save_png(picture, path.with_suffix(".png"), metadata=notes, mark=given.mark)
    shares = " ".join(f"{share:.1%}" for share in found.strengths.tolist())
    print(
        f"{len(found.vectors)} directions in {found.space}, strengths {shares}, in {path}; {path.with_suffix('.png')}"
    )
    return 0
