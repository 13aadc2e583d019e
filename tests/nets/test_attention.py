"""Self-attention against other ways to compute it, and where it goes."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import max_pool2d, scaled_dot_product_attention

from organza.data.spec import ImageSpec
from organza.errors import DataError
from organza.nets.attention import SelfAttention, halvings_until
from organza.nets.residual import ResidualCritic


def awake(channels: int, gamma: float = 1.0) -> SelfAttention:
    """Attention whose gamma is no longer 0."""
    torch.manual_seed(0)
    block = SelfAttention(channels)
    with torch.no_grad():
        block.gamma.fill_(gamma)
    return block


def test_at_first_it_changes_nothing_and_can_learn_to() -> None:
    block, x = SelfAttention(8), torch.randn(2, 8, 4, 6)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert float(block.gamma.grad or 0) != 0


def test_it_is_dot_product_attention_of_every_place_over_pooled_ones() -> None:
    block, x = awake(16, 0.7), torch.randn(2, 16, 6, 4)
    query, key, value = block.theta(x), max_pool2d(block.phi(x), 2), max_pool2d(block.g(x), 2)
    tokens = [part.flatten(2).transpose(1, 2) for part in (query, key, value)]
    seen = scaled_dot_product_attention(*tokens, scale=1.0).transpose(1, 2).reshape(2, 8, 6, 4)
    torch.testing.assert_close(block(x), x + 0.7 * block.o(seen))


def test_where_all_places_match_alike_each_sees_the_mean() -> None:
    block, x = awake(8), torch.randn(3, 8, 4, 4)
    with torch.no_grad():
        block.theta.weight.zero_()
    mean = max_pool2d(block.g(x), 2).mean((2, 3), keepdim=True)
    torch.testing.assert_close(block(x), x + block.o(mean).expand_as(x))


def test_it_is_twice_differentiable() -> None:
    block = awake(4).double()
    x = torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(block, x)
    assert gradgradcheck(block, x)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (14, 14)])
def test_maps_of_any_size_and_few_channels_pass(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    assert awake(3)(x).shape == x.shape


def test_it_goes_where_the_shorter_side_first_fits() -> None:
    images = ImageSpec(height=28, width=40)
    assert [halvings_until(images, side, most=2) for side in (100, 28, 14, 13, 7)] == [1, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"attention 6 .* smallest ones here have 7: .*--attention 7"):
        halvings_until(images, 6, most=2)


@pytest.mark.parametrize(("side", "seen"), [(32, (16, 24)), (16, (16, 24)), (15, (8, 12))])
def test_the_critic_looks_at_maps_of_that_size(side: int, seen: tuple[int, int]) -> None:
    critic = ResidualCritic(
        ImageSpec(height=32, width=48), width=4, widest=2, base=8, plain=1, wide=True, attention=side
    )
    found: list[torch.Size] = []
    block = next(part for part in critic.blocks if isinstance(part, SelfAttention))
    block.register_forward_hook(lambda module, args, output: found.append(args[0].shape[2:]))
    critic(torch.randn(2, 1, 32, 48))
    assert found == [torch.Size(seen)]
