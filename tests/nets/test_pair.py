"""Judging both sides of a game: together where samples are judged one by one, apart where batch norm couples them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from organza.data.spec import ImageSpec, Spec, VectorSpec
from organza.nets.heads import LabelledCritic, ReadingCritic
from organza.nets.layers import Norm
from organza.nets.pair import judged, plain_pair

KINDS: list[Spec] = [ImageSpec(channels=1, height=12, width=10), VectorSpec()]
CRITICS: dict[str, Callable[[Spec, Norm], tuple[nn.Module, bool]]] = {
    "plain": lambda data, norm: (plain_pair(data, latent=4, width=4, critic_norm=norm)[1], False),
    "told": lambda data, norm: (plain_pair(data, latent=4, width=4, num_classes=3, critic_norm=norm)[1], True),
    "labelled": lambda data, norm: (
        LabelledCritic(data, width=4, num_classes=3, norm=norm, labels="concatenate"),
        True,
    ),
    "reading": lambda data, norm: (ReadingCritic(data, width=4, outputs=5, norm=norm), False),
}


def sides(data: Spec, *, is_told: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
    torch.manual_seed(0)
    return torch.randn(6, *data.shape), 3 + torch.randn(6, *data.shape), [torch.arange(6) % 3] * is_told


@pytest.mark.parametrize("data", KINDS, ids=["images", "points"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("name", CRITICS)
def test_what_is_said_of_a_side_does_not_depend_on_the_other(name: str, norm: Norm, data: Spec) -> None:
    critic, is_told = CRITICS[name](data, norm)
    real, fake, label = sides(data, is_told=is_told)
    both = judged(critic, real, fake, *label)
    alone = critic(real, *label), critic(fake, *label)
    if isinstance(both, Tensor):
        torch.testing.assert_close(both, torch.cat(alone))
    else:
        for i, said in enumerate(both):
            torch.testing.assert_close(said, torch.cat([alone[0][i], alone[1][i]]))


def test_fakes_are_brought_to_the_precision_of_the_real_ones() -> None:
    critic = plain_pair(KINDS[0], latent=4, width=4, critic_norm="batch")[1]
    real, fake, _ = sides(KINDS[0], is_told=False)
    assert judged(critic, real, fake.bfloat16()).dtype == torch.float32
