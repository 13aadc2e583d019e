"""For every test: annotations of tensors are checked, one thread, warnings are errors (pyproject)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook
from torch import nn

SOURCE = Path(__file__).parents[1] / "src"

# Before anything of organza is imported: shapes and types of every module annotated with jaxtyping are checked.
install_import_hook(
    [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in SOURCE.rglob("*.py")
        if "import jaxtyping" in (text := path.read_text()) or "from jaxtyping" in text
    ],
    "beartype.beartype",
)

from organza.data.spec import ImageSpec  # noqa: E402
from organza.game import Batch, Clock, Game, Loss, Player, Turn  # noqa: E402
from organza.inference import from_latents  # noqa: E402
from organza.losses import cross_entropy_critic, nonsaturating_generator  # noqa: E402
from organza.penalties import r1  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def tiny_images() -> ImageSpec:
    return ImageSpec(channels=1, height=8, width=8)


@pytest.fixture
def toy_data() -> Callable[[int], Iterator[Batch]]:
    """Points on a curve, six at a time; each knows its position in the stream."""

    def data(start: int) -> Iterator[Batch]:
        while True:
            position = torch.arange(start, start + 6)
            yield {
                "x": torch.stack([torch.sin(0.7 * position), torch.cos(1.3 * position)], dim=1),
                "position": position,
            }
            start += 6

    return data


class History(nn.Module):
    """A running mean that a loss updates: state which is saved and not trained."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def see(self, value: torch.Tensor) -> None:
        self.mean.lerp_(value.detach().float().mean(), 0.1)


@pytest.fixture
def toy_game() -> Callable[..., Game]:
    """A whole GAN on points: two small networks, a penalty, an average, a history; dropout or batch norm at will."""

    def build(
        *, adam: bool = True, norm: bool = False, dropout: float = 0.0, repeats: int = 1, hidden: int = 8
    ) -> Game:
        torch.manual_seed(0)

        def hidden_layer(inputs: int, activation: nn.Module) -> list[nn.Module]:
            return [nn.Linear(inputs, hidden), *([nn.BatchNorm1d(hidden)] if norm else []), activation]

        g = nn.Sequential(*hidden_layer(3, nn.Tanh()), nn.Linear(hidden, 2))
        c = nn.Sequential(*hidden_layer(2, nn.LeakyReLU(0.2)), nn.Dropout(dropout), nn.Linear(hidden, 1))
        history = History()

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real_score, fake_score = c(batch["x"]), c(g(batch["latent"]))
            history.see(real_score)
            terms = {"cross_entropy": cross_entropy_critic(real_score, fake_score)}
            if not norm:
                terms["r1"] = 0.1 * r1(c, batch["x"])
            return Loss(terms, watch={"real_score": real_score, "fake_score": fake_score})

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake_score = c(g(batch["latent"]))
            return Loss({"nonsaturating": nonsaturating_generator(fake_score, fake_score)})

        def player(network: nn.Module, halflife: float | None) -> Player:
            parameters = network.parameters()
            adam_or_sgd = torch.optim.Adam(parameters, 1e-2) if adam else torch.optim.SGD(parameters, 0.1)
            return Player(network, adam_or_sgd, halflife=halflife)

        generator, critic = player(g, 50.0), player(c, None)
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=repeats),
                Turn("generator", generator, generator_loss),
            ],
            generate=from_latents(generator, 3, key="x"),
            draw=lambda n: {"latent": torch.randn(n, 3)},
            extras={"history": history},
        )

    return build
