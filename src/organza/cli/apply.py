"""organza apply RUN IN OUT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional, final

import tyro

from organza.cli.options import RunFolder, parse

DESCRIPTION = """Run a model that makes images from images on files of your own, of any size.

IN is an image, a folder of images (sub-folders too) or a film; OUT is a file, a folder or a film. Colour and gray are
converted to what the model takes, sizes are left as they are. Large images need much memory: --tile cuts them into
tiles that fade into each other. Films need ffmpeg."""


@final
@dataclass(frozen=True, kw_only=True)
class Apply:
    """What `organza apply` takes."""

    run: RunFolder
    """The run folder."""
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """An image, a folder or a film."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Where to write: files are replaced; in a folder that is there a single image keeps its name."""
    mask: Optional[Path] = None
    """For models that fill holes: a picture, white where the image is to be filled, or a folder of them with the names
    of the images. Without it transparent parts are filled."""
    mask_inverted: bool = False
    """Black marks the holes, not white."""
    strength: float = 1.0
    """For models that enlarge: from the least error (0) to what looks real (1)."""
    reverse: bool = False
    """The other way round, from targets to sources, where the model goes both ways (cyclegan)."""
    tile: int = 0
    """Largest side that goes through the networks at once; 0: images go through whole."""
    overlap: Optional[int] = None
    """Pixels that neighbouring tiles share; default: 32, or half a tile if that is less."""
    seed: int = 0
    """Of noise, where the model has any."""
    checkpoint: str = "newest"
    """newest, best (by the run's --best-by) or the folder of a checkpoint."""
    mark: bool = True
    """Mark pictures as made by a model."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def main(args: list[str]) -> int:
    """Apply and say what was written."""
    given = parse(Apply, args, verb="apply", description=DESCRIPTION)
    from organza import devices
    from organza.apply import Masks, applier, apply
    from organza.errors import UsageError
    from organza.run import open_run

    model = applier(
        open_run(given.run),
        checkpoint=given.checkpoint,
        device=devices.choose(given.device),
        reverse=given.reverse,
        tile=given.tile,
        overlap=given.overlap,
        seed=given.seed,
        strength=given.strength,
    )
    if given.mask and not model.game.fills:
        raise UsageError(
            f"{given.run} fills no holes, so leave out --mask; such models are trained by organza train inpaint"
        )
    masks = Masks(given.mask, given.mask_inverted) if given.mask else None
    for line in apply(model, given.source, given.out, masks=masks, mark=given.mark):
        print(line)
    return 0
