"""What a generator is told for pictures and scores: labels of a grid, and sources, for images made from images."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import torch

from organza.data.options import DataOptions
from organza.data.registry import open_source, unseen_part
from organza.data.source import Source, decode
from organza.data.spec import ImageSpec, Spec
from organza.game import Batch, Game, Request
from organza.inference import feed
from organza.run import Run


@final
class Inputs:
    """Which samples a request without sources is about: row i follows from (seed, i) and from how many there are.

    Args:
        opened: Opens the data when the first row is wanted.
    """

    def __init__(self, opened: Callable[[], Source]) -> None:
        self.opened = opened
        self.source: Source | None = None

    def __len__(self) -> int:
        """How many samples there are; more rows begin anew."""
        self.source = self.source or self.opened()
        return len(self.source)

    def __call__(self, request: Request) -> Batch:
        """`source` (count, C, H, W), and `image` likewise where the data is paired, as networks see them."""
        count = len(self)
        assert self.source is not None
        order = np.random.default_rng([request.seed, 0x1290, count]).permutation(count)
        rows = order[np.arange(request.start, request.start + request.count) % count]
        batch = decode(self.source.read(rows), self.source.spec)
        return {key: batch[key] for key in (("source", "image") if is_paired(self.source) else ("source",))}


def grid_labels(game: Game, spec: Spec, count: int) -> torch.Tensor | None:
    """Labels for `count` samples, class by class along each row, or evenly spaced where there are more classes.

    None where the generator takes none.
    """
    if not game.is_conditional:
        return None
    steps, classes = torch.arange(count), spec.num_classes
    return steps * classes // count if classes > count else steps % classes


def at_most(game: Game, count: int) -> int:
    """So many samples, or as many as there are to make others of."""
    return min(count, len(game.inputs)) if isinstance(game.inputs, Inputs) else count


def is_paired(source: Source) -> bool:
    """Whether the data holds what should be made of each of its sources."""
    return isinstance(source.spec, ImageSpec) and source.spec.source is not None and source.spec.is_paired


def fed(game: Game, run: Run, source: Source | None = None) -> Game:
    """The game of a run, fed with data it has not seen, else with its training data, if it makes images from images.

    Args:
        game: The game, changed in place.
        run: Whose data.
        source: The training data, where it is open already.
    """
    spec = run.spec
    if not isinstance(spec, ImageSpec) or spec.source is None:
        return game

    def opened() -> Source:
        return unseen(run) or source or open_source(run.config["data"]["source"], run.data_options)

    return feed(game, Inputs(opened))


def unseen(run: Run) -> Source | None:
    """Data of the same kind that the run does not train on: the other split of its source, if there is one."""
    return unseen_part(run.config["data"]["source"], run.data_options, run.spec)


def lacks_unseen(data: str, options: DataOptions, spec: Spec) -> bool:
    """Whether images are made from images, and none are kept apart to see that done."""
    if not spec.has_source:
        return False
    found = unseen_part(data, options, spec)
    if found is not None:
        found.close()
    return found is None
