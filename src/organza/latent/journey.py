"""Which walk was asked for: what `organza interpolate` says, turned into frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from organza.errors import UsageError
from organza.generate import check_request, class_index
from organza.latent.directions import choose_direction
from organza.latent.files import load_points, load_tuned
from organza.latent.paths import Curve, class_frames, direction_frames, swing, walk_frames
from organza.latent.space import Space
from organza.run import Run


def journey(
    run: Run,
    space: Space,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3),
    points: Sequence[Path] = (),
    count: int = 1,
    label: str | int | None = None,
    to_label: str | int | None = None,
    direction: str | None = None,
    reach: float = 3.0,
    curve: Curve = "auto",
    frames: int = 16,
    loop: bool = True,
    truncation: float = 1.0,
    tuned: Path | None = None,
) -> np.ndarray:
    """Frames (F, N, H, W, C) of a walk: from class to class, else along a direction, else from stop to stop.

    Args:
        run: Its folder holds the directions.
        space: Of the run.
        seeds: Stops; stop k shows the first `count` samples of seed k.
        points: Files of points to stop at instead, one or more in each; `count` is then 1.
        count: Samples side by side.
        label: A class by name or index; None: any.
        to_label: Another, to walk to.
        direction: NAME or NAME:INDEX.
        reach: How far along it, to both sides, in deviations.
        curve: See `walk_frames`.
        frames: From stop to stop; of the whole film along a direction or between classes.
        loop: Whether the last frame leads back to the first.
        truncation: Of drawn points.
        tuned: Weights to load into the generator first.

    Raises:
        UsageError: The options contradict each other, or the generator cannot do it.
    """
    check_request(count, min(seeds, default=-1), truncation)
    if to_label is not None and (direction or points):
        raise UsageError("--to-label walks between classes: leave out --direction and --points")
    if tuned is not None:
        load_tuned(space, tuned)
    told = None if label is None else class_index(run, label, space.num_classes > 0)
    if to_label is not None:
        there = class_index(run, to_label, space.num_classes > 0)
        if told is None or truncation != 1:
            raise UsageError("--to-label needs --label, the class to begin with, and --truncation 1")
        return class_frames(space, count, here=told, there=there, shares=swing(frames, loop=loop), seed=seeds[0])
    labels = space.labels(count, seed=seeds[0], label=told)
    if points:
        stops, labels = held_stops(space, points, label=told)
    else:
        stops = [space.draw(count, seed=seed, labels=labels, truncation=truncation) for seed in seeds]
    if direction is not None:
        vector, rows = choose_direction(run.folder / "directions", direction, space)
        options = {"labels": labels, "reach": reach, "frames": frames, "loop": loop}
        return direction_frames(space, stops[0], vector, layers=rows, **options)
    return walk_frames(space, stops, labels=labels, frames=frames, curve=curve, loop=loop)


def held_stops(space: Space, paths: Sequence[Path], *, label: int | None) -> tuple[list[Tensor], Tensor | None]:
    """Points from files as stops (1, ...) of a walk, and the class of their images: `label`, or in Z that of the files.

    Raises:
        UsageError: They belong to several classes.
    """
    held, of_points = load_points(paths, space)
    stops = list(held[:, None].unbind())
    if of_points is None or label is not None or space.kind == "w":
        return stops, space.labels(1, label=label)
    if len(set(of_points.tolist())) > 1:
        raise UsageError("these points belong to several classes; choose one with --label")
    return stops, of_points[:1]
