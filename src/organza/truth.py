"""What was made of held-out images beside what they should have become, pair by pair, and beside what needs no model.

The distances of whole distributions do not see whether a result belongs to its own source. Where both sides of unseen
pairs are known, each result is compared with its truth. Beside every such score stand baselines: the same measure, of
the same pairs, of something that needs no training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import final

import numpy as np

from organza import distributed
from organza.baselines import MOST, as_seen, as_stored, makers
from organza.data.masks import is_hole
from organza.data.options import HOLED, DataOptions
from organza.data.pairs import relation
from organza.data.source import Source, encode
from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.features import cached, look
from organza.game import Game, Request
from organza.generate import Generated
from organza.inputs import is_paired
from organza.metrics.image_quality import WINDOW, absolute_error, masked_absolute_error, psnr, ssim
from organza.metrics.measures import Computed, Group, Measure, Sample, Score, compute
from organza.metrics.perceptual import PerceptualDistance
from organza.perceptual import choose_network, load_network
from organza.pools import Pool, order_of, pool_of_pairs

AT_MOST = 100.0
"""Decibels that an image counts for whose difference is smaller, or none: so the mean of PSNRs stays a number."""
WITHOUT = (
    "There is no perceptual distance, for no network for such images is at hand; for most images one comes with: "
    'pip install "organza[perceptual]".'
)
PAIRS = "pairs"
"""What these measures need, see `Group.needs`."""


@final
@dataclass(frozen=True)
class Words:
    """How a measure is called and read, see `Measure`."""

    title: str
    higher_is_better: bool
    meaning: str


WORDS = {
    "psnr": Words("PSNR", True, "how near results are to their truths, in decibels; blur fares well"),
    "ssim": Words("SSIM", True, "how alike structure, contrast and brightness are in small windows"),
    "absolute_error": Words("absolute error", False, "mean difference of results and truths; white on black is 1"),
    "masked_absolute_error": Words("masked absolute error", False, "the same within the holes of the sources alone"),
    "perceptual": Words("perceptual-{network}", False, "how unlike results and truths are in the eyes of the network"),
    "cycle": Words("cycle error", False, "mean difference of sources and what comes back of their results"),
}
"""In reading order."""


@final
@dataclass(frozen=True, eq=False)
class Made:
    """Pairs and what was made of their sources: stored images, (N, H, W, C) each."""

    given: np.ndarray
    real: np.ndarray
    fake: np.ndarray
    home: np.ndarray | None = None
    """What comes back of the fakes, where a model goes both ways."""


Judge = Callable[[Made], np.ndarray]
"""From pairs to a number each, (N,); NaN where there is nothing to measure."""
Maker = Callable[[np.ndarray, int], tuple[np.ndarray, ...]]
"""From sources and the position of the first to fakes, and maybe to what comes back of them."""


@final
class Truth:
    """Samples that a run has not seen, and the measures of what it makes of them.

    Args:
        held_out: Samples with their sources, in pairs or not.
        training: What the run was trained on.
        count: How many samples, at most; always the same ones.
        cache: Folder that baselines are kept in.
        reverses: Whether the model goes back to sources.
        fills: Whether it fills transparent holes of sources.
        device: Where the network of the perceptual distance computes.
        offline: Never download.
    """

    def __init__(
        self,
        held_out: Source,
        training: Source,
        *,
        count: int,
        cache: Path,
        device: str,
        offline: bool,
        reverses: bool = False,
        fills: bool = False,
    ) -> None:
        assert isinstance(held_out.spec, ImageSpec)
        assert held_out.spec.source is not None
        self.spec, self.source = held_out.spec.alone, held_out.spec.source
        self.held_out, self.training, self.cache, self.has_holes = held_out, training, cache, fills
        self.order = order_of(held_out)[:count]
        self.pool = pool_of_pairs(held_out, start=0, stop=count)
        self.judges: dict[str, Judge] = {}
        self.perceptual, self.note = None, ""
        if held_out.spec.is_paired:
            self.perceptual = perceptual_distance(held_out, border=self.border, device=device, offline=offline)
            self.note = "" if self.perceptual else WITHOUT
            self.judges |= paired_judges(
                self.spec, border=self.border, has_holes=self.has_holes, perceptual=self.perceptual
            )
        if reverses:
            self.judges["cycle"] = cycle_error

    @property
    def border(self) -> int:
        """Pixels left out at each edge: as many as a side is enlarged by, as is usual for enlarged images."""
        scale = relation(*((one.height, one.width) for one in (self.source, self.spec)))
        return scale if scale > 1 else 0

    @cached_property
    def table(self) -> dict[str, Measure]:
        """The measures that are possible here, by key, in reading order; there may be none."""
        parameters = {"border": self.border, "channels": "all", "psnr_at_most": AT_MOST}
        group = Group(compute=lambda real, fake: self.condensed(fake), parameters=parameters, needs=PAIRS)
        return {
            key: Measure(
                title=words.title.format(network=self.perceptual.name if self.perceptual else ""),
                group=group,
                higher_is_better=words.higher_is_better,
                meaning=words.meaning,
            )
            for key, words in WORDS.items()
            if key in self.judges
        }

    def read(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources and real images from one position to another."""
        batch = self.held_out.read(self.order[first:last])
        return as_stored(batch["source"]), as_stored(batch["image"])

    def judged(self, game: Game, *, seed: int) -> dict[str, Computed]:
        """The scores of a game by measure, with their baselines, on the first rank; every rank must call it."""

        def make(given: np.ndarray, first: int) -> tuple[np.ndarray, ...]:
            request = Request(len(given), seed=seed, start=first, sources=as_seen(given, self.source))
            fake = encode(game.generate(request)["image"], self.spec)
            if "cycle" not in self.judges:
                return (fake,)
            request = replace(request, sources=as_seen(fake, self.spec), reverse=True)
            return fake, encode(game.generate(request)["image"], self.source)

        made, _ = self.look(make), self.baselines  # all ranks share both
        return compute(self.table, list(self.table), made, made) if distributed.is_main() else {}

    def look(self, make: Maker) -> Sample:
        """What every judge says of every sample, (N, judges)."""

        def read(first: int, last: int) -> Generated:
            given, real = self.read(first, last)
            made = Made(given, real, *make(given, first))
            return Generated(np.stack([self.judges[key](made) for key in self.table], axis=1), None)

        return look(Pool(self.spec, len(self.order), read), None)

    @cached_property
    def baselines(self) -> dict[str, Sample]:
        """What every judge says of each baseline, kept in the cache; the other ranks may get empty samples."""
        if not is_paired(self.held_out):
            return {}
        key = [PAIRS, str(self.border), *(measure.title for measure in self.table.values())]
        key += [self.perceptual.network.sha256, *self.perceptual.network.layers] if self.perceptual else []
        pools = [self.pool, pool_of_pairs(self.training, start=0, stop=MOST)] if distributed.is_main() else []
        key += [pool.sha256 for pool in pools]
        fits = makers(self.source, self.spec, self.training, has_holes=self.has_holes)
        return {name: cached(self.cache, [*key, name], partial(self.look, maker)) for name, maker in fits.items()}

    def condensed(self, made: Sample) -> dict[str, Score]:
        """Means over images with their standard errors, and those of the baselines; on the first rank."""
        found = {}
        for index, key in enumerate(self.table):
            values, *others = (known(each.features[:, index]) for each in (made, *self.baselines.values()))
            error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
            means = {name: float(each.mean()) for name, each in zip(self.baselines, others, strict=True) if len(each)}
            found[key] = Score(float(values.mean()), error, "over images", {"baselines": means})
        return found


def fills(game: Game, options: DataOptions) -> bool:
    """Whether a game is to fill the transparent holes of such data."""
    return game.fills or options.pairs in HOLED


def known(values: np.ndarray) -> np.ndarray:
    """Those that are numbers."""
    return values[~np.isnan(values)]


def perceptual_distance(held_out: Source, *, border: int, device: str, offline: bool) -> PerceptualDistance | None:
    """The perceptual distance in the eyes of the network that suits the data; None where there is none."""
    spec = held_out.spec.images["image"]
    within = replace(spec, height=spec.height - 2 * border, width=spec.width - 2 * border)
    try:
        return PerceptualDistance(load_network(choose_network(held_out.name, within), offline=offline), device)
    except UsageError:
        return None


def paired_judges(
    spec: ImageSpec, *, border: int, has_holes: bool, perceptual: PerceptualDistance | None
) -> dict[str, Judge]:
    """What compares fakes with truths."""
    found: dict[str, Judge] = {
        "psnr": lambda made: np.minimum(psnr(made.real, made.fake, border=border), AT_MOST),
        "absolute_error": lambda made: absolute_error(made.real, made.fake, border=border),
    }
    if min(spec.height, spec.width) - 2 * border >= WINDOW:
        found["ssim"] = lambda made: ssim(made.real, made.fake, border=border)
    if perceptual is not None:
        found["perceptual"] = lambda made: perceptual(made.real, made.fake, border=border)
    if has_holes:
        found["masked_absolute_error"] = hole_error
    return found


def hole_error(made: Made) -> np.ndarray:
    """The absolute error in the holes; NaN for images without any."""
    holes = is_hole(made.given)
    rows = holes.any((1, 2))
    values = np.full(len(holes), np.nan)
    if rows.any():
        values[rows] = masked_absolute_error(made.real[rows], made.fake[rows], holes[rows])
    return values


def cycle_error(made: Made) -> np.ndarray:
    """The absolute error of what came back; NaN where nothing did."""
    return np.full(len(made.given), np.nan) if made.home is None else absolute_error(made.given, made.home)
