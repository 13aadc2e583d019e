"""Recipes with a mistake in them, as a user's own recipe might have one. Each wraps a healthy game of `dcgan`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import nn

from organza.data.spec import Spec
from organza.game import Batch, Clock, Game, Loss, LossFn
from organza.recipe import Recipe
from organza.recipes.dcgan import DCGAN

BASE = DCGAN(latent=32, width=8)
Mistake = Literal["none", "range", "statistics", "average", "dead", "detached", "deaf", "blind"]


@final
@dataclass(frozen=True, kw_only=True)
class Sick(Recipe):
    """A small dcgan with one mistake."""

    conditional: Literal["yes", "no"] = "yes"
    """Whether the networks see labels."""
    mistake: Mistake = "none"
    """What is wrong."""

    def build(self, data: Spec) -> Game:
        """The healthy game, then the mistake."""
        base = replace(BASE, conditional=self.conditional)
        if self.mistake == "statistics":
            base = replace(base, halflife=0.0, init="normal")
        game = base.build(data)
        MISTAKES[self.mistake](game, data)
        return game


def output_in_unit_range(game: Game, data: Spec) -> None:
    """The generator makes values in [0, 1], the data lies in [-1, 1]."""
    network = game.players["generator"].network
    network.register_forward_hook(lambda module, args, output: (output + 1) / 2)
    game.players["generator"].averaged.register_forward_hook(lambda module, args, output: (output + 1) / 2)


def lazy_statistics(game: Game, data: Spec) -> None:
    """Batch norm hardly updates its running statistics."""
    for part in game.players["generator"].network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1e-4


def slow_average(game: Game, data: Spec) -> None:
    """The average of the weights has a half-life of half a million samples from the start."""
    game.players["generator"].halflife, game.players["generator"].ramp = 5e5, None


def zero_critic(game: Game, data: Spec) -> None:
    """Every weight of the critic is zero, so no gradient ever reaches one."""
    with torch.no_grad():
        for parameter in game.players["critic"].network.parameters():
            parameter.zero_()


def detached_penalty(game: Game, data: Spec) -> None:
    """The penalty is a number without a graph."""

    def detach(loss: LossFn) -> LossFn:
        def detached(batch: Batch, clock: Clock) -> Loss:
            found = loss(batch, clock)
            return Loss({k: v.detach() if k == "r1" else v for k, v in found.terms.items()}, found.watch)

        return detached

    game.turns[:] = [replace(turn, loss=detach(turn.loss)) if turn.name == "critic" else turn for turn in game.turns]


def deaf_generator(game: Game, data: Spec) -> None:
    """The latent reaches the generator a thousand times too small: what is left is one sample per class."""
    draw = game.draw
    game.draw = lambda n: {key: 1e-3 * value for key, value in draw(n).items()}
    generate = game.generate
    game.generate = lambda request: generate(replace(request, truncation=1e-3 * request.truncation))


def blind_to_some(game: Game, data: Spec) -> None:
    """A slip in the loss: samples of the first two classes are replaced by others, so nobody ever sees them."""

    def see(loss: LossFn) -> LossFn:
        def blind(batch: Batch, clock: Clock) -> Loss:
            is_seen = batch["label"] >= 2
            seen = is_seen.nonzero().flatten()
            index = torch.arange(len(batch["label"]), device=seen.device)
            index = torch.where(is_seen, index, seen[index % len(seen)])
            return loss(batch | {key: batch[key][index] for key in (data.key, "label")}, clock)

        return blind

    game.turns[:] = [replace(turn, loss=see(turn.loss)) for turn in game.turns]


MISTAKES: dict[Mistake, Callable[[Game, Spec], None]] = {
    "none": lambda game, data: None,
    "range": output_in_unit_range,
    "statistics": lazy_statistics,
    "average": slow_average,
    "dead": zero_critic,
    "detached": detached_penalty,
    "deaf": deaf_generator,
    "blind": blind_to_some,
}
PRESETS: dict[str, Recipe] = {}
