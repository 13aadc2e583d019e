"""The engine: one loop that plays any game. No paper's name occurs here.

A step draws one real batch and takes the turns that are due. Noise is drawn for the whole batch of all ranks and then
split, so neither the micro-batch size nor the number of ranks changes the result, batch statistics aside. A turn whose
loss or gradient is not finite is refused before anything moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from organza import distributed
from organza.devices import prepare
from organza.errors import DivergedError, UsageError
from organza.game import Batch, Clock, Game, Hook, Loss, Player, Report, Stop, Turn

Data = Callable[[int], Iterator[Batch]]
"""From a position in the stream, in samples, to endless batches on the game's device."""


@final
@dataclass(frozen=True, kw_only=True)
class Budget:
    """When training is over: after so many samples or so many minutes."""

    samples: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.samples, self.minutes) if value is not None]
        if len(given) != 1 or given[0] <= 0:
            found = f"samples={self.samples}, minutes={self.minutes}"
            raise UsageError(f"a budget needs exactly one of samples and minutes, above 0; got {found}")

    def progress(self, samples: int, elapsed_s: float) -> float:
        """The share that is used up, at most 1."""
        used = samples / self.samples if self.samples else elapsed_s / 60 / (self.minutes or 1)
        return min(used, 1.0)

    def told(self, clock: Clock, share: float) -> Clock:
        """The clock when this share is used up."""
        return replace(clock, progress=share, minutes=share * (self.minutes or 0.0))


@final
@dataclass(frozen=True, kw_only=True)
class Guard:
    """What to do about non-finite numbers: skip, then roll back, then stop with a diagnosis."""

    skip: int = 5
    """So many refused steps in a row are skipped."""
    rollbacks: int = 2
    """So often the newest checkpoint is loaded again, at half the learning rate."""
    recover: Callable[[], Clock] | None = None
    """Puts the game back to its newest healthy checkpoint and returns that clock."""


@final
@dataclass(frozen=True)
class Taken:
    """The outcome of one turn."""

    loss: Loss
    grad_norm: Tensor
    failed: str | None


def train(
    game: Game,
    data: Data,
    *,
    budget: Budget,
    clock: Clock | None = None,
    seed: int = 0,
    hooks: Sequence[Hook] = (),
    micro_batch: int | None = None,
    precision: torch.dtype = torch.float32,
    guard: Guard | None = None,
) -> tuple[Clock, Stop | None]:
    """Play the game until the budget is used up or a hook stops it.

    Args:
        game: Its modules are on the device that `data` delivers to. Moved in place.
        data: Endless batches from any position.
        budget: When to end; schedules see what was used up before a step as `clock.progress`, hooks what is now.
        clock: Where to begin; None: at the beginning.
        seed: Determines all noise, together with the position in the data.
        hooks: Called in order after each step, on every rank; the first `Stop` ends the run.
        micro_batch: Samples per forward pass and rank; gradients add up to those of the whole batch.
        precision: torch.bfloat16 runs the networks under autocast; weights, losses and penalties stay in float32.
        guard: What to do about non-finite numbers.

    Returns:
        The clock at the end and, if a hook ended the run, its `Stop`.

    Raises:
        DivergedError: Non-finite numbers, and neither skipping nor rolling back helped.
        DistributedError: Another rank died.
    """
    prepare()
    clock, guard = clock or Clock(), guard or Guard()
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    batches, stop, failures, rollbacks = data(clock.samples), None, 0, 0
    began = time.monotonic() - 60 * clock.minutes
    used = budget.progress(clock.samples, 60 * clock.minutes)
    clock = budget.told(clock, used)  # that of a checkpoint may be a share of a smaller budget
    agreement = distributed.Agreement([used, 0.0])
    while True:
        agreed, stopped = agreement.exchange([used, float(stop is not None)])
        # Samples are counted alike everywhere; the time is that of the slowest rank.
        clock = budget.told(clock, max(agreed, clock.progress) if budget.minutes else used)
        if clock.progress >= 1 or stopped:
            agreement.receive()
            return clock, stop or (Stop("another rank stopped") if stopped else None)
        report = step(game, batches, clock, seed=seed, micro_batch=micro_batch, precision=precision)
        clock = report.clock
        used = budget.progress(clock.samples, time.monotonic() - began)
        report = replace(report, clock=budget.told(clock, max(used, clock.progress)))
        failures = failures + 1 if report.failed else 0
        for hook in hooks:
            said = hook(report)
            stop = stop or said
        if failures > guard.skip:
            if guard.recover is None or rollbacks == guard.rollbacks:
                raise DivergedError(diagnosis(report, failures, rollbacks))
            rollbacks, failures = rollbacks + 1, 0
            scales = {name: player.rate_scale for name, player in game.players.items()}
            clock = guard.recover()
            used = budget.progress(clock.samples, time.monotonic() - began)
            clock = budget.told(clock, used)
            for name, player in game.players.items():
                player.rate_scale = scales[name] / 2  # of now, not the checkpoint's: each rollback is slower still
            batches = data(clock.samples)


def step(
    game: Game,
    batches: Iterator[Batch],
    clock: Clock,
    *,
    seed: int,
    micro_batch: int | None = None,
    precision: torch.dtype = torch.float32,
) -> Report:
    """Take every turn that is due, once."""
    noise_seed = distributed.step_seed(seed, clock.samples)
    first = next(batches)
    drawn = size(first) * distributed.world()
    losses: dict[str, Loss] = {}
    grad_norms: dict[str, Tensor] = {}
    failed = None
    before = [buffer.clone() for buffer in game.buffers()]
    batch: Batch = {}
    for turn in (turn for turn in game.turns if turn.due(clock)):
        for repeat in range(turn.repeats):
            real = first
            if repeat > 0:
                real = next(batches)
                drawn += size(real) * distributed.world()
            if repeat > 0 or not turn.same_noise or not batch:
                noise_seed += 1
                batch = real | draw(game, real, noise_seed)
            taken = take(turn, batch, clock, micro_batch=micro_batch, precision=precision)
            losses[turn.name], grad_norms[turn.name] = taken.loss, taken.grad_norm
            failed = taken.failed
            if failed:
                break
        if failed:
            break
    if failed and before:
        # Listed anew: a loss may have put another tensor in a buffer's place.
        torch._foreach_copy_(game.buffers(), before)
    clock = clock.tick(drawn, advance=failed is None)
    if failed is None:
        for player in game.players.values():
            player.update_average(drawn, clock.samples)
    return Report(clock, losses, grad_norms, game, failed, drawn)


def take(
    turn: Turn,
    batch: Batch,
    clock: Clock,
    *,
    micro_batch: int | None = None,
    precision: torch.dtype = torch.float32,
) -> Taken:
    """One optimizer update: exactly the parameters that the player's optimizer owns can move."""
    player, parameters = turn.player, turn.player.parameters
    player.set_rate(clock)
    player.optimizer.zero_grad(set_to_none=True)
    device = parameters[0].device.type
    autocast = nullcontext() if precision is torch.float32 else torch.autocast(device, dtype=precision)
    count, parts = size(batch), []
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        for part in split(batch, micro_batch or count):
            with autocast:
                loss = turn.loss(part, clock)
            share = size(part) / count
            (loss.total * share).backward()
            parts.append((share, detach(loss)))
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
    loss = join(parts)
    watched = {name: value.float().mean() for name, value in loss.watch.items()} if turn.after else {}
    norm, means = distributed.average_gradients(parameters, torch.stack([loss.total, *watched.values()]))
    failed = None
    if not bool(torch.isfinite(norm + means[0])):
        failed = describe_failure(turn, loss, norm)
        player.optimizer.zero_grad(set_to_none=True)
    else:
        if player.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, player.clip, norm)
        player.optimizer.step()
        if turn.after is not None:
            turn.after(dict(zip(watched, means[1:], strict=True)))
    return Taken(loss, norm, failed)


def size(batch: Batch) -> int:
    """Samples in a batch."""
    return next(iter(batch.values())).shape[0]


def split(batch: Batch, micro_batch: int) -> Iterator[Batch]:
    """The batch in parts of at most `micro_batch` samples, evenly: batch norm cannot take a last part of one."""
    count = -(-size(batch) // micro_batch)
    if count == 1:
        yield batch  # the very tensors: `Shared` knows them
        return
    for part in zip(*(value.tensor_split(count) for value in batch.values()), strict=True):
        yield dict(zip(batch, part, strict=True))


def draw(game: Game, batch: Batch, noise_seed: int) -> Batch:
    """This rank's share of the noise of one turn, drawn on the host for all ranks so that every device agrees."""
    distributed.seed_noise(noise_seed)
    count, reference = size(batch), next(iter(batch.values()))
    here = slice(distributed.rank() * count, (distributed.rank() + 1) * count)
    noise = {
        key: value[here].clone().to(reference.device, non_blocking=True)  # not a part of a larger tensor: see `Shared`
        for key, value in game.draw(count * distributed.world()).items()
    }
    if distributed.world() > 1:
        distributed.seed_noise(noise_seed + (distributed.rank() << 32))  # dropout inside the networks differs by rank
    return noise


def detach(loss: Loss) -> Loss:
    """The same numbers without their graph."""
    return Loss(
        {name: term.detach() for name, term in loss.terms.items()},
        {name: value.detach() for name, value in loss.watch.items()},
    )


def join(parts: Sequence[tuple[float, Loss]]) -> Loss:
    """The loss of a whole batch from those of its parts: terms weighted by their share, watched values in a row."""
    if len(parts) == 1:
        return parts[0][1]
    terms = {name: torch.stack([loss.terms[name] * share for share, loss in parts]).sum() for name in parts[0][1].terms}
    watch = {name: torch.cat([loss.watch[name] for _, loss in parts]) for name in parts[0][1].watch}
    return Loss(terms, watch)


def describe_failure(turn: Turn, loss: Loss, norm: Tensor) -> str:
    """Which turn was refused, and the numbers that say why."""
    terms = ", ".join(f"{name} = {float(term):g}" for name, term in loss.terms.items())
    return f"turn {turn.name!r} refused: {terms}, gradient norm {float(norm):g}"


def diagnosis(report: Report, failures: int, rollbacks: int) -> str:
    """What the user is told when nothing helped."""
    bad_weights = [name for name, player in report.game.players.items() if not weights_are_finite(player)]
    cause = (
        f"the weights of {' and '.join(bad_weights)} are not finite, so the last checkpoint is not healthy either"
        if bad_weights
        else "all weights are finite, so the data or the loss makes them: check the data or lower the rate"
    )
    return (
        f"training diverged: {failures} steps in a row gave non-finite numbers after {rollbacks} rollbacks "
        f"(step {report.clock.step}, {report.clock.samples:,} samples). Last: {report.failed}. Here {cause}. "
        "The weights in the newest checkpoint were not changed."
    )


def weights_are_finite(player: Player) -> bool:
    """Whether every weight of the player is a number."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in player.network.parameters())
