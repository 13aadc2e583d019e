"""Sample grids from fixed latents, so that the pictures of a run make a film, and real samples in the same layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np
import torch

from organza import __version__, pictures
from organza.data.source import Source, encode
from organza.data.spec import ImageSpec
from organza.errors import StorageError
from organza.game import Batch, Report, Request
from organza.inputs import at_most, grid_labels


@final
class Samples:
    """A hook that writes samples/<samples seen>.png, real.png once, and at the end tour/."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.folder, self.source = folder, source
        self.listeners: list[Callable[[Path, int], None]] = []
        """Told of each grid, and after how many samples."""
        self.drawn_at: int | None = None
        spec = source.spec
        self.columns = spec.num_classes * max(1, 8 // spec.num_classes) if 2 <= spec.num_classes <= 16 else 8
        self.count = self.columns * 8 if isinstance(spec, ImageSpec) else 2_500
        if isinstance(spec, ImageSpec) and spec.source is not None:
            self.columns, self.count = 4, 32

    def __call__(self, report: Report) -> None:
        """Draw the grid of this moment, unless it is drawn already."""
        game, spec, seen = report.game, self.source.spec, report.clock.samples
        if self.drawn_at == seen:
            return
        self.drawn_at = seen
        count = at_most(game, self.count)
        request = Request(count, seed=0, labels=grid_labels(game, spec, count))
        made = game.generate(request)
        metadata = {"Software": f"organza {__version__}", "Model": self.folder.name, "Samples": str(seen)}
        try:
            real = self.folder / "real.png"
            if not real.exists():
                pictures.save_png(self.draw_real(), real, metadata={}, mark=False)
            picture = self.draw(made[spec.key]) if game.inputs is None else self.beside(made, game.inputs(request))
            path = self.folder / "samples" / f"{seen:09d}.png"
            pictures.save_png(picture, path, metadata=metadata)
        except OSError as error:
            raise StorageError(f"cannot write the sample grid into {self.folder}: {error}") from error
        for listener in self.listeners:
            listener(path, seen)

    def finish(self, report: Report) -> None:
        """Draw the last grid, and tour/<name>.png of a game of images that has a tour."""
        self(report)
        spec = self.source.spec
        if report.game.tour is None or not isinstance(spec, ImageSpec):
            return
        folder = self.folder / "tour"
        metadata = {"Model": self.folder.name, "Samples": str(report.clock.samples)}
        try:
            folder.mkdir(exist_ok=True)
            for name, samples in report.game.tour().items():
                images = encode(samples.flatten(0, 1), spec)
                pictures.save_png(
                    pictures.grid(images, columns=samples.shape[1]), folder / f"{name}.png", metadata=metadata
                )
        except OSError as error:
            raise StorageError(f"cannot write the pictures of the tour into {folder}: {error}") from error

    def draw(self, samples: torch.Tensor) -> pictures.Picture:
        """A grid of images or a cloud of points."""
        spec = self.source.spec
        if isinstance(spec, ImageSpec):
            return pictures.grid(encode(samples, spec), columns=self.columns)
        return pictures.scatter(samples.cpu().numpy(), self.real_points())

    def beside(self, made: Batch, given: Batch) -> pictures.Picture:
        """What went in, what came out, and what should have if that is known, side by side."""
        spec = self.source.spec
        assert isinstance(spec, ImageSpec)
        assert spec.source is not None
        shown = [encode(given["source"], spec.source), encode(made["image"], spec)]
        shown += [encode(given["image"], spec)] if "image" in given else []
        return pictures.grid(pictures.joined(shown), columns=self.columns, pad=8)

    def real_points(self) -> np.ndarray:
        """Points of the data to compare with."""
        return self.source.read(np.arange(min(2_500, len(self.source))))["vector"].numpy()

    def draw_real(self) -> pictures.Picture:
        """Real samples in the layout of the grid: one class a column where there are classes."""
        spec = self.source.spec
        if not isinstance(spec, ImageSpec):
            return pictures.scatter(self.real_points()[:0], self.real_points())
        chosen = np.random.default_rng(0).permutation(len(self.source))[: 10 * self.count]
        stored = self.source.read(chosen)
        order = np.arange(min(self.count, len(stored["image"])))
        if "label" in stored and self.columns % spec.num_classes == 0:
            label, most = stored["label"].numpy(), self.count // spec.num_classes
            rows = [np.flatnonzero(label == index)[:most] for index in range(spec.num_classes)]
            depth = min(len(row) for row in rows)
            order = np.stack([row[:depth] for row in rows], axis=1).ravel() if depth else order
        columns = self.columns * (1 if spec.source is None else 2)  # a source and its result take two places
        return pictures.grid(stored["image"].numpy()[order].transpose(0, 2, 3, 1), columns=columns)
