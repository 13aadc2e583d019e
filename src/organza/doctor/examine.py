"""One examination: what the losses do not say about a game, measured on a few hundred samples.

The numbers are flat and small, so that they fit into a row of metrics.jsonl under names that begin with `health/`.
Distances are Euclidean in pixels (or in points), after images were shrunk to 32 pixels a side at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from organza.augment import Augment
from organza.data.source import Source, as_rows, decode
from organza.data.spec import Spec
from organza.doctor.exhibit import Exhibit
from organza.doctor.leaks import LEAKED, Leaks
from organza.game import Batch, Clock, Game, Loss, Player, Request, Turn
from organza.metrics.sliced import sliced_wasserstein
from organza.trainer import detach

PROBES = 250
"""Fakes that are looked at."""
REFERENCES = 2_000
"""Real samples that they are compared with, at most."""
AT_ONCE = 500
"""Of them are held at full size for a moment."""
SCORED = 128
"""Samples that the critic judges, at most."""
CLUSTERS = 16
"""Groups that data without labels is divided into."""

STRIDE = 0.05
"""Share of the samples seen over which the fakes' movement is measured, at least."""

Signals = dict[str, Any]


@final
class Examiner:
    """Holds the real samples that a run's fakes are compared with.

    Args:
        source: The training data.
        held_out: Data of the same kind that is not trained on; None: what needs it is not measured.
        batch: The recipe's batch size.
        device: Where to compute.
        classify: Tells the classes of fakes, (N, ...) to (N,), -1 for none; None: that of the nearest real sample.
    """

    def __init__(
        self,
        source: Source,
        held_out: Source | None,
        *,
        batch: int,
        device: str = "cpu",
        classify: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.classify = classify
        self.source, self.spec, self.device = source, source.spec, device
        self.probes = max(1, min(PROBES, len(source) // 2))
        self.scored = min(SCORED, batch, len(source))
        random = np.random.default_rng(0xD0C)
        self.chosen = random.permutation(len(source))[:REFERENCES]
        self.train = take(source, self.chosen[: self.scored], device)
        self.reference, labels = self.references()
        self.held_out = None
        self.held_distance = math.nan
        if held_out is not None and len(held_out) >= 16:
            others = random.permutation(len(held_out))[: self.probes]
            self.held_out = take(held_out, others, device)
            rows = flat(self.held_out[self.spec.key], self.spec)
            self.held_distance = float(nearest(rows, self.reference).values.median())
        real = self.reference[: self.probes]
        self.real_spread = spread(real)
        self.real_twin = twin(real)
        self.real_range = quantiles(self.some(AT_ONCE))
        other = self.reference[self.probes : 2 * self.probes]
        self.floor = sliced_wasserstein(real[: len(other)], other)
        self.group, self.group_shares = groups(labels, self.reference, self.spec)
        self.before: list[tuple[int, Tensor]] = []
        self.taken = 0
        self.leaks: Leaks | None = None
        self.exhibit: Exhibit | None = None
        """The samples of the newest examination."""

    def references(self) -> tuple[Tensor, Tensor | None]:
        """The real samples as rows, and their labels if there are any; at full size they would fill the memory."""
        rows, labels = [], []
        for part in np.array_split(self.chosen, -(-len(self.chosen) // AT_ONCE)):
            batch = take(self.source, part, self.device)
            rows.append(flat(batch[self.spec.key], self.spec))
            labels += [batch["label"]] if "label" in batch else []
        return torch.cat(rows), torch.cat(labels) if labels else None

    def real(self, which: np.ndarray) -> Tensor:
        """Those of the real samples, as networks see them."""
        return take(self.source, self.chosen[which], self.device)[self.spec.key]

    def some(self, count: int) -> Tensor:
        """The first of them."""
        return self.real(np.arange(min(count, len(self.chosen))))

    def __call__(self, game: Game, clock: Clock) -> Signals:
        """Measure. The game is left as it was, down to its buffers.

        The costly looks take turns: at the pull of each term in the first, third and so on, at the weights of the
        moment in the others.
        """
        with undisturbed(game):
            made = game.generate(Request(self.probes, seed=0xD0C))[self.spec.key]
            fakes = flat(made, self.spec)
            self.exhibit = Exhibit(made, fakes, self.reference, self.spec, self.real)
            signals = self.look(made, fakes) | self.leaking(game, fakes)
            signals["drift"] = self.drift(fakes, clock.samples)
            turns = [turn for turn in game.turns if turn.plays(clock)]
            critic = next((turn for turn in turns if turn.player is game.players.get("critic")), None)
            if critic is not None:
                signals |= self.ask(game, critic, clock)
            if self.taken % 2:
                signals |= self.compare_weights(game)
            else:
                for turn in turns:
                    signals |= self.term_gradients(game, turn, clock)
            self.taken += 1
        return {f"health/{name}": rounded(value) for name, value in signals.items()}

    def look(self, samples: Tensor, fakes: Tensor) -> Signals:
        """Variety, range and closeness to the data of the fakes."""
        near = nearest(fakes, self.reference)
        group = self.group[near.indices] if self.classify is None else self.classify(samples).to(fakes.device)
        counts = torch.bincount(group[group >= 0], minlength=len(self.group_shares))
        low, high = quantiles(samples)
        return {
            "spread": spread(fakes) / max(self.real_spread, 1e-12),
            "twin": twin(fakes) / self.real_twin if self.real_twin else math.nan,
            "distance": sliced_wasserstein(self.reference[: self.probes], fakes),
            "floor": self.floor,
            "counts": counts.tolist(),
            "shares": [round(share, 4) for share in self.group_shares.tolist()],
            "nearness": float(near.values.median()) / self.held_distance if self.held_distance else math.nan,
            "low": low,
            "high": high,
            "real_low": self.real_range[0],
            "real_high": self.real_range[1],
        }

    def drift(self, fakes: Tensor, samples: int) -> float:
        """How far the fakes moved in the last `STRIDE` of the samples seen, or more, relative to the data's spread.

        From one examination to the next they may hardly move, where examinations are frequent.
        """
        old = [index for index, (seen, _) in enumerate(self.before) if seen <= (1 - STRIDE) * samples]
        then = self.before[old[-1] if old else 0][1] if self.before else None
        self.before = self.before[old[-1] if old else 0 :]
        if not self.before or samples - self.before[-1][0] >= STRIDE / 8 * samples:  # a handful of them is enough
            self.before.append((samples, fakes))
        moved = math.nan if then is None else float((fakes - then).square().sum(1).mean().sqrt())
        return moved / max(self.real_spread, 1e-12)

    def leaking(self, game: Game, fakes: Tensor) -> Signals:
        """How far the fakes look like augmented samples, where the game augments."""
        augment = next((module for module in game.extras.values() if isinstance(module, Augment)), None)
        if augment is None or not augment.names or len(self.reference) < 4:
            return {}
        self.leaks = self.leaks or Leaks(augment, self.some(LEAKED), self.spec, lambda x: flat(x, self.spec))
        return {f"leak/{name}": share for name, share in self.leaks(fakes).items()}

    def compare_weights(self, game: Game) -> Signals:
        """The distance of fakes from the weights of this moment, and of those in training mode."""
        player = game.players.get("generator")
        if player is None:
            return {}
        signals: Signals = {}
        averaged, player.averaged = player.averaged, player.network
        try:
            if averaged is not player.network:
                signals["distance_raw"] = self.distance(game)
            with batch_statistics(player.network) as found:
                if found and self.probes > 1:
                    signals["distance_batch"] = self.distance(game)
        finally:
            player.averaged = averaged
        return signals

    def distance(self, game: Game) -> float:
        """From the fakes that the game makes now to real samples."""
        made = game.generate(Request(self.probes, seed=0xD0C))[self.spec.key]
        return sliced_wasserstein(self.reference[: self.probes], as_rows(made, self.spec))

    def ask(self, game: Game, turn: Turn, clock: Clock) -> Signals:
        """What the critic thinks of seen and of unseen data, relative to its score of fakes."""
        quiet = replace(clock, step=clock.step | 1)  # an odd step: penalties that are taken now and then rest

        def judge(batch: Batch) -> Loss:
            return detach(turn.loss(self.noisy(game, batch), quiet))

        seen = judge(self.train)
        if not {"real_score", "fake_score"} <= seen.watch.keys():
            return {}
        both = torch.cat([seen.watch["real_score"].flatten(), seen.watch["fake_score"].flatten()])
        signals: Signals = {"score_spread": float(both.std()), "gap": lead(seen)}
        if self.held_out is not None:
            signals["gap_unseen"] = lead(judge(self.held_out))
        return signals

    def term_gradients(self, game: Game, turn: Turn, clock: Clock) -> Signals:
        """How strongly each part of a turn's loss pulls at the weights that the turn moves."""
        parameters = turn.player.parameters
        for parameter in parameters:
            parameter.requires_grad_(True)
        pulls: Signals = {}
        whole = replace(clock, step=0)  # a step on which every term is taken
        is_eager = not any(is_compiled(player.network) for player in game.players.values())
        try:
            terms = turn.loss(self.noisy(game, self.train), whole).terms
            for index, name in enumerate(list(terms)):
                if index and not is_eager:  # anew for each term: a compiled graph can be walked back once only
                    terms = turn.loss(self.noisy(game, self.train), whole).terms
                term = terms[name]
                gradients: tuple[Tensor | None, ...] = (None,)
                if term.requires_grad:
                    gradients = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=is_eager)
                norms = [gradient.norm() for gradient in gradients if gradient is not None]
                pulls[f"pull/{turn.name}/{name}"] = float(torch.stack(norms).norm()) if norms else 0.0
                pulls[f"term/{turn.name}/{name}"] = float(term.detach())
            return pulls
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)

    def noisy(self, game: Game, batch: Batch) -> Batch:
        """The first samples of a batch with the noise that a turn wants."""
        count = min(self.scored, len(batch[self.spec.key]))
        device = batch[self.spec.key].device
        torch.manual_seed(0xD0C)
        noise = {key: value.to(device) for key, value in game.draw(count).items()}
        return {key: value[:count] for key, value in batch.items()} | noise


@contextmanager
def undisturbed(game: Game) -> Iterator[None]:
    """The game's buffers and extras are afterwards what they were: losses change statistics and histories."""
    buffers = [buffer.clone() for buffer in game.buffers()]
    extras = {name: {key: value.clone() for key, value in m.state_dict().items()} for name, m in game.extras.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(game.buffers(), buffers, strict=True):
                buffer.copy_(value)
        for name, module in game.extras.items():
            module.load_state_dict(extras[name])


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[bool]:
    """The network normalises by the statistics of its batch, as in training; whether it has such layers at all."""
    parts: list[Any] = [part for part in network.modules() if getattr(part, "running_mean", None) is not None]
    found = [(part, part.running_mean, part.running_var) for part in parts]
    try:
        for part, _, _ in found:
            part.running_mean = part.running_var = None
        yield bool(found)
    finally:
        for part, running_mean, running_var in found:
            part.running_mean, part.running_var = running_mean, running_var


def is_compiled(network: nn.Module) -> bool:
    """Whether `nn.Module.compile` was called on it."""
    return getattr(network, "_compiled_call_impl", None) is not None


def take(source: Source, indices: np.ndarray, device: str) -> Batch:
    """Samples of a source as networks see them."""
    return decode(source.read(indices), source.spec, device)


def flat(samples: Tensor, spec: Spec) -> Tensor:
    """Samples as rows of numbers: images no larger than 32 pixels a side, non-finite values as 0."""
    return as_rows(samples.detach().float().nan_to_num(), spec)


def spread(rows: Tensor) -> float:
    """Root mean squared distance of the rows to their mean: one pass, and as good as all pairs."""
    return float((rows - rows.mean(0)).square().sum(1).mean().sqrt())


def nearest(rows: Tensor, others: Tensor) -> torch.return_types.min:
    """For each row the distance to the nearest of the others (`values`), and which that is (`indices`)."""
    return torch.cdist(rows, others).min(dim=1)


def twin(rows: Tensor) -> float:
    """The median distance of a row to the nearest other one."""
    if len(rows) < 2:
        return 0.0
    between = torch.cdist(rows, rows)
    between.fill_diagonal_(torch.inf)
    return float(between.min(dim=1).values.median())


def quantiles(samples: Tensor) -> tuple[float, float]:
    """The values that 0.5 % of all numbers lie below and above."""
    values = samples.detach().float().flatten()
    values = values[:: max(1, len(values) // 20_000)].nan_to_num()
    low, high = values.quantile(torch.tensor([0.005, 0.995], device=values.device)).tolist()
    return low, high


def groups(labels: Tensor | None, rows: Tensor, spec: Spec) -> tuple[Tensor, Tensor]:
    """Which group each real sample belongs to, (N,), and the share of each group: its class, or its cluster."""
    if labels is not None and spec.num_classes >= 2 and not spec.grouped:
        group, count = labels, spec.num_classes
    else:
        group, count = clusters(rows, min(CLUSTERS, max(1, len(rows) // 16)))
    return group, torch.bincount(group, minlength=count) / len(rows)


def clusters(rows: Tensor, count: int) -> tuple[Tensor, int]:
    """Lloyd's k-means from centres that were chosen far from one another; ten rounds."""
    centres = rows[:1]
    for _ in range(count - 1):
        centres = torch.cat([centres, rows[nearest(rows, centres).values.argmax()][None]])
    group = nearest(rows, centres).indices
    for _ in range(10):
        members = torch.nn.functional.one_hot(group, len(centres)).to(rows.dtype)
        sizes = members.sum(0)[:, None]
        centres = torch.where(sizes > 0, members.T @ rows / sizes.clamp(min=1), centres)
        group = nearest(rows, centres).indices
    return group, len(centres)


def lead(loss: Loss) -> float:
    """By how much the real side of a loss outscores its fakes."""
    return float(loss.watch["real_score"].mean() - loss.watch["fake_score"].mean())


def relative_step(before: list[Tensor], player: Player) -> float:
    """How far the weights moved since `before`, relative to their size."""
    now = [parameter.detach() for parameter in player.parameters]
    moved = torch.stack([(new - old).norm() for new, old in zip(now, before, strict=True)]).norm()
    return float(moved / torch.stack([old.norm() for old in before]).norm().clamp(min=1e-12))


def rounded(value: Any) -> Any:
    """Six digits of a number; the name of one that is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)
