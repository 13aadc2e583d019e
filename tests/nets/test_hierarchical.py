"""The generator whose blocks each see the class and a part of the latent."""

from __future__ import annotations

import pytest
import torch

from organza.data.spec import ImageSpec
from organza.errors import UsageError
from organza.nets.attention import SelfAttention
from organza.nets.hierarchical import HierarchicalGenerator
from organza.nets.residual import ConditionalNorm, MapNorm

SIZES = [(1, 28, 28), (3, 33, 47), (4, 21, 37), (2, 8, 8), (1, 5, 64), (1, 32, 32), (1, 1, 1)]


def generator(
    size: tuple[int, int, int],
    *,
    latent: int = 11,
    num_classes: int = 0,
    attention: int = 0,
    norm: MapNorm = "none",
) -> HierarchicalGenerator:
    torch.manual_seed(0)
    data = ImageSpec(channels=size[0], height=size[1], width=size[2])
    sizes = {"latent": latent, "width": 4, "widest": 2, "embedding": 3}
    return HierarchicalGenerator(data, **sizes, num_classes=num_classes, attention=attention, norm=norm)


@pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, size)) for size in SIZES])
@pytest.mark.parametrize("num_classes", [0, 5])
def test_images_of_any_size_are_made(size: tuple[int, int, int], num_classes: int) -> None:
    labels = [torch.tensor([0, 4, 4])] if num_classes else []
    images = generator(size, num_classes=num_classes, norm="batch")(torch.randn(3, 11), *labels)
    assert images.shape == (3, *size)
    assert images.abs().max() <= 1


def test_the_latent_is_cut_into_a_part_for_each_block_and_one() -> None:
    made = generator((1, 32, 32), latent=14)  # three doublings, from 4 to 32
    assert len(made.blocks) == 3
    assert made.parts == [4, 4, 3, 3]
    with pytest.raises(UsageError, match=r"latent 3 is too short .* into 4 parts,.* --latent 4"):
        generator((1, 32, 32), latent=3)


def test_a_block_sees_its_own_part_and_the_class_and_nothing_else() -> None:
    made, latent = generator((1, 16, 16), num_classes=3), torch.randn(1, 11)
    seen: list[list[torch.Tensor]] = []
    for block in made.blocks:
        block.register_forward_hook(lambda module, args, output: seen[-1].append(args[1].detach()))
    for label in (0, 2):
        seen.append([])
        made(latent, torch.tensor([label]))
    parts = latent.split(made.parts, dim=1)[1:]
    for label, found in zip((0, 2), seen, strict=True):
        for condition, part in zip(found, parts, strict=True):
            assert torch.equal(condition, torch.cat([made.embed.weight[label][None], part], dim=1))


def test_gains_and_biases_are_linear_in_the_condition_and_have_no_bias() -> None:
    made = generator((1, 8, 8), num_classes=3)
    norms = [part for part in made.modules() if isinstance(part, ConditionalNorm)]
    assert len(norms) == 2 * len(made.blocks)
    x = torch.randn(2, norms[0].gain.out_features, 4, 4)
    torch.testing.assert_close(norms[0](x, torch.zeros(2, norms[0].gain.in_features)), x)
    assert all(norm.gain.bias is None for norm in norms)


@pytest.mark.parametrize(("side", "seen"), [(64, 16), (16, 16), (8, 8), (4, 4)])
def test_attention_looks_at_maps_of_that_size(side: int, seen: int) -> None:
    made, found = generator((1, 32, 32), attention=side), []
    assert isinstance(made.attention, SelfAttention)
    made.attention.register_forward_hook(lambda module, args, output: found.append(args[0].shape[2]))
    made(torch.randn(2, 11))
    assert found == [seen]
