"""How a game answers a request: latents, labels and sources in, samples of the averaged generator out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from organza.game import Batch, Game, Generate, Player, Request


@contextmanager
def evaluating(network: nn.Module, *, has_graph: bool = False) -> Iterator[nn.Module]:
    """The network in evaluation mode, and without gradients unless `has_graph`; then as it was."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.set_grad_enabled(has_graph):
            yield network
    finally:
        for module in training:
            module.training = True


def latents(request: Request, size: int) -> Tensor:
    """The latents of a request: standard normal, (count, size). Row i of all of them depends on (seed, i) alone."""
    if request.latents is not None:
        return request.latents
    rows = request.start + request.count  # those before are drawn as well: a normal takes no fixed share of the stream
    drawn = np.random.default_rng([request.seed, 0x1A7E]).standard_normal((rows, size), dtype=np.float32)
    return torch.from_numpy(drawn[request.start :]) * request.truncation


def labels(request: Request, num_classes: int) -> Tensor:
    """The class indices of a request, (count,): those asked for, or uniform ones."""
    if request.labels is not None:
        return request.labels
    rows = request.start + request.count
    drawn = np.random.default_rng([request.seed, 0x1ABE]).integers(num_classes, size=rows)
    return torch.from_numpy(drawn[request.start :])


def at_once(shape: Sequence[int]) -> int:
    """How many samples of a shape to make or compare at once: 250, or fewer where they are large."""
    return max(1, min(250, 2**22 // math.prod(shape)))


def from_latents(
    player: Player,
    size: int,
    *,
    key: str,
    num_classes: int = 0,
    decode: Callable[[Tensor], Tensor] | None = None,
    make: Callable[..., Tensor] | None = None,
    chunk: int = 250,
) -> Generate:
    """The usual `Game.generate`: averaged weights, latents in, samples out, a chunk of them at a time.

    Args:
        player: Its averaged network maps (N, size), and labels (N,) if there are classes, to samples.
        size: Length of the latent.
        key: Batch key of the samples, `Spec.key`.
        num_classes: How many classes the network takes; 0: it takes latents alone.
        decode: From what the network makes to the range of the spec; None: they are the same.
        make: From network, truncation, latents and labels to samples, where truncation is not to scale the latents.
        chunk: Samples in a forward pass; see `at_once`.
    """

    def generate(request: Request) -> Batch:
        device, psi = next(player.averaged.parameters()).device, request.truncation
        request = request if make is None else replace(request, truncation=1.0)
        inputs = [latents(request, size)] + ([labels(request, num_classes)] if num_classes else [])
        parts = []
        with evaluating(player.averaged, has_graph=inputs[0].requires_grad) as network:
            for part in zip(*(value.split(chunk) for value in inputs), strict=True):
                moved = [value.to(device) for value in part]
                samples = (network(*moved) if make is None else make(network, psi, *moved)).float()
                parts.append(samples if decode is None else decode(samples))
        made = {key: torch.cat(parts)}
        return made | {"label": inputs[1].to(device)} if num_classes else made

    return generate


def from_sources(
    player: Player, *, key: str = "image", make: Callable[..., Tensor] | None = None, chunk: int = 250
) -> Generate:
    """The usual `Game.generate` of images made from images: averaged weights, a chunk of them at a time.

    Args:
        player: Its averaged network maps images (N, C, H, W), and integers (N,) that its noise follows from, to images.
        key: Batch key of what is made.
        make: From network, images and integers to images, where the network's own call is not the way.
        chunk: Images in a forward pass; see `at_once`.
    """

    def generate(request: Request) -> Batch:
        assert request.sources is not None, "images are made from images: feed the game, or name sources"
        device, parts = next(player.averaged.parameters()).device, []
        with evaluating(player.averaged) as network:
            for part in zip(request.sources.split(chunk), seeds(request).split(chunk), strict=True):
                moved = [value.to(device) for value in part]
                parts.append((network(*moved) if make is None else make(network, *moved)).float().clamp(-1, 1))
        return {key: torch.cat(parts)}

    return generate


def seeds(request: Request) -> Tensor:
    """An integer for each sample of a request, (count,), from which a network makes noise of its own."""
    rows = request.start + request.count
    drawn = np.random.default_rng([request.seed, 0x5EED]).integers(2**31, size=rows)
    return torch.from_numpy(drawn[request.start :])


def feed(game: Game, inputs: Callable[[Request], Batch]) -> Game:
    """Let requests that name no sources be about these samples of the data. In place."""
    plain = game.generate

    def generate(request: Request) -> Batch:
        known = request.sources is not None
        return plain(request if known else replace(request, sources=inputs(request)["source"]))

    game.generate, game.inputs = generate, inputs
    return game
