"""torch.compile for games: first derivatives only, and never without a self-test."""

from __future__ import annotations

import torch

from organza.errors import UsageError
from organza.game import Batch, Clock, Game
from organza.trainer import draw


def compile_game(game: Game, batch: Batch, clock: Clock, *, tolerance: float = 1e-2) -> None:
    """Compile every player's network in place, and refuse if any turn's gradient changes by it.

    Exact penalties call the network eagerly all the while (`penalties.score_and_squared_gradient`), since compiled code
    has no second derivative; the compiled and the eager module share their weights.

    Args:
        game: On the device of `batch`.
        batch: Real samples to test with.
        clock: When: decides which terms are active.
        tolerance: Largest relative difference of a turn's gradient.

    Raises:
        UsageError: A compiled turn has another gradient than the eager one, or cannot be compiled.
    """
    expected = {turn.name: gradients(game, turn.name, batch, clock) for turn in game.turns}
    for player in game.players.values():
        player.network.compile()
    for name, eager in expected.items():
        try:
            compiled = gradients(game, name, batch, clock)
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UsageError(f"turn {name!r} cannot be compiled here ({reason}); train without --compile") from error
        difference = float((compiled - eager).norm() / eager.norm().clamp_min(1e-12))
        if difference > tolerance:
            raise UsageError(
                f"turn {name!r} has another gradient when compiled (off by {difference:.1%}); train without --compile"
            )


def gradients(game: Game, turn_name: str, batch: Batch, clock: Clock) -> torch.Tensor:
    """The gradient of a turn's loss as one flat tensor; nothing moves, batch statistics are put back."""
    turn = next(turn for turn in game.turns if turn.name == turn_name)
    before = [buffer.clone() for module in game.modules() for buffer in module.buffers()]
    for player in game.players.values():
        player.network.requires_grad_(False).train()
    parameters = turn.player.parameters
    for parameter in parameters:
        parameter.requires_grad_(True)
    loss = turn.loss(batch | draw(game, batch, 0), clock)
    found = torch.autograd.grad(loss.total, parameters, allow_unused=True)
    for parameter in parameters:
        parameter.requires_grad_(False)
    if before:
        torch._foreach_copy_([buffer for module in game.modules() for buffer in module.buffers()], before)
    return torch.cat([grad.flatten() for grad in found if grad is not None])
