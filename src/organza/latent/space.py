"""The spaces of a trained generator: Z, which every generator of latents has, and W, where a mapping makes one of it.

What a family can do follows from its generator network: one that is `Styled` has W. Z needs nothing but
`Game.generate`, so that every family's own way from a latent to an image (codes, statistics, ranges) is the one used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from organza.data.source import encode
from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Game, Request
from organza.generate import latent_size
from organza.inference import at_once, evaluating, labels, latents
from organza.run import Run

Kind = Literal["auto", "z", "w"]


@runtime_checkable
class Styled(Protocol):
    """What a generator network offers where it has W."""

    num_ws: int
    """Rows of w that `synthesis` takes: one per layer."""

    def mapping(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Latents (N, latent), and labels (N,) if there are classes, to w, (N, num_ws, w_size)."""
        ...

    def truncate(self, w: Tensor, psi: float, label: Tensor | None = None) -> Tensor:
        """W drawn towards its mean: 1 leaves it as it is, 0 is the mean."""
        ...

    def synthesis(self, w: Tensor) -> Tensor:
        """W (N, num_ws, w_size) to images (N, C, H, W)."""
        ...


@dataclass(frozen=True, eq=False)
class Space(ABC):
    """Points that a trained generator turns into images."""

    kind: ClassVar[Literal["z", "w"]]

    game: Game
    spec: ImageSpec
    size: int
    """Length of the latent z."""
    num_classes: int
    """Classes that the generator is told; 0: none."""

    @property
    def network(self) -> nn.Module:
        """The averaged generator."""
        return self.game.players["generator"].averaged

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next(self.network.parameters()).device

    @contextmanager
    def using(self, network: nn.Module) -> Iterator[None]:
        """Inside, another network of the same kind stands in for the averaged generator."""
        player = self.game.players["generator"]
        before, player.averaged = player.averaged, network
        try:
            yield
        finally:
            player.averaged = before

    def labels(self, count: int, *, seed: int = 0, label: int | None = None) -> Tensor | None:
        """Class indices (count,): all `label`, or those of the seed; None where the generator takes none."""
        if not self.num_classes:
            return None
        chosen = labels(Request(count, seed=seed), self.num_classes) if label is None else torch.full((count,), label)
        return chosen.to(self.device)

    @abstractmethod
    def draw(self, count: int, *, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Points (count, ...); point i depends on (seed, i) and its label alone. They carry no gradient."""

    @abstractmethod
    def images(self, points: Tensor, labels: Tensor | None = None) -> Tensor:
        """Points to images (N, C, H, W) in [-1, 1]; with gradients if the points require them."""

    @abstractmethod
    def moved(self, points: Tensor, vector: Tensor, amounts: Tensor, *, layers: slice = slice(None)) -> Tensor:
        """Each point moved by its amount along a vector (D,); in W in the rows of `layers` alone."""

    @abstractmethod
    def centre(self, *, labels: Tensor | None = None) -> tuple[Tensor, float]:
        """The mean of the points, (1, ...), and the deviation of a coordinate, over these labels in turn."""

    def pictures(self, points: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """Points to stored images, (N, H, W, C) uint8 or uint16."""
        chunk, made = at_once(self.spec.shape), []
        for start in range(0, len(points), chunk):
            part = slice(start, start + chunk)
            made.append(encode(self.images(points[part].detach(), None if labels is None else labels[part]), self.spec))
        return np.concatenate(made)

    def distance(self, points: Tensor, labels: Tensor | None = None) -> Tensor:
        """How far points (N, ...) lie from the mean, in typical distances: about 1 for drawn ones."""
        centre, deviation = self.centre(labels=labels)
        return (points - centre).flatten(1).square().mean(1).sqrt() / deviation


@final
@dataclass(frozen=True, eq=False)
class ZSpace(Space):
    """Standard normal latents (N, size), turned into images by the family's own `generate`."""

    kind = "z"

    def draw(self, count: int, *, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Latents (count, size), scaled by the truncation."""
        return latents(Request(count, seed=seed, truncation=truncation), self.size).to(self.device)

    def images(self, points: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, size), and labels (N,) if there are classes, to images."""
        with torch.autograd.graph.saved_tensors_hooks(keeper(self.network), lambda kept: kept):
            made = self.game.generate(Request(len(points), labels=labels, latents=points))[self.spec.key]
        if points.requires_grad and not made.requires_grad:
            raise UsageError("this family's images have no gradient in z; choose --space w")
        return made

    def moved(self, points: Tensor, vector: Tensor, amounts: Tensor, *, layers: slice = slice(None)) -> Tensor:
        """Latents (N, size) moved; there are no layers to choose."""
        if layers != slice(None):
            raise UsageError("layers can be chosen in W alone, and this generator has none")
        return points + amounts.to(points)[:, None] * vector.to(points)

    def centre(self, *, labels: Tensor | None = None) -> tuple[Tensor, float]:
        """0 and 1."""
        return torch.zeros(1, self.size, device=self.device), 1.0


@final
@dataclass(frozen=True, eq=False)
class WSpace(Space):
    """A row of w for each layer, (N, num_ws, w_size): alike in drawn points, free in what is made of them (W+)."""

    kind = "w"

    @property
    def styled(self) -> Styled:
        """The averaged generator, known to have a mapping."""
        network = self.network
        assert isinstance(network, Styled)
        return network

    def draw(self, count: int, *, seed: int = 0, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """What the mapping makes of latents, drawn towards its mean by the truncation: (count, num_ws, w_size)."""
        z = latents(Request(count, seed=seed), self.size).to(self.device)
        if self.num_classes and labels is None:
            labels = self.labels(count, seed=seed)
        with evaluating(self.network):
            w = self.styled.mapping(z, labels)
            return w if truncation == 1 else self.styled.truncate(w, truncation, labels)

    def images(self, points: Tensor, labels: Tensor | None = None) -> Tensor:
        """W to images; labels have done their part in the mapping."""
        with evaluating(self.network, has_graph=points.requires_grad):
            parts = points.split(at_once(self.spec.shape))
            return torch.cat([self.styled.synthesis(part).clamp(-1, 1) for part in parts])

    def moved(self, points: Tensor, vector: Tensor, amounts: Tensor, *, layers: slice = slice(None)) -> Tensor:
        """W moved in the rows of `layers`."""
        points = points.clone()
        points[:, layers] += amounts.to(points)[:, None, None] * vector.to(points)
        return points

    def centre(self, *, labels: Tensor | None = None) -> tuple[Tensor, float]:
        """From 1,000 points."""
        told = None if labels is None else labels[torch.arange(1000, device=labels.device) % len(labels)]
        w = self.draw(1000, seed=0, labels=told)
        mean = w.mean(0, keepdim=True)
        return mean, float((w - mean).square().mean().sqrt())


def keeper(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What backward passes keep: buffers as copies, for a `generate` may put back statistics that it took anew."""
    places = {buffer.data_ptr() for buffer in network.buffers()}
    return lambda kept: kept.clone() if kept.data_ptr() in places else kept


def space_of(game: Game, spec: Spec, size: int, kind: Kind = "auto") -> Space:
    """A space of a game.

    Args:
        game: Its generator is explored.
        spec: Of its data; must be images.
        size: Length of the latent.
        kind: z, w, or auto: w where there is one.

    Raises:
        UsageError: The game makes no images, or has no W.
    """
    if not isinstance(spec, ImageSpec):
        raise UsageError("only generators of images can be explored; this run makes points")
    has_w = isinstance(game.players["generator"].averaged, Styled)
    if kind == "w" and not has_w:
        raise UsageError(
            "this generator has no W: it has no mapping from latents to styles, as stylegan2 and stylegan3 have; "
            "leave --space at auto or z"
        )
    of = WSpace if has_w and kind != "z" else ZSpace
    return of(game, spec, size, spec.num_classes if game.is_conditional else 0)


def open_space(run: Run, game: Game, kind: Kind = "auto") -> Space:
    """A space of a run whose game is loaded. See `space_of`."""
    return space_of(game, run.spec, latent_size(run), kind)


@contextmanager
def between_classes(space: Space, here: int, there: int, shares: Sequence[float]) -> Iterator[Tensor]:
    """Class indices (len(shares),) of new classes between two others; they exist inside the context alone.

    Every table of embeddings of the classes in the generator gets a row (1 - share) e_here + share e_there each.

    Raises:
        UsageError: The generator is not told classes, or not by an embedding.
    """
    if not space.num_classes:
        raise UsageError("this generator was trained without labels, so there are no classes to mix")
    modules = [module for module in space.network.modules() if isinstance(module, nn.Embedding)]
    tables = [
        module for module in modules if module.num_embeddings == space.num_classes and not is_parametrized(module)
    ]
    if not tables:
        raise UsageError(
            f"this generator takes whole labels alone ({type(space.network).__name__} has no embedding of the classes, "
            "between whose rows one could go), so classes cannot be mixed"
        )
    before, weight = [table.weight for table in tables], torch.tensor(list(shares), device=space.device)[:, None]
    try:
        for table, rows in zip(tables, before, strict=True):
            mixed = torch.lerp(rows.detach()[here], rows.detach()[there], weight)
            table.weight = nn.Parameter(torch.cat([rows.detach(), mixed]), requires_grad=False)
        yield torch.arange(len(weight), device=space.device) + space.num_classes
    finally:
        for table, rows in zip(tables, before, strict=True):
            table.weight = rows
