"""How a data source is read: one frozen dataclass, without torch, that the command line shows as options."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from organza.errors import UsageError

MAX_SIDE = 16384
MADE = ("small", "holes", "gray")
"""Kinds of pairs that are made of single images."""
HOLED = ("masks", "holes")
"""Kinds of pairs whose sources are the images with transparent holes."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How a data source is read."""

    resize: Optional[str] = None
    """Size to bring every image to: `64` for 64x64, `64x48` for width 64, height 48. Without it sizes must be equal.
    Where one side of pairs is larger than the other by a whole factor, the size of the larger side."""

    crop: Literal["center", "none", "tiles"] = "center"
    """With --resize: `center` scales until the target is covered and cuts the middle; `none` stretches; `tiles` cuts
    images at their own scale into as many of that size as cover them, and holds out those of an image together."""

    channels: Literal["auto", "gray", "rgb", "rgba"] = "auto"
    """`auto`: gray if every image is gray, rgba if most have an alpha channel, else rgb. Lost alpha shows white."""

    labels: bool = True
    """Read class labels where the source has them: sub-folders, dataset.json, a label array or file."""

    clusters: int = 0
    """Without labels: so many groups of similar samples, all of the same size, serve as classes. 0: none."""

    clusters_of: Optional[str] = None
    """Run or source whose groups these are, as for fine-tuning, whatever labels the data has; default: the data."""

    to: Optional[str] = None
    """Second source, for image to image: what the images of the first are to become. Paired with `--paired yes`."""

    pairs: Literal["auto", "side-by-side", "masks", "small", "holes", "gray", "none"] = "auto"
    """Image to image within one source. `auto`: folders such as trainA and trainB, A and B, LR and HR, or images all
    exactly twice as wide as high, which are halved; `side-by-side`: halves of images of any shape; `masks`: holes that
    NAME_mask.png shows in NAME.png are to be filled; `none`: single images. Or what is to be undone in single images:
    `small` makes them small, `holes` covers parts of them, both anew at each visit, `gray` takes their colors."""

    scale: int = 4
    """With --pairs small: how many times as small."""

    wear: Optional[float] = None
    """With --pairs small: how worn they get on the way, by blur, noise and compression as photographs meet them, from 0
    (a bicubic filter) to 1 (as Real-ESRGAN has it). Default: what the preset has, else 0."""

    holes: Literal["any", "thin", "medium", "thick"] = "any"
    """With --pairs holes: strokes and boxes of this kind; `any` draws one of the three for each image."""

    paired: Literal["auto", "yes", "no"] = "auto"
    """Whether images of the same name on both sides belong together. `auto`: as the folders say (trainA and trainB: no;
    A and B: if they share names; LR and HR, halves, masks: yes)."""

    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """For image to image: `BtoA` makes the first side out of the second."""

    split: Literal["train", "test"] = "train"
    """Which part to read, of sources that have both."""

    hold_out: float = 0.0
    """Share of the samples to keep from training, as the test split of a source that has none: for the doctor, who then
    sees what the critic knows by heart, and for scores. The choice is always the same."""

    limit: Optional[int] = None
    """Read only the first so many samples, in the order of their names."""

    strict: bool = False
    """Refuse the source if a single file is bad."""

    max_bad: float = 0.05
    """Largest share of bad files that are skipped; with more the source is refused."""

    offline: bool = False
    """Never download; say instead where to put the files."""

    workers: int = 2
    """Processes that decode folders too large for memory; 0 decodes in the main process. The samples do not change."""

    cache: Optional[Path] = None
    """Folder for data that is downloaded and scan results. Default: $ORGANZA_CACHE, else organza/ in the user's cache
    folder; there weights of networks are kept in any case."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        _ = self.size
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}; it needs at least 1 sample.")
        if not 0 <= self.max_bad <= 1:
            raise UsageError(f"--max-bad is {self.max_bad}; it is a share from 0 to 1, for example --max-bad 0.05.")
        if not 0 <= self.hold_out < 1:
            raise UsageError(f"--hold-out is {self.hold_out}; it is a share from 0 to 1, for example --hold-out 0.1.")
        if self.clusters < 0 or self.clusters == 1:
            raise UsageError(f"--clusters is {self.clusters}; it needs 2 or more, for example --clusters 64, or 0.")
        if self.to is not None and self.pairs in ("side-by-side", "masks", *MADE):
            raise UsageError(
                f"--pairs {self.pairs} has both sides of a pair from one source, and --to names a second one; leave "
                "out either"
            )
        if self.pairs in ("masks", *MADE) and self.paired == "no":
            raise UsageError(f"--pairs {self.pairs} makes pairs, so leave out --paired no.")
        if self.pairs in MADE and self.direction == "BtoA":
            raise UsageError(f"--pairs {self.pairs} goes one way only; leave out --direction BtoA.")
        if self.pairs in MADE and self.clusters:
            raise UsageError(f"--pairs {self.pairs} makes pairs, of which --clusters makes no classes; leave it out.")
        if self.scale < 2 or not 0 <= (self.wear or 0) <= 1:
            raise UsageError(
                f"--scale must be 2 or more and --wear from 0 to 1; got {self.scale} and {self.wear}, and usual are "
                "--scale 4 --wear 0"
            )
        if self.crop == "tiles" and self.resize is None:
            raise UsageError("--crop tiles needs the size of a tile, for example --resize 96.")
        if self.workers < 0:
            raise UsageError(f"--workers is {self.workers}; it needs 0 or more.")

    @property
    def size(self) -> tuple[int, int] | None:
        """What --resize asks for, as (height, width)."""
        if self.resize is None:
            return None
        match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", self.resize.strip())
        width = int(match[1]) if match else 0
        height = int(match[2] or width) if match else 0
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise UsageError(
                f"--resize is {self.resize!r}; it needs a size from 1 to {MAX_SIDE}, "
                "such as --resize 64 or --resize 64x48 (width x height)."
            )
        return height, width

    @property
    def cache_folder(self) -> Path:
        """Where downloads and scan results go."""
        if self.cache is not None:
            return self.cache.expanduser()
        if chosen := os.environ.get("ORGANZA_CACHE"):
            return Path(chosen).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "organza"
