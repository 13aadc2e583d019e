"""The vocabulary: a GAN is a game, and this is all there is to say about one.

A recipe builds a `Game`: players (networks with their optimizers), turns (who moves, what they minimise, and when), a
way to draw noise and a way to generate. The engine in `trainer.py` plays it. Loss functions are closures over the
networks; they see one batch and the clock, and return named terms.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = dict[str, Tensor]
"""Named tensors; every value has the same first dimension."""


@final
@dataclass(frozen=True)
class Clock:
    """How far training has come. Every schedule is a function of this, and of nothing else."""

    step: int = 0
    """Successful steps so far."""
    samples: int = 0
    """Real samples drawn so far by all ranks, repeats and refused steps included: the position in the data stream."""
    progress: float = 0.0
    """Share of the budget that is used up, 0 to 1."""
    minutes: float = 0.0
    """Minutes that training has taken, where the budget is in minutes; else 0. No schedule is a function of it."""

    def tick(self, samples: int, *, advance: bool = True) -> Clock:
        """The clock after a step that drew `samples` samples; a refused step (`advance=False`) does not count."""
        return replace(self, step=self.step + advance, samples=self.samples + samples)


Schedule = Callable[[Clock], float]


@final
@dataclass(frozen=True)
class Loss:
    """What a turn minimises, in named parts, and what is worth watching beside it."""

    terms: dict[str, Tensor]
    """Scalars; their sum is minimised; each is logged under its name."""
    watch: dict[str, Tensor] = field(default_factory=dict)
    """Per-sample values such as `real_score` (N,): logged and read by the doctor, not optimised."""

    @property
    def total(self) -> Tensor:
        """The scalar that is minimised."""
        return torch.stack([term.float() for term in self.terms.values()]).sum()


LossFn = Callable[[Batch, Clock], Loss]


STATISTICS = ("running_mean", "running_var")
"""Buffers of batch norm that describe the weights and are averaged with them."""


@final
class Player:
    """A network, the optimizer that moves it, and a running average of its weights.

    Args:
        network: What plays. Parts that the optimizer does not own stay frozen.
        optimizer: Moves the parameters it was given, and no others.
        lr: Learning rate as a schedule; None keeps the rate of the optimizer.
        beta2: Adam's decay rate of the second moment as a schedule; None keeps that of the optimizer.
        halflife: Of the weight average, in samples; None: no average.
        ramp: The half-life is at most this share of the samples seen, so that the random beginning is forgotten soon
            (StyleGAN2's EMA ramp-up, Karras et al. 2020); None: the half-life as it is, from the start.
        clip: Largest gradient norm; longer gradients are shortened to it. None: no limit.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        *,
        lr: Schedule | None = None,
        beta2: Schedule | None = None,
        halflife: float | None = None,
        ramp: float | None = 0.05,
        clip: float | None = None,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.lr = lr
        self.beta2 = beta2
        self.halflife = halflife
        self.ramp = ramp
        self.clip = clip
        self.rate_scale = 1.0  # lowered when the trainer rolls back from a divergence; saved with the checkpoint
        self.base_rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.averaged = network if halflife is None else copy.deepcopy(network).eval().requires_grad_(False)
        self.weights: tuple[list[Tensor], list[Tensor]] = (list(self.averaged.parameters()), list(network.parameters()))
        pairs = zip(self.averaged.modules(), network.modules(), strict=True)
        self.with_buffers = [pair for pair in pairs if any(True for _ in pair[1].buffers(recurse=False))]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the optimizer moves."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def set_rate(self, clock: Clock) -> None:
        """Write the learning rate of this moment, and the decay rate, into the optimizer."""
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = self.rate_scale * (base if self.lr is None else self.lr(clock))
            if self.beta2 is not None:
                group["betas"] = (group["betas"][0], self.beta2(clock))

    @torch.no_grad()
    def update_average(self, samples: int, seen: int) -> None:
        """Move the average towards the weights by what `samples` samples are worth.

        Batch statistics are averaged likewise, for they belong to the weights; other buffers are copied.
        """
        if self.halflife is None:
            return
        halflife = self.halflife if self.ramp is None else min(self.halflife, self.ramp * seen)
        keep = 0.5 ** (samples / max(halflife, 1e-8))
        averaged, current = self.weights
        torch._foreach_lerp_(averaged, current, 1 - keep)
        for average, module in self.with_buffers:
            for (name, ours), theirs in zip(
                average.named_buffers(recurse=False), module.buffers(recurse=False), strict=True
            ):
                if name in STATISTICS:
                    ours.lerp_(theirs, 1 - keep)
                else:
                    ours.copy_(theirs)


@final
class Shared:
    """A player's network for turns that see the same noise: given the same tensor again, it makes no second pass.

    The turn of another player must detach what it gets; the player's own turn then follows the graph of the first pass
    back into its weights. Those must not move in between.
    """

    def __init__(self, player: Player) -> None:
        self.player = player
        self.newest: tuple[Tensor, Any] | None = None

    def __call__(self, x: Tensor, *others: Any, key: Tensor | None = None) -> Any:
        """The network's output for `x` and what belongs to it, with its graph, also while another player moves.

        `key` is what is drawn anew for each pass, where `x` is not. A part of a batch is not shared, nor kept: another
        part comes next, and its graph would take memory for nothing.
        """
        key = x if key is None else key
        if key.untyped_storage().nbytes() > key.nbytes:
            return self.player.network(x, *others)
        if self.newest is None or self.newest[0] is not key:
            self.newest = None
            moving = [parameter.requires_grad for parameter in self.player.parameters]
            for parameter in self.player.parameters:
                parameter.requires_grad_(True)
            self.newest = key, self.player.network(x, *others)
            for parameter, was_moving in zip(self.player.parameters, moving, strict=True):
                parameter.requires_grad_(was_moving)
        return self.newest[1]


@final
@dataclass(frozen=True)
class Turn:
    """One optimizer update: who moves, what they minimise, and when."""

    name: str
    player: Player
    loss: LossFn
    every: int = 1
    """Lazy regularisation: taken on every n-th step."""
    repeats: int = 1
    """Updates per step (n_critic), each after the first on a fresh batch."""
    same_noise: bool = False
    """Sees the samples and the noise of the update before it instead of fresh noise, so it may share a pass with it."""
    begin: float = 0.0
    """Share of the budget from which on the turn is taken."""
    end: float = math.inf
    """Share of the budget from which on it is no longer taken."""
    after: Callable[[dict[str, Tensor]], None] | None = None
    """Called after the update with the mean of each watched value over the batch of all ranks: moves extras such as an
    augmentation's strength, alike on every rank and for every micro-batch size."""

    def plays(self, clock: Clock) -> bool:
        """Whether this is the time of the turn."""
        return self.begin <= clock.progress < self.end

    def due(self, clock: Clock) -> bool:
        """Whether the turn is taken on this step."""
        return self.plays(clock) and clock.step % self.every == 0


@final
@dataclass(frozen=True)
class Request:
    """What is to be generated. Sample i depends on (seed, i), its label and its latent, not on `count` and `start`."""

    count: int
    seed: int = 0
    start: int = 0
    """The first i: the request is for samples `start` to `start + count`, so that ranks can share the work."""
    labels: Tensor | None = None
    """Class indices, (count,); None draws them uniformly where the game has classes."""
    latents: Tensor | None = None
    """Latents to use instead of drawn ones, (count, latent size); `from_latents` keeps the gradients they require."""
    truncation: float = 1.0
    """Scales drawn latents: below 1 trades variety for typicality."""
    sources: Tensor | None = None
    """Images to make others of, (count, C, H, W) in [-1, 1], of any size that the networks take; None: the data's, see
    `Game.inputs`. For games that make images from nothing else: None."""
    reverse: bool = False
    """The other way round, from targets to sources, where a game goes both ways."""
    strength: float = 1.0
    """How far to go from what is nearest to the truth (0) to what looks real (1), where a game knows both."""


Generate = Callable[[Request], Batch]


@final
@dataclass
class Game:
    """Everything the engine needs to know about a GAN."""

    players: dict[str, Player]
    """By name; the discriminator's name is always `critic`, the main generator's `generator`."""
    turns: list[Turn]
    """Taken in this order on each step."""
    generate: Generate
    """The one inference path; uses averaged weights."""
    draw: Callable[[int], Batch] = lambda n: {}
    """Fresh noise for one turn. The engine seeds it, draws it for the whole batch and splits it with the batch."""
    extras: dict[str, nn.Module] = field(default_factory=dict)
    """Saved but not trained: augmentation strength, replay history, running statistics."""
    inputs: Callable[[Request], Batch] | None = None
    """Of a game that makes images from images: the samples of the data that a request without `sources` is about. What
    holds the data sets it, see `feed`."""
    reverses: bool = False
    """Whether it goes both ways, see `Request.reverse`."""
    fills: bool = False
    """Whether it fills the transparent holes of its sources, and leaves the rest of them as it is."""
    frames: bool = False
    """Whether it moves images as a whole, so that tiles of them cannot be made one by one."""
    weakens: bool = False
    """Whether it heeds `Request.strength`."""
    tour: Callable[[], Batch] | None = None
    """Samples in rows and columns, (R, C, *shape), under the name of what changes along each row, such as one code of
    the latent; drawn once a run is finished."""

    def modules(self) -> Iterator[nn.Module]:
        """Every module that is part of the state: networks, averages, extras."""
        for player in self.players.values():
            yield player.network
            if player.averaged is not player.network:
                yield player.averaged
        yield from self.extras.values()

    @cached_property
    def buffered(self) -> list[nn.Module]:
        """The submodules that hold buffers themselves: found once, since a search at every step costs time."""
        parts = [part for module in self.modules() for part in module.modules()]
        return [part for part in parts if any(True for _ in part.buffers(recurse=False))]

    @property
    def is_conditional(self) -> bool:
        """Whether the generator takes labels."""
        return self.inputs is None and "label" in self.generate(Request(1))

    def buffers(self) -> list[Tensor]:
        """Every buffer of every module, as it is now."""
        return [buffer for part in self.buffered for buffer in part.buffers(recurse=False)]

    def to(self, device: str | torch.device) -> Game:
        """Move every module and the optimizers' state to `device`, in place."""
        for module in self.modules():
            module.to(device)
        for player in self.players.values():
            # Loading its own state makes an optimizer put each tensor where its parameter now is.
            player.optimizer.load_state_dict(player.optimizer.state_dict())
        return self


@final
@dataclass(frozen=True)
class Report:
    """What hooks receive after each step."""

    clock: Clock
    losses: dict[str, Loss]
    """Of the turns taken on this step, by turn name; tensors are detached."""
    grad_norms: dict[str, Tensor]
    game: Game
    failed: str | None = None
    """Why the step was refused, or None."""
    drawn: int = 1
    """Real samples drawn in this step, over all ranks."""


@final
@dataclass(frozen=True)
class Stop:
    """Returned by a hook to end the run after the step."""

    reason: str
    is_final: bool = False
    """The run has reached what it was for: it counts as finished, not as interrupted."""
    change: dict[str, Any] = field(default_factory=dict)
    """Recipe fields to go on with, from the newest checkpoint before `since`."""
    since: int = 0
    """Samples seen when what the change is for began."""


Hook = Callable[[Report], Stop | None]


def every(samples: int, hook: Hook) -> Hook:
    """Call `hook` whenever the sample count passes a multiple of `samples`."""
    last: list[int] = []

    def called(report: Report) -> Stop | None:
        period = report.clock.samples // samples
        if not last:
            last.append((report.clock.samples - report.drawn) // samples)
        if period <= last[0]:
            return None
        last[0] = period
        return hook(report)

    return called


def spaced(count: int, hook: Hook) -> Hook:
    """Call `hook` `count` times over the budget, at even shares of it."""
    last: list[int] = []

    def called(report: Report) -> Stop | None:
        part = int(report.clock.progress * count)
        is_due = bool(last) and part > last[0]
        last[:] = [part]
        return hook(report) if is_due else None

    return called
